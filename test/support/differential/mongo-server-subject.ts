// A server that speaks MongoDB's protocol as a subject: asked through the official driver, without any code of ours
// between the question and the server but the names that MongoDB does not have.
import { randomUUID } from 'node:crypto';
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import { type Collection, Long, MongoClient } from 'mongodb';
import type { Question, Subject } from './subject.js';

/** What is known of a server. */
export interface ServerKnowledge {
  readonly name: string;
  /** What it can store of a task; a task that it refuses would tell nothing. */
  readonly storable: (task: StoredTask) => StoredTask;
  /** The kind of departure from MongoDB's documented meaning that a question runs into, if any. */
  readonly departure: (question: Question, tasks: readonly StoredTask[]) => string | undefined;
}

export class MongoServerSubject implements Subject {
  readonly name: string;
  readonly atOnce = 4;
  readonly departure: NonNullable<Subject['departure']>;
  readonly #client: MongoClient;
  readonly #records: Collection;
  readonly #knowledge: ServerKnowledge;

  private constructor(client: MongoClient, knowledge: ServerKnowledge) {
    this.name = `${knowledge.name}, raw queries`;
    this.#client = client;
    this.#records = client.db(`differential-${randomUUID().slice(0, 8)}`).collection('task_records');
    this.#knowledge = knowledge;
    this.departure = knowledge.departure;
  }

  static async start(uri: string, knowledge: ServerKnowledge): Promise<MongoServerSubject> {
    return new MongoServerSubject(await MongoClient.connect(uri), knowledge);
  }

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    const kept = tasks.map(this.#knowledge.storable);
    await this.#records.deleteMany({});
    if (kept.length > 0) await this.#records.insertMany(kept.map(documentOf));
    return kept;
  }

  async ids({ query, sort, skip = 0, limit = 0 }: Question): Promise<readonly string[]> {
    const order = sort ?? [
      ['submitted', 1],
      ['msg_id', 1],
    ];
    const sorted = new Map(order.map(([name, direction]) => [name, direction]));
    if (!sorted.has('msg_id')) sorted.set('msg_id', 1);
    const found = this.#records
      .find(inMongoWords(query))
      .sort(sorted)
      .skip(skip)
      .limit(limit)
      .project<{ msg_id: string }>({ _id: 0, msg_id: 1 });
    return (await found.toArray()).map(({ msg_id }) => msg_id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.db(this.#records.dbName).dropDatabase();
    await this.#client.close();
  }
}

const DATES = ['submitted', 'started', 'completed', 'received'] as const;

// As Python's hub writes it: dates as dates, whole numbers as integers; `label` and what was displayed only where
// there are any.
function documentOf(task: StoredTask): Dict {
  const { label, display_data, ...rest } = task;
  const dates = DATES.map((key) => {
    const text = task[key];
    // The driver takes milliseconds; what Date.parse reads beyond them it drops.
    return [key, text === null ? null : new Date(text)] as const;
  });
  return {
    ...(bson(rest) as Dict),
    ...Object.fromEntries(dates),
    ...(label === null ? {} : { label }),
    ...(display_data === null ? {} : { display_data: bson(display_data) }),
  };
}

function bson(value: unknown): unknown {
  if (
    typeof value === 'number' &&
    Number.isInteger(value) &&
    Math.abs(value) < 2 ** 63 &&
    value !== (value | 0)
  )
    return Long.fromNumber(value);
  if (Array.isArray(value)) return value.map(bson);
  if (!isDict(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, bson(item)]));
}

const NAMES: { readonly [name: string]: string } = {
  pyin: 'execute_input',
  pyout: 'execute_result',
  pyerr: 'error',
};
const OPERATORS: { readonly [name: string]: string } = { $ge: '$gt', $le: '$lt', $glob: '$regex' };

/** The same question without the older names of keys and operators, and with shell patterns as regular expressions. */
export function inMongoWords(query: Dict): Dict {
  const words = new Map<string, unknown>();
  const beside: Dict[] = [];
  for (const [name, condition] of Object.entries(query)) {
    const [root = '', ...path] = name.split('.');
    const said = [NAMES[root] ?? root, ...path].join('.');
    const junction = name.startsWith('$') && Array.isArray(condition);
    const meant = junction
      ? condition.map((item) => inMongoWords(item as Dict))
      : inMongoOperators(condition);
    // An older name and today's may stand side by side.
    if (words.has(said)) beside.push({ [said]: meant });
    else words.set(said, meant);
  }
  const plain = Object.fromEntries(words);
  return beside.length === 0 ? plain : { $and: [plain, ...beside] };
}

function inMongoOperators(condition: unknown): unknown {
  if (!isDict(condition) || !Object.keys(condition).some((name) => name.startsWith('$'))) return condition;
  return Object.fromEntries(
    Object.entries(condition).map(([name, operand]) => {
      if (name === '$glob') return ['$regex', globAsRegex(String(operand))];
      if (name === '$not') return [name, inMongoOperators(operand)];
      if (name === '$elemMatch' && isDict(operand)) {
        const onItem = Object.keys(operand).some((inner) => inner.startsWith('$'));
        return [name, onItem ? inMongoOperators(operand) : inMongoWords(operand)];
      }
      return [OPERATORS[name] ?? name, operand];
    }),
  );
}

/** What Python's fnmatch means by a pattern. */
function globAsRegex(glob: string): string {
  const chars = Array.from(glob);
  let regex = '';
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] as string;
    if (char === '*') regex += '.*';
    else if (char === '?') regex += '.';
    else if (char === '[') {
      const negated = chars[i + 1] === '!';
      const from = i + (negated ? 2 : 1);
      const to = chars.indexOf(']', from + 1);
      if (to === -1) {
        regex += '\\[';
        continue;
      }
      regex += setAsRegex(chars.slice(from, to), negated);
      i = to;
    } else regex += quoted(char);
  }
  return `(?s)^${regex}\\z`;
}

function setAsRegex(members: readonly string[], negated: boolean): string {
  let set = '';
  for (let i = 0; i < members.length; i++) {
    const low = members[i] as string;
    const high = members[i + 1] === '-' && i + 2 < members.length ? (members[i + 2] as string) : low;
    if (members[i + 1] === '-' && i + 2 < members.length) i += 2;
    if ((low.codePointAt(0) ?? 0) <= (high.codePointAt(0) ?? 0)) set += `${quoted(low)}-${quoted(high)}`;
  }
  if (set === '') return negated ? '.' : '[^\\x{0}-\\x{10ffff}]';
  return `[${negated ? '^' : ''}${set}]`;
}

const quoted = (char: string): string => `\\x{${(char.codePointAt(0) ?? 0).toString(16)}}`;
