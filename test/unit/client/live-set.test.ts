import type { WatchEvent } from '@ipyparallel-js/client';
import {
  ConflatedQueue,
  type Difference,
  type LiveChange,
  LiveSet,
  RecheckSchedule,
  type Row,
} from '@ipyparallel-js/client/internal';
import { describe, expect, it } from 'vitest';
import { WatchReplay } from '../../support/watch-replay.js';

type Record = { readonly msg_id: string; readonly stdout: string | null };

const KEYS = [
  { name: 'msg_id', column: 'msg_id' },
  { name: 'stdout', column: 'stdout' },
] as const;

function row(msg_id: string, more: Partial<Row> = {}): Row {
  return { msg_id, stdout: '', engine_uuid: null, completed: null, result_content: null, ...more };
}

const set = (msg_id: string, more?: Partial<Row>): LiveChange => ({ op: 'set', row: row(msg_id, more) });
const OK_FIELDS = { engine_uuid: 'e', completed: new Date(5), result_content: { status: 'ok' } };

/** A difference as the event that a subscriber receives. */
function toEvent({ type, now, ...rest }: Difference): WatchEvent<Record> {
  const event = { status: now.status, begun: now.begun, sequence: '' };
  const record = now.record as Record;
  if (type === 'entered') return { type, record, ...event };
  const { previous } = rest as Extract<Difference, { type: 'changed' | 'left' }>;
  return { type, record, ...event, previous: previous.record as Record };
}

function snapshot(live: LiveSet): WatchEvent<Record> {
  const rows = [...live.rows];
  return {
    type: 'snapshot',
    records: rows.map(({ record }) => record as Record),
    statuses: rows.map(({ status }) => status),
    begun: rows.map(({ begun }) => begun),
    sequence: '',
  };
}

describe('a live set', () => {
  it('returns each difference once, with the previous record', () => {
    const live = new LiveSet({ keys: KEYS });
    const events = live
      .apply([
        set('a'),
        set('a'),
        set('a', { engine_uuid: 'e' }),
        { op: 'begun', msgId: 'a', begun: new Date(1) },
        { op: 'begun', msgId: 'a', begun: new Date(1) },
        set('a', { engine_uuid: 'e', stdout: 'x' }),
        set('a', { ...OK_FIELDS, stdout: 'x' }),
        { op: 'begun', msgId: 'a', begun: new Date(2) },
        { op: 'out', msgId: 'a', row: row('a', { ...OK_FIELDS, stdout: 'xy' }) },
        { op: 'gone', msgId: 'a' },
        { op: 'out', msgId: 'b' },
      ])
      .map(toEvent);
    const initial = { msg_id: 'a', stdout: '' };
    const printed = { msg_id: 'a', stdout: 'x' };
    const begun = new Date(1);
    const sequence = '';
    expect(events).toEqual([
      { type: 'entered', record: initial, status: 'unassigned', begun: null, sequence },
      { type: 'changed', record: initial, previous: initial, status: 'assigned', begun: null, sequence },
      { type: 'changed', record: initial, previous: initial, status: 'assigned', begun, sequence },
      { type: 'changed', record: printed, previous: initial, status: 'assigned', begun, sequence },
      { type: 'changed', record: printed, previous: printed, status: 'completed', begun, sequence },
      {
        ...{ type: 'left', record: { msg_id: 'a', stdout: 'xy' }, previous: printed },
        ...{ status: 'completed', begun, sequence },
      },
    ]);
  });

  it('returns a removed record as it was, with status purged', () => {
    const live = new LiveSet({ keys: KEYS });
    live.apply([set('a', OK_FIELDS)]);
    expect(live.apply([{ op: 'gone', msgId: 'a' }]).map(toEvent)).toMatchObject([
      { type: 'left', status: 'purged', record: { msg_id: 'a' }, previous: { msg_id: 'a' } },
    ]);
    expect(live.size).toBe(0);
  });

  it('keeps the status lost until the task ends after all', () => {
    const live = new LiveSet({ keys: KEYS });
    live.apply([set('a'), set('b', OK_FIELDS)]);
    const lost: LiveChange[] = [
      { op: 'lost', msgId: 'a' },
      { op: 'lost', msgId: 'b' },
      { op: 'lost', msgId: 'c' },
    ];
    expect(live.apply(lost).map(toEvent)).toMatchObject([{ type: 'changed', status: 'lost' }]);
    expect(live.apply([set('a')])).toEqual([]);
    expect(live.apply([set('a', OK_FIELDS)]).map(toEvent)).toMatchObject([
      { type: 'changed', status: 'completed' },
    ]);
  });

  it('stores the requested keys of a record only', () => {
    const live = new LiveSet({ keys: KEYS });
    live.apply([set('a', { ...OK_FIELDS, content: { large: 'x' } })]);
    expect(live.get('a')).toEqual({ record: { msg_id: 'a', stdout: '' }, status: 'completed', begun: null });
    const unprojected = new LiveSet({ keys: undefined });
    unprojected.apply([set('a', { content: { large: 'x' } })]);
    expect(unprojected.get('a')?.record).toMatchObject({ content: { large: 'x' }, header: null });
    expect(unprojected.get('a')?.record).not.toHaveProperty('buffers');
  });

  it('compares dates, dicts and bytes by value', () => {
    const keys = (['msg_id', 'completed', 'header', 'result_buffers'] as const).map((name) => ({
      name,
      column: name,
    }));
    const live = new LiveSet({ keys });
    const setWith = (byte: number, time: number) =>
      set('a', { completed: new Date(time), header: { a: [1] }, result_buffers: [Buffer.from([byte])] });
    expect(
      live
        .apply([setWith(1, 1), setWith(1, 1), setWith(2, 1), setWith(2, 1), setWith(2, 2)])
        .map(({ type }) => type),
    ).toEqual(['entered', 'changed', 'changed']);
  });
});

/** A random generator with a fixed seed. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('a conflated queue', () => {
  it('leads a slow reader to the same records through consistent events', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const next = random(seed);
      const live = new LiveSet({ keys: KEYS });
      const queue = new ConflatedQueue();
      const replay = new WatchReplay<Record>();
      live.apply([set('0'), set('1')]);
      replay.apply(snapshot(live));
      const readNext = (): void => {
        const difference = queue.shift();
        if (difference !== undefined) replay.apply(toEvent(difference));
      };
      for (let step = 0; step < 400; step++) {
        const id = String(next(8));
        const change: LiveChange =
          next(3) === 0
            ? { op: next(2) === 0 ? 'out' : 'gone', msgId: id }
            : set(id, { stdout: 'x'.repeat(next(3)), ...(next(2) === 0 ? OK_FIELDS : {}) });
        for (const difference of live.apply([change])) queue.push(difference);
        if (next(4) === 0) readNext();
        expect(queue.size).toBeLessThanOrEqual(16);
      }
      while (queue.size > 0) readNext();
      expect(replay.faults).toEqual([]);
      expect([...replay.known].sort()).toEqual([...live.ids].map((id) => [id, live.get(id)]).sort());
    }
  });

  it('drops differences that cancel out', () => {
    const live = new LiveSet({ keys: KEYS });
    const queue = new ConflatedQueue();
    live.apply([set('a')]);
    const changes = [
      set('b'),
      { op: 'gone', msgId: 'b' } as const,
      set('a', { stdout: 'x' }),
      set('a'),
      { op: 'out', msgId: 'a' } as const,
      set('a'),
    ];
    for (const difference of live.apply(changes)) queue.push(difference);
    expect(queue.size).toBe(0);
  });
});

describe('a recheck schedule', () => {
  const create = (outputMatters = true): RecheckSchedule => new RecheckSchedule(outputMatters);
  const pendingRow = row('a');
  const endedRow = row('a', OK_FIELDS);
  const printed = (length: number) =>
    ({ kind: 'output', msgId: 'a', output: { column: 'stdout', length } }) as const;

  it('rechecks an ended task until its record has ended', () => {
    const schedule = create(false);
    schedule.note({ kind: 'ended', msgId: 'a' }, 0);
    expect(schedule.due(0)).toEqual(['a']);
    schedule.resolve('a', pendingRow, 0, 2);
    expect(schedule.due(2)).toEqual([]);
    const nextCheck = schedule.next;
    expect(nextCheck).toBeGreaterThan(2);
    expect(nextCheck).toBeLessThan(20);
    schedule.resolve('a', endedRow, nextCheck, nextCheck + 2);
    expect(schedule.next).toBe(Number.POSITIVE_INFINITY);
    expect(schedule.has('a')).toBe(false);
  });

  it('ignores the reply to a request that was sent before the signal', () => {
    const schedule = create(false);
    schedule.note({ kind: 'begun', msgId: 'a', at: new Date(0) }, 0);
    schedule.note({ kind: 'ended', msgId: 'a' }, 5);
    schedule.resolve('a', endedRow, 3, 8);
    expect(schedule.due(8)).toEqual(['a']);
  });

  it('gives up on a task without a record, without an end, or without its output', () => {
    const output = [printed(3)];
    for (const [reply, signals] of [
      [undefined, []],
      [pendingRow, []],
      [endedRow, output],
    ] as const) {
      const schedule = create();
      for (const signal of signals) schedule.note(signal, 0);
      schedule.note({ kind: 'ended', msgId: 'a' }, 0);
      let requests = 0;
      for (; schedule.next < 600_000; requests++)
        schedule.resolve('a', reply, schedule.next, schedule.next + 1);
      expect(requests).toBeGreaterThan(3);
      expect(requests).toBeLessThan(100);
    }
  });

  it('rechecks until the record has the printed output, however old', () => {
    const schedule = create();
    schedule.note(printed(2), 0);
    schedule.resolve('a', row('a', { stdout: 'xx' }), 1_000, 1_001);
    expect(schedule.next).toBe(Number.POSITIVE_INFINITY);
    schedule.note(printed(3), 5_000);
    schedule.note({ kind: 'ended', msgId: 'a' }, 5_001);
    schedule.resolve('a', row('a', { ...OK_FIELDS, stdout: 'xx' }), 8_000, 8_001);
    expect(schedule.next).toBeLessThan(8_100);
    schedule.resolve('a', row('a', { ...OK_FIELDS, stdout: 'xxyyy' }), 9_000, 9_001);
    expect(schedule.has('a')).toBe(false);
  });

  it('rechecks once more after the end where output matters, and not for each line', () => {
    const schedule = create();
    schedule.note(printed(0), 100);
    expect(schedule.due(100)).toEqual([]);
    expect(schedule.next).toBeLessThan(200);
    schedule.note({ kind: 'ended', msgId: 'a' }, 110);
    expect(schedule.due(110)).toEqual(['a']);
    schedule.resolve('a', endedRow, 110.5, 115);
    const nextCheck = schedule.next;
    expect(nextCheck).toBeLessThan(1_000);
    schedule.resolve('a', endedRow, nextCheck, nextCheck + 1);
    expect(schedule.next).toBe(Number.POSITIVE_INFINITY);
    expect(create(false).note(printed(1), 0)).toBe(false);
  });
});
