// The kinds of queries on which FerretDB 1.24 departs from MongoDB's documentation. A wrong result counts as a departure
// only if its query is of such a kind. Any other wrong result fails the test.
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';

/** A query to which FerretDB gave a wrong result. */
export interface WrongResult {
  /** The query in MongoDB's language. */
  readonly query: Dict;
  /** The stored records. */
  readonly tasks: readonly StoredTask[];
  /** The error message, if FerretDB refused the query. */
  readonly refusal: string | undefined;
}

interface Test {
  readonly path: string;
  readonly operator: string;
  readonly operand: unknown;
  /** The keys of the object that contains the operator. */
  readonly siblings: readonly string[];
}

interface Departure {
  readonly kind: string;
  readonly applies: (tests: readonly Test[], wrongResult: WrongResult) => boolean;
}

const DEPARTURES: readonly Departure[] = [
  {
    kind: '$elemMatch with a query on fields of items is refused, because FerretDB reads the names as operators',
    applies: (tests, { refusal = '' }) =>
      /unknown operator/.test(refusal) &&
      tests.some(({ operator, operand }) => operator === '$elemMatch' && !startsWithOperator(operand)),
  },
  {
    kind: '$elemMatch with $not, $ne and some others is refused: "not implemented yet"',
    applies: (_, { refusal = '' }) => /\$elemMatch: support for \$\w+ not implemented/.test(refusal),
  },
  {
    kind: '$options together with a second regular expression with flags is refused',
    applies: (tests, { refusal = '' }) =>
      /options set in both \$regex and \$options/.test(refusal) &&
      tests.some(({ operand }) => operand instanceof RegExp),
  },
  {
    kind: 'operators next to $eq or $ne of a document are ignored',
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
    kind: 'equality with a document ignores the items of a list',
    applies: (tests) =>
      tests.some(({ path, operand }) => path.includes('.') && (isDict(operand) || holdsDict(operand))),
  },
  {
    kind: '$mod ignores the items of a list',
    applies: (tests) => tests.some(({ path, operator }) => operator === '$mod' && path.includes('.')),
  },
  {
    kind: '$type with a list requires all of its types instead of one',
    applies: (tests) =>
      tests.some(
        ({ operator, operand }) => operator === '$type' && Array.isArray(operand) && operand.length > 1,
      ),
  },
  {
    kind: 'a path through a list without documents is null instead of missing',
    applies: (tests, { tasks }) =>
      tests.some(({ path }) => tasks.some((task) => meetsList(task, path.split('.')))),
  },
];

/** Returns the known kind of departure of a query, or undefined. */
export function ferretDeparture(wrongResult: WrongResult): string | undefined {
  const tests = [...testsIn(wrongResult.query)];
  return DEPARTURES.find(({ applies }) => applies(tests, wrongResult))?.kind;
}

/** Replaces each list in a list by its length, because FerretDB 1 cannot store lists in lists. */
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

/** Whether a path leads through a list. */
function meetsList(value: unknown, path: readonly string[]): boolean {
  const [step, ...rest] = path;
  if (step === undefined) return false;
  if (Array.isArray(value)) return true;
  return isDict(value) && Object.hasOwn(value, step) && meetsList(value[step], rest);
}
