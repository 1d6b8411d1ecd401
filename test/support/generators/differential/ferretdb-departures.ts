// Where FerretDB 1.24 departs from what MongoDB's documentation says, by kind. A generated question that it answers
// otherwise counts here only if it has what the kind names; any other such question is a difference and fails the test.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';

/** A question that FerretDB answered otherwise. */
export interface Departing {
  /** In MongoDB's words. */
  readonly query: Dict;
  /** The records asked about. */
  readonly tasks: readonly StoredTask[];
  /** What it said, if it refused the question. */
  readonly refusal: string | undefined;
}

interface Test {
  readonly path: string;
  readonly operator: string;
  readonly operand: unknown;
  /** What stands beside the operator in the same object, and before it. */
  readonly siblings: readonly string[];
}

interface Departure {
  readonly kind: string;
  readonly applies: (tests: readonly Test[], departing: Departing) => boolean;
}

const DEPARTURES: readonly Departure[] = [
  {
    kind: '$elemMatch with a query on the fields of items is refused: it takes the names for operators',
    applies: (tests, { refusal = '' }) =>
      /unknown operator/.test(refusal) &&
      tests.some(({ operator, operand }) => operator === '$elemMatch' && !startsWithOperator(operand)),
  },
  {
    kind: '$elemMatch with $not, $ne and some others is refused: "not implemented yet"',
    applies: (_, { refusal = '' }) => /\$elemMatch: support for \$\w+ not implemented/.test(refusal),
  },
  {
    kind: '$options beside a second regular expression with flags of its own is refused',
    applies: (tests, { refusal = '' }) =>
      /options set in both \$regex and \$options/.test(refusal) &&
      tests.some(({ operand }) => operand instanceof RegExp),
  },
  {
    kind: 'operators beside $eq or $ne of a document are not looked at',
    applies: (tests) =>
      tests.some(
        ({ operator, operand, siblings }) =>
          (operator === '$eq' || operator === '$ne') && isDict(operand) && siblings.length > 1,
      ),
  },
  {
    kind: '$all does not find documents',
    applies: (tests) =>
      tests.some(
        ({ operator, operand }) => operator === '$all' && Array.isArray(operand) && operand.some(isDict),
      ),
  },
  {
    kind: 'equality with a document does not look at the items of a list',
    applies: (tests) =>
      tests.some(({ path, operand }) => path.includes('.') && (isDict(operand) || holdsDict(operand))),
  },
  {
    kind: '$mod does not look at the items of a list',
    applies: (tests) => tests.some(({ path, operator }) => operator === '$mod' && path.includes('.')),
  },
  {
    kind: '$type with a list wants every type of it, not one',
    applies: (tests) =>
      tests.some(
        ({ operator, operand }) => operator === '$type' && Array.isArray(operand) && operand.length > 1,
      ),
  },
  {
    kind: 'a path through a list without documents leads to null, not to nothing',
    applies: (tests, { tasks }) =>
      tests.some(({ path }) => tasks.some((task) => meetsList(task, path.split('.')))),
  },
];

/** The kind of departure that a question has run into; undefined if it is none of those that are known. */
export function ferretDeparture(departing: Departing): string | undefined {
  const tests = [...testsIn(departing.query)];
  return DEPARTURES.find(({ applies }) => applies(tests, departing))?.kind;
}

/** What FerretDB 1 can store: no list in a list. An inner list is replaced by its length. */
export function storableInFerret(task: StoredTask): StoredTask {
  const entries = Object.entries(task).map(([key, value]) => [
    key,
    key.endsWith('buffers') ? value : withoutInnerLists(value, false),
  ]);
  return Object.fromEntries(entries) as StoredTask;
}

function withoutInnerLists(value: unknown, inList: boolean): unknown {
  if (Array.isArray(value)) return inList ? value.length : value.map((item) => withoutInnerLists(item, true));
  if (!isDict(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, withoutInnerLists(item, false)]),
  );
}

function* testsIn(query: Dict): Generator<Test> {
  for (const [name, condition] of Object.entries(query)) {
    if (name.startsWith('$') && Array.isArray(condition)) {
      for (const branch of condition) yield* testsIn(branch as Dict);
    } else {
      yield* testsOn(name, condition);
    }
  }
}

function* testsOn(path: string, condition: unknown): Generator<Test> {
  if (!isDict(condition) || !startsWithOperator(condition)) {
    yield { path, operator: '$eq', operand: condition, siblings: ['$eq'] };
    return;
  }
  const siblings = Object.keys(condition);
  for (const [operator, operand] of Object.entries(condition)) {
    yield { path, operator, operand, siblings };
    if ((operator === '$not' || operator === '$elemMatch') && startsWithOperator(operand))
      yield* testsOn(path, operand);
  }
}

function startsWithOperator(value: unknown): boolean {
  return isDict(value) && Object.keys(value)[0]?.startsWith('$') === true;
}

function holdsDict(value: unknown): boolean {
  return Array.isArray(value) && value.some(isDict);
}

/** Whether a list stands on the way to the end of a path. */
function meetsList(value: unknown, path: readonly string[]): boolean {
  const [step, ...rest] = path;
  if (step === undefined) return false;
  if (Array.isArray(value)) return true;
  return isDict(value) && Object.hasOwn(value, step) && meetsList(value[step], rest);
}
