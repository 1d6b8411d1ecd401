import type { Collection } from 'mongodb';
import type { TaskChange } from '../task-database.js';
import { EXTRAS, extrasOf, type TaskDocument } from './document.js';
import { type Driver, isOutage } from './driver.js';
import { foldChanges } from './fold-changes.js';
import { KnownTasks, type StoredState } from './known-tasks.js';
import { type PreparedWrite, type PrepareOptions, prepareWrite } from './prepare-write.js';
import { type Failure, WriteSender } from './write-sender.js';

/** What one batch changed in how much there is. */
export interface Written {
  readonly added: number;
  readonly bytes: number;
}

export interface TaskWriterOptions extends PrepareOptions {
  readonly driver: Driver;
  readonly records: Collection<TaskDocument>;
}

/** A batch on its way. */
interface Batch {
  readonly writes: PreparedWrite[];
  /** Those that need not be sent again after an outage. */
  readonly sent: Set<PreparedWrite>;
  readonly refused: Set<PreparedWrite>;
}

const DUPLICATE = 11_000;
const GET_CHUNK = 1000;

/** Turns batches of changes into writes of documents. */
export class TaskWriter {
  readonly #options: TaskWriterOptions;
  readonly #sender: WriteSender;
  readonly #known = new KnownTasks();
  readonly #batches = new WeakMap<readonly TaskChange[], Batch>();

  constructor(options: TaskWriterOptions) {
    this.#options = options;
    this.#sender = new WriteSender(options);
  }

  /**
   * Writes a batch: one look at what is not known of the tasks, then one write for each. A task that the server refuses is
   * told, and the others are written. After an outage the same batch (the same array) may be given again: it is written with
   * the values of the first attempt, so nothing is doubled.
   */
  async write(changes: readonly TaskChange[]): Promise<Written> {
    let batch = this.#batches.get(changes);
    if (batch === undefined) {
      batch = { writes: await this.#prepareAll(changes), sent: new Set(), refused: new Set() };
      this.#batches.set(changes, batch);
    }
    await this.#send(batch, changes);
    const { writes, refused } = batch;
    const done = writes.filter((write) => !refused.has(write));
    for (const { msgId } of refused) this.#known.forget(msgId);
    for (const { msgId, after } of done) this.#known.set(msgId, after);
    await this.#giveBack(done);
    return {
      added: done.filter(({ operation }) => 'insertOne' in operation).length,
      bytes: done.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  /** These tasks are not there any more. */
  removed(msgIds: readonly string[]): void {
    for (const msgId of msgIds) this.#known.forget(msgId);
  }

  async #prepareAll(changes: readonly TaskChange[]): Promise<PreparedWrite[]> {
    const known = await this.#knownBefore(changes);
    const writes: PreparedWrite[] = [];
    for (const task of foldChanges(changes, known)) {
      const made = await prepareWrite(task, known.get(task.msgId), this.#options);
      if (made !== undefined) writes.push(made);
    }
    return writes;
  }

  async #knownBefore(changes: readonly TaskChange[]): Promise<Map<string, StoredState>> {
    const known = new Map<string, StoredState>();
    const wanted = new Set<string>();
    const added = new Set<string>();
    for (const change of changes) {
      const msgId = idOf(change);
      const state = this.#known.get(msgId);
      if (state !== undefined) known.set(msgId, state);
      // A new task is taken for new: the unique index tells when it is not.
      else if (change.op === 'add' && !wanted.has(msgId)) added.add(msgId);
      else if (!added.has(msgId)) wanted.add(msgId);
    }
    for (const [msgId, state] of await this.#read([...wanted])) known.set(msgId, state);
    return known;
  }

  async #read(msgIds: readonly string[]): Promise<Map<string, StoredState>> {
    const { records } = this.#options;
    const states = new Map<string, StoredState>();
    for (let at = 0; at < msgIds.length; at += GET_CHUNK) {
      const cursor = records.find(
        { msg_id: { $in: msgIds.slice(at, at + GET_CHUNK) } },
        { projection: { msg_id: 1, stdout: 1, stderr: 1, [EXTRAS]: 1 } },
      );
      for await (const document of cursor) states.set(String(document['msg_id']), stateOf(document));
    }
    return states;
  }

  async #send(batch: Batch, changes: readonly TaskChange[]): Promise<void> {
    const { writes, sent, refused } = batch;
    const done = (write: PreparedWrite): void => {
      sent.add(write);
    };
    const open = writes.filter((write) => !sent.has(write) && !refused.has(write));
    const failed = await this.#sender.send(open, done);
    const isTaken = ({ write, code }: Failure): boolean =>
      code === DUPLICATE && 'insertOne' in write.operation;
    for (const failure of failed) if (!isTaken(failure)) this.#refuse(failure, refused);
    const taken = failed.filter(isTaken).map(({ write }) => write);
    const merged = await this.#merge(taken, changes);
    for (const write of taken) {
      const made = merged.get(write);
      // Should the batch be repeated, then with what was made of it.
      if (made === undefined) sent.add(write);
      else writes[writes.indexOf(write)] = made;
    }
    for (const failure of await this.#sender.send([...merged.values()], done)) this.#refuse(failure, refused);
  }

  /**
   * What becomes of new tasks whose ids are taken. Nothing, where an interrupted attempt of this very write has inserted
   * them; else output came first, and both are made one.
   */
  async #merge(
    taken: readonly PreparedWrite[],
    changes: readonly TaskChange[],
  ): Promise<Map<PreparedWrite, PreparedWrite>> {
    const merged = new Map<PreparedWrite, PreparedWrite>();
    const states = await this.#read(taken.map(({ msgId }) => msgId));
    const others = taken.filter(({ msgId, after }) => {
      const state = states.get(msgId);
      return state !== undefined && String(state.id) !== String(after.id);
    });
    const ids = new Set(others.map(({ msgId }) => msgId));
    const tasks = foldChanges(
      changes.filter((change) => ids.has(idOf(change))),
      states,
    );
    for (const task of tasks) {
      const write = others.find(({ msgId }) => msgId === task.msgId);
      const made = await prepareWrite(task, states.get(task.msgId), this.#options);
      if (write !== undefined && made !== undefined) merged.set(write, made);
    }
    return merged;
  }

  /** Values outside that were replaced take no room any more. */
  async #giveBack(done: readonly PreparedWrite[]): Promise<void> {
    const { driver, outside, log } = this.#options;
    const replaced = done.flatMap((write) => write.replaced);
    if (replaced.length === 0) return;
    try {
      await outside.remove(replaced);
    } catch (error) {
      if (!isOutage(driver, error)) throw error;
      log.warn(`${replaced.length} replaced values keep their room: the server went away`, error);
    }
  }

  #refuse({ write, why }: Failure, refused: Set<PreparedWrite>): void {
    refused.add(write);
    this.#options.log.error(`task ${write.msgId} could not be stored: ${why.slice(0, 500)}`);
  }
}

function idOf(change: TaskChange): string {
  return change.op === 'add' ? change.task.msg_id : change.msgId;
}

function stateOf(document: TaskDocument): StoredState {
  const extras = extrasOf(document);
  const text = (name: 'stdout' | 'stderr'): string | undefined => {
    if (extras.outside?.[name] !== undefined) return undefined;
    const value = document[name];
    return typeof value === 'string' ? value : '';
  };
  return { id: document['_id'], extras, stdout: text('stdout'), stderr: text('stderr') };
}
