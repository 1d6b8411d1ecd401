import type { Client, DbQuery, DbQueryOptions } from '@ipyparallel-js/client';
import type {
  Dict,
  FullRecord,
  Projected,
  ProjectionKey,
  TaskQuery,
  TaskRecord,
} from '@ipyparallel-js/protocol';
import { from, type Observable } from 'rxjs';
import { describe, expectTypeOf, it } from 'vitest';

declare const rc: Client;
declare const date: Date;

describe('a query that must not compile', () => {
  it('has a key that no TaskRecord has', () => {
    // @ts-expect-error a typo of the documentation for "completed"
    rc.dbQuery({ complete: null });
    // @ts-expect-error misspelt
    rc.dbQuery({ msgid: 'a' });
    // @ts-expect-error misspelt next to a correct key
    rc.dbQuery({ queue: 'mux', strated: null });
    // @ts-expect-error a path that begins with an unknown key
    rc.dbQuery({ 'contents.code': 'x' });
    // @ts-expect-error a path into a string
    rc.dbQuery({ 'stdout.length': 5 });
    // @ts-expect-error a path into a date
    rc.dbQuery({ 'started.year': 2026 });
  });

  it('requests a key that no TaskRecord has', () => {
    // @ts-expect-error misspelt
    rc.dbQuery({}, 'complete');
    // @ts-expect-error misspelt
    rc.dbQuery({}, ['msg_id', 'complete']);
    // @ts-expect-error misspelt in options
    rc.dbQuery({}, { keys: ['complete'] });
    // @ts-expect-error a path is not a key
    rc.dbQuery({}, ['result_content.status']);
    // @ts-expect-error no such option
    rc.dbQuery({}, { key: 'msg_id' });
    // @ts-expect-error must be a number of ms
    rc.dbQuery({}, { timeout: '5s' });
  });

  it('compares a date with something else', () => {
    // @ts-expect-error a text
    rc.dbQuery({ started: '2026-01-01' });
    // @ts-expect-error a text
    rc.dbQuery({ started: { $gte: '2026-01-01' } });
    // @ts-expect-error a number
    rc.dbQuery({ started: { $gte: Date.now() } });
    // @ts-expect-error a list of strings
    rc.dbQuery({ completed: { $in: ['2026-01-01'] } });
    // @ts-expect-error a date inside a dict is a string
    rc.dbQuery({ 'header.date': { $gte: date } });
  });

  it('compares a string with something else', () => {
    // @ts-expect-error a number
    rc.dbQuery({ msg_id: 5 });
    // @ts-expect-error a number
    rc.dbQuery({ queue: { $in: [5] } });
    // @ts-expect-error a date
    rc.dbQuery({ label: { $gt: date } });
    // @ts-expect-error this is the id of the new task, although the documentation calls it a date
    rc.dbQuery({ resubmitted: { $gte: date } });
  });

  it('compares a dict or buffers with something else', () => {
    // @ts-expect-error a text
    rc.dbQuery({ content: 'x' });
    // @ts-expect-error a number
    rc.dbQuery({ result_content: { $eq: 5 } });
    // @ts-expect-error buffers can only be compared with null
    rc.dbQuery({ buffers: { $eq: [new Uint8Array()] } });
    // @ts-expect-error buffers have no order
    rc.dbQuery({ buffers: { $gt: null } });
  });

  it('has an unknown operator', () => {
    // @ts-expect-error no operator of that name
    rc.dbQuery({ msg_id: { $gtee: 'a' } });
    // @ts-expect-error no operator of that name at the top level
    rc.dbQuery({ $xor: [{ queue: 'mux' }] });
    // @ts-expect-error not at the top level
    rc.dbQuery({ $gt: 5 });
    // @ts-expect-error $or is not allowed inside a condition
    rc.dbQuery({ queue: { $or: ['mux'] } });
    // @ts-expect-error must be a list
    rc.dbQuery({ queue: { $in: 'mux' } });
    // @ts-expect-error no operator of that name on a dict
    rc.dbQuery({ content: { $foo: 1 } });
    // @ts-expect-error no operator of that name on a path
    rc.dbQuery({ 'content.code': { $foo: 1 } });
    // @ts-expect-error not an operator
    rc.dbQuery({ queue: { in: ['mux'] } });
  });

  it('has an invalid branch', () => {
    // @ts-expect-error must be a list
    rc.dbQuery({ $or: { queue: 'mux' } });
    // @ts-expect-error a list of queries
    rc.dbQuery({ $and: ['mux'] });
    // @ts-expect-error misspelt inside
    rc.dbQuery({ $nor: [{ queue: 'mux' }, { complete: null }] });
    // @ts-expect-error a wrong value in a nested branch
    rc.dbQuery({ $or: [{ $and: [{ started: 5 }] }] });
  });

  it('has an invalid operand', () => {
    // @ts-expect-error true or false
    rc.dbQuery({ 'content.a': { $exists: 'yes' } });
    // @ts-expect-error two numbers
    rc.dbQuery({ 'content.a': { $mod: [5] } });
    // @ts-expect-error two numbers
    rc.dbQuery({ 'content.a': { $mod: 5 } });
    // @ts-expect-error a number
    rc.dbQuery({ 'content.a': { $size: '2' } });
    // @ts-expect-error a list
    rc.dbQuery({ 'content.a': { $all: 'x' } });
    // @ts-expect-error no type of that name
    rc.dbQuery({ 'content.a': { $type: 'text' } });
    // @ts-expect-error operators or a pattern
    rc.dbQuery({ 'content.a': { $not: 5 } });
    // @ts-expect-error an object
    rc.dbQuery({ 'content.a': { $elemMatch: 5 } });
    // @ts-expect-error flags must be a string
    rc.dbQuery({ stdout: { $regex: 'x', $options: ['i'] } });
    // @ts-expect-error must be a date inside too
    rc.dbQuery({ started: { $not: { $gt: 'x' } } });
  });

  it('has an operator that cannot match the column', () => {
    // @ts-expect-error a string is not a number
    rc.dbQuery({ stdout: { $mod: [2, 0] } });
    // @ts-expect-error a date is not a list
    rc.dbQuery({ started: { $size: 2 } });
    // @ts-expect-error a dict is not a list
    rc.dbQuery({ content: { $elemMatch: { a: 1 } } });
    // @ts-expect-error buffers have no order
    rc.dbQuery({ buffers: { $in: [null] } });
  });

  it('has a pattern for a column without text', () => {
    // @ts-expect-error a date
    rc.dbQuery({ started: { $regex: '2026' } });
    // @ts-expect-error a date
    rc.dbQuery({ started: /2026/ });
    // @ts-expect-error a dict
    rc.dbQuery({ content: { $not: /x/ } });
    // @ts-expect-error a date
    rc.dbQuery({ started: { $glob: '2026-*' } });
    // @ts-expect-error a dict
    rc.dbQuery({ content: { $glob: '*' } });
    // @ts-expect-error a pattern must be a string
    rc.dbQuery({ stdout: { $glob: /x/ } });
    // @ts-expect-error a pattern must not be null
    rc.dbQuery({ stdout: { $glob: null } });
  });
});

describe('a query that must compile', () => {
  it('may be every example of the documentation', () => {
    rc.dbQuery({});
    rc.dbQuery({ completed: null }, ['msg_id', 'started']);
    rc.dbQuery({ started: { $gte: date }, client_uuid: rc.session.session });
    rc.dbQuery({ started: { $le: date }, client_uuid: { $ne: rc.session.session } });
    rc.dbQuery({ engine_uuid: { $in: [3, 4].map((id) => rc.engines.get(id)) } }, 'result_header');
  });

  it('may have nulls, several operators, older names, paths', () => {
    rc.dbQuery({ msg_id: null, started: null, content: null, buffers: null, pyout: null });
    rc.dbQuery({ started: { $gte: date, $lt: date, $ne: null, $nin: [date, null], $ge: date } });
    rc.dbQuery({ stdout: { $glob: '*x*', $gt: '', $lte: null } });
    rc.dbQuery({ pyin: { $glob: 'import *' }, 'pyerr.ename': 'ValueError', 'pyout.data': { a: 1 } });
    rc.dbQuery({ 'result_content.status': { $in: ['error', null] }, 'header.n': { $gte: 5 } });
    rc.dbQuery({ 'content.list': [1, { a: null }], 'content.flag': true, 'content.code': { $glob: '*' } });
    rc.dbQuery({ content: { code: 'x', nested: { list: [1] } }, error: { $ne: {} } });
    rc.dbQuery({ buffers: { $ne: null }, result_buffers: { $eq: null } });
  });

  it('may have sub-queries, negations and patterns', () => {
    rc.dbQuery({ $or: [{ queue: 'mux' }, { $and: [{ started: null }, { $nor: [{ label: 'x' }] }] }, {}] });
    rc.dbQuery({ queue: 'mux', $or: [{ completed: null }, { 'content.a': { $gt: 5 } }] });
    rc.dbQuery({ stdout: /error/i, stderr: { $regex: '^Trace', $options: 'm' }, label: { $not: /x/ } });
    rc.dbQuery({ stdout: { $in: ['a', /b/, null], $nin: [/c/] }, 'content.code': /import/ });
    rc.dbQuery({
      started: { $not: { $gte: date } },
      content: { $not: { $eq: {} } },
      engine_uuid: { $exists: true },
    });
    rc.dbQuery({ queue: { $all: ['mux'], $type: ['string', 'null'], $not: { $in: ['a'], $glob: 'x*' } } });
    rc.dbQuery({
      'content.list': {
        $size: 3,
        $mod: [4, 0],
        $all: [1, 'x', /y/],
        $elemMatch: { $gt: 1, $lt: 5 },
        $type: 16,
        $exists: false,
      },
    });
    rc.dbQuery({
      'content.list': { $elemMatch: { name: 'x', 'n.m': { $gt: 1 }, $or: [{ a: 1 }, { b: /x/ }] } },
    });
    rc.dbQuery({ 'content.list': { $all: [{ $elemMatch: { a: 1 } }, { $elemMatch: { b: { $ne: 1 } } }] } });
    rc.dbQuery({ buffers: { $exists: true } });
  });

  it('may be a variable of type TaskQuery', () => {
    const query: TaskQuery = { queue: 'task', completed: { $ne: null } };
    const more: TaskQuery = { ...query, label: 'x' };
    const keys: readonly ('msg_id' | 'started')[] = ['msg_id', 'started'];
    expectTypeOf(rc.dbQuery(more, keys)).resolves.items.toEqualTypeOf<Projected<'msg_id' | 'started'>>();
    const options: DbQueryOptions<'label'> = { keys: 'label', timeout: Number.POSITIVE_INFINITY };
    expectTypeOf(rc.dbQuery(more, options)).resolves.items.toEqualTypeOf<Projected<'label'>>();
  });
});

describe('the records of a result', () => {
  it('have the literal keys and msg_id', async () => {
    const [row] = await rc.dbQuery({}, ['started', 'queue']);
    expectTypeOf(row).toEqualTypeOf<Projected<'started' | 'queue'> | undefined>();
    expectTypeOf<NonNullable<typeof row>>().toEqualTypeOf<{
      readonly msg_id: string;
      readonly started: Date | null;
      readonly queue: string | null;
    }>();
    // @ts-expect-error not requested
    row?.completed;
  });

  it('have one key, given as a string', async () => {
    const [row] = await rc.dbQuery({}, 'result_header');
    expectTypeOf(row?.result_header).toEqualTypeOf<Dict | null | undefined>();
    expectTypeOf(row?.msg_id).toEqualTypeOf<string | undefined>();
    // @ts-expect-error not requested
    row?.started;
  });

  it('have msg_id alone for no keys, and once for msg_id', async () => {
    const [only] = await rc.dbQuery({}, 'msg_id');
    expectTypeOf<NonNullable<typeof only>>().toEqualTypeOf<{ readonly msg_id: string }>();
    const [none] = await rc.dbQuery({}, []);
    expectTypeOf(none?.msg_id).toEqualTypeOf<string | undefined>();
  });

  it('have the keys of options', async () => {
    const [row] = await rc.dbQuery(
      {},
      { keys: ['completed'], timeout: 5_000, signal: new AbortController().signal },
    );
    expectTypeOf<NonNullable<typeof row>>().toEqualTypeOf<{
      readonly msg_id: string;
      readonly completed: Date | null;
    }>();
    const [single] = await rc.dbQuery({}, { keys: 'stdout' });
    expectTypeOf(single?.stdout).toEqualTypeOf<string | null | undefined>();
  });

  it('have the older names that were requested', async () => {
    const [row] = await rc.dbQuery({}, ['pyin', 'pyout', 'pyerr']);
    expectTypeOf<NonNullable<typeof row>>().toEqualTypeOf<{
      readonly msg_id: string;
      readonly pyin: string | null;
      readonly pyout: Dict | null;
      readonly pyerr: Dict | null;
    }>();
  });

  it('have buffers only if they were requested', async () => {
    const [row] = await rc.dbQuery({}, 'buffers');
    expectTypeOf(row?.buffers).toEqualTypeOf<readonly Uint8Array[] | null | undefined>();
    const [full] = await rc.dbQuery({});
    expectTypeOf(full).toEqualTypeOf<FullRecord | undefined>();
    // @ts-expect-error not requested
    full?.buffers;
    // @ts-expect-error not requested
    full?.result_buffers;
    expectTypeOf<keyof FullRecord>().toEqualTypeOf<Exclude<keyof TaskRecord, 'buffers' | 'result_buffers'>>();
  });

  it('are full for options without keys', async () => {
    const [row] = await rc.dbQuery({ queue: 'task' }, { timeout: 1_000 });
    expectTypeOf(row).toEqualTypeOf<FullRecord | undefined>();
  });

  it('cannot be written to', async () => {
    const [row] = await rc.dbQuery({}, 'stdout');
    if (row === undefined) return;
    // @ts-expect-error records are read-only
    row.stdout = '';
  });

  it('have the keys of a union if only the union is known', async () => {
    const key = 'started' as 'started' | 'completed';
    const [row] = await rc.dbQuery({}, key);
    expectTypeOf(row?.started).toEqualTypeOf<Date | null | undefined>();
    const keys: ProjectionKey[] = ['started'];
    const [any] = await rc.dbQuery({}, keys);
    expectTypeOf(any?.msg_id).toEqualTypeOf<string | undefined>();
  });
});

describe('a query object', () => {
  it('is a promise, a stream of records, and a live query', () => {
    const query = rc.dbQuery({}, 'label');
    expectTypeOf(query).toEqualTypeOf<DbQuery<Projected<'label'>>>();
    expectTypeOf(query).toExtend<PromiseLike<Projected<'label'>[]>>();
    expectTypeOf(query.stream()).toEqualTypeOf<AsyncGenerator<Projected<'label'>, void, undefined>>();
    expectTypeOf(query.poll(500)).toEqualTypeOf<Observable<Projected<'label'>[]>>();
    // @ts-expect-error the query itself is not an AsyncIterable
    query[Symbol.asyncIterator];
  });

  it('is one value for RxJS, not one emission per record', () => {
    expectTypeOf(from(rc.dbQuery({}, 'label'))).toEqualTypeOf<Observable<Projected<'label'>[]>>();
  });

  it('works in Promise.all', async () => {
    const [rows, ids] = await Promise.all([rc.dbQuery({}, 'queue'), rc.hubHistory()]);
    expectTypeOf(rows).toEqualTypeOf<Projected<'queue'>[]>();
    expectTypeOf(ids).toEqualTypeOf<string[]>();
  });
});
