// Subject: a server with MongoDB's protocol, through the official driver. The only code of ours between the query and the
// server translates the names that MongoDB does not have.
import { randomUUID } from 'node:crypto';
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { isDict } from '@ipyparallel-js/protocol/internal';
import { type Collection, Long, MongoClient } from 'mongodb';
import { ferretDeparture, storableInFerret } from './ferretdb-departures.js';
import type { PagedQuery, Subject } from './subject.js';

export class MongoServerSubject implements Subject {
  readonly name: string;
  readonly concurrency = 4;
  readonly #client: MongoClient;
  readonly #records: Collection;
  readonly #isFerret: boolean;

  private constructor(client: MongoClient, server: string, isFerret: boolean) {
    this.name = `${server} through the official driver`;
    this.#client = client;
    this.#records = client.db(`differential-${randomUUID().slice(0, 8)}`).collection('task_records');
    this.#isFerret = isFerret;
  }

  static async start(uri: string): Promise<MongoServerSubject> {
    const client = await MongoClient.connect(uri);
    const info = await client.db('admin').command({ buildInfo: 1 });
    const ferret: unknown = info['ferretdbVersion'] ?? info['ferretdb']?.version;
    const server = ferret === undefined ? `MongoDB ${info['version']}` : 'FerretDB 1';
    return new MongoServerSubject(client, server, ferret !== undefined);
  }

  async load(tasks: readonly StoredTask[]): Promise<readonly StoredTask[]> {
    const stored = this.#isFerret ? tasks.map(storableInFerret) : tasks;
    await this.#records.deleteMany({});
    if (stored.length > 0) await this.#records.insertMany(stored.map(documentOf));
    return stored;
  }

  async ids({ query, sort, skip = 0, limit = 0 }: PagedQuery): Promise<readonly string[]> {
    const order = sort ?? [
      ['submitted', 1],
      ['msg_id', 1],
    ];
    const sorted = new Map(order.map(([name, direction]) => [name, direction]));
    if (!sorted.has('msg_id')) sorted.set('msg_id', 1);
    const found = this.#records
      .find(toMongoQuery(query))
      .sort(sorted)
      .skip(skip)
      .limit(limit)
      .project<{ msg_id: string }>({ _id: 0, msg_id: 1 });
    return (await found.toArray()).map(({ msg_id }) => msg_id);
  }

  departure({ query }: PagedQuery, tasks: readonly StoredTask[], result: readonly string[] | string) {
    const mongoQuery = toMongoQuery(query);
    if (this.#isFerret)
      return ferretDeparture({
        query: mongoQuery,
        tasks,
        refusal: typeof result === 'string' ? result : undefined,
      });
    const patterns = JSON.stringify(mongoQuery, (_, value: unknown) =>
      value instanceof RegExp ? { $regex: '' } : value,
    );
    return patterns.includes('"$regex"') ? 'regular expressions are PCRE, not RE2' : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.db(this.#records.dbName).dropDatabase();
    await this.#client.close();
  }
}

const DATES = ['submitted', 'started', 'completed', 'received'] as const;

// As a Python hub writes it: dates as dates, whole numbers as integers; `label` and `display_data` only if set.
function documentOf(task: StoredTask): Dict {
  const { label, display_data, ...rest } = task;
  const dates = DATES.map((key) => {
    const text = task[key];
    // The driver stores milliseconds; Date drops the other digits.
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

/** Translates a query: replaces older names of keys and operators, and converts globs to regular expressions. */
function toMongoQuery(query: Dict): Dict {
  const translated = new Map<string, unknown>();
  const duplicates: Dict[] = [];
  for (const [name, condition] of Object.entries(query)) {
    const [root = '', ...path] = name.split('.');
    const key = [NAMES[root] ?? root, ...path].join('.');
    const junction = name.startsWith('$') && Array.isArray(condition);
    const value = junction
      ? condition.map((item) => toMongoQuery(item as Dict))
      : toMongoOperators(condition);
    // A query may contain the older and the current name of a key.
    if (translated.has(key)) duplicates.push({ [key]: value });
    else translated.set(key, value);
  }
  const plain = Object.fromEntries(translated);
  return duplicates.length === 0 ? plain : { $and: [plain, ...duplicates] };
}

function toMongoOperators(condition: unknown): unknown {
  if (!isDict(condition) || !Object.keys(condition).some((name) => name.startsWith('$'))) return condition;
  return Object.fromEntries(
    Object.entries(condition).map(([name, operand]) => {
      if (name === '$glob') return ['$regex', globToRegex(String(operand))];
      if (name === '$not') return [name, toMongoOperators(operand)];
      if (name === '$elemMatch' && isDict(operand)) {
        const onItem = Object.keys(operand).some((inner) => inner.startsWith('$'));
        return [name, onItem ? toMongoOperators(operand) : toMongoQuery(operand)];
      }
      return [OPERATORS[name] ?? name, operand];
    }),
  );
}

/** Converts a pattern of Python's fnmatch to a regular expression. */
function globToRegex(glob: string): string {
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
      regex += setToRegex(chars.slice(from, to), negated);
      i = to;
    } else regex += escapeChar(char);
  }
  return `(?s)^${regex}\\z`;
}

function setToRegex(members: readonly string[], negated: boolean): string {
  let set = '';
  for (let i = 0; i < members.length; i++) {
    const low = members[i] as string;
    const high = members[i + 1] === '-' && i + 2 < members.length ? (members[i + 2] as string) : low;
    if (members[i + 1] === '-' && i + 2 < members.length) i += 2;
    if ((low.codePointAt(0) ?? 0) <= (high.codePointAt(0) ?? 0))
      set += `${escapeChar(low)}-${escapeChar(high)}`;
  }
  if (set === '') return negated ? '.' : '[^\\x{0}-\\x{10ffff}]';
  return `[${negated ? '^' : ''}${set}]`;
}

const escapeChar = (char: string): string => `\\x{${(char.codePointAt(0) ?? 0).toString(16)}}`;
