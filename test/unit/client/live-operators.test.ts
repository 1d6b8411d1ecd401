import {
  type ChangeEvent,
  groupByStatus,
  progress,
  records,
  type TaskStatus,
  untilDone,
  type WatchEvent,
} from '@ipyparallel-js/client';
import { type OperatorFunction, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';

type Event = WatchEvent<{ readonly msg_id: string }>;

const snapshot = (statuses: { readonly [id: string]: TaskStatus }): Event => ({
  type: 'snapshot',
  records: Object.keys(statuses).map((msg_id) => ({ msg_id })),
  statuses: Object.values(statuses),
  begun: Object.keys(statuses).map(() => null),
  sequence: 's',
});

function change(type: ChangeEvent<unknown>['type'], msg_id: string, status: TaskStatus): Event {
  const event = { record: { msg_id }, status, begun: null, sequence: 's' };
  return type === 'entered' ? { type, ...event } : { type, ...event, previous: { msg_id } };
}

/** The values that an operator emits for groups of events, with a microtask after each group. */
async function through<A>(
  operator: OperatorFunction<Event, A>,
  groups: readonly (readonly Event[])[],
): Promise<{ readonly values: A[]; readonly completed: boolean; readonly error: unknown }> {
  const source = new Subject<Event>();
  const out: { values: A[]; completed: boolean; error: unknown } = {
    ...{ values: [], completed: false, error: undefined },
  };
  source.pipe(operator).subscribe({
    next: (value) => out.values.push(value),
    complete: () => {
      out.completed = true;
    },
  });
  for (const group of groups) {
    for (const event of group) source.next(event);
    await Promise.resolve();
  }
  return out;
}

describe('untilDone', () => {
  it('completes when the snapshot has arrived and all its tasks have ended', async () => {
    const events = [
      snapshot({ a: 'assigned', b: 'completed' }),
      change('entered', 'c', 'unassigned'),
      change('changed', 'a', 'failed'),
      change('changed', 'c', 'aborted'),
      change('entered', 'd', 'unassigned'),
    ];
    const { values, completed } = await through(untilDone(), [events]);
    expect(values).toEqual(events.slice(0, 4));
    expect(completed).toBe(true);
  });

  it('counts a record that left as ended, and completes for an empty snapshot', async () => {
    expect((await through(untilDone(), [[snapshot({})]])).completed).toBe(true);
    const left = [snapshot({ a: 'assigned' }), change('left', 'a', 'assigned')];
    expect((await through(untilDone(), [left])).completed).toBe(true);
  });

  it('waits for the given number of tasks', async () => {
    const some = [snapshot({}), change('entered', 'a', 'completed')];
    expect((await through(untilDone({ atLeast: 2 }), [some])).completed).toBe(false);
    const all = [...some, change('left', 'a', 'purged'), change('entered', 'b', 'completed')];
    expect((await through(untilDone({ atLeast: 2 }), [all])).completed).toBe(true);
  });

  it('passes errors on, and unsubscribes from its source', () => {
    const source = new Subject<Event>();
    let seen: unknown;
    source.pipe(untilDone()).subscribe({
      error: (error: unknown) => {
        seen = error;
      },
    });
    source.error('broken');
    expect(seen).toBe('broken');
    const other = new Subject<Event>();
    const subscription = other.pipe(untilDone()).subscribe();
    subscription.unsubscribe();
    expect(other.observed).toBe(false);
  });
});

describe('summaries of all matching records', () => {
  const groups = [
    [snapshot({ a: 'assigned', b: 'completed' })],
    [change('entered', 'c', 'unassigned'), change('changed', 'a', 'failed')],
    [change('left', 'b', 'purged')],
  ];

  it('records: all matching records', async () => {
    const { values } = await through(records(), groups);
    expect(values.map((now) => now.map(({ msg_id }) => msg_id))).toEqual([
      ['a', 'b'],
      ['a', 'b', 'c'],
      ['a', 'c'],
    ]);
  });

  it('groupByStatus: the same records by status', async () => {
    const { values } = await through(groupByStatus(), groups);
    expect(values.map((now) => Object.fromEntries(now))).toEqual([
      { assigned: [{ msg_id: 'a' }], completed: [{ msg_id: 'b' }] },
      { failed: [{ msg_id: 'a' }], completed: [{ msg_id: 'b' }], unassigned: [{ msg_id: 'c' }] },
      { failed: [{ msg_id: 'a' }], unassigned: [{ msg_id: 'c' }] },
    ]);
  });

  it('progress: the progress of their tasks', async () => {
    const { values } = await through(progress(), groups);
    expect(values.map(({ total, done, completed, failed }) => [total, done, completed, failed])).toEqual([
      [2, 1, 1, 0],
      [3, 2, 1, 1],
      [2, 1, 0, 1],
    ]);
  });

  it('emits the last summary before completion, and nothing after unsubscription', async () => {
    const source = new Subject<Event>();
    const totals: number[] = [];
    source.pipe(progress()).subscribe(({ total }) => totals.push(total));
    source.next(snapshot({ a: 'assigned' }));
    source.complete();
    expect(totals).toEqual([1]);
    const other = new Subject<Event>();
    const subscription = other.pipe(progress()).subscribe(({ total }) => totals.push(total));
    other.next(snapshot({ a: 'assigned' }));
    subscription.unsubscribe();
    await Promise.resolve();
    expect(totals).toEqual([1]);
  });
});
