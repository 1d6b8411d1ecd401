import type { Collection } from 'mongodb';
import type { TaskChange } from '../task-database.js';
import { type Driver, isOutage } from './driver.js';
import { foldChanges } from './fold-changes.js';
import { type PreparedWrite, type PrepareOptions, prepareWrite } from './prepare-write.js';
import { EXTRAS, extrasOf, type TaskDocument } from './task-document.js';
import { type TaskState, TaskStateCache } from './task-state-cache.js';
import { type Failure, WriteSender } from './write-sender.js';

/** Number of records and bytes that a batch has added. */
export interface WriteTotals {
  readonly added: number;
  readonly bytes: number;
}

export interface TaskWriterOptions extends PrepareOptions {
  readonly driver: Driver;
  readonly records: Collection<TaskDocument>;
}

/** A batch that is being written. */
interface Batch {
  readonly writes: PreparedWrite[];
  /** The writes that need not be repeated after an outage. */
  readonly sentWrites: Set<PreparedWrite>;
  readonly refusedWrites: Set<PreparedWrite>;
}

const DUPLICATE_KEY = 11_000;
const GET_CHUNK = 1000;

/** Turns batches of changes into writes of documents. */
export class TaskWriter {
  readonly #options: TaskWriterOptions;
  readonly #sender: WriteSender;
  readonly #stateCache = new TaskStateCache();
  readonly #batches = new WeakMap<readonly TaskChange[], Batch>();

  constructor(options: TaskWriterOptions) {
    this.#options = options;
    this.#sender = new WriteSender(options);
  }

  /**
   * Writes a batch: reads the states that are not cached, then writes each task once. Logs a task that the server refuses and
   * writes the others. After an outage the caller may pass the same batch (the same array) again. It is then written with the
   * values of the first attempt, so that no output is appended twice.
   */
  async write(changes: readonly TaskChange[]): Promise<WriteTotals> {
    let batch = this.#batches.get(changes);
    if (batch === undefined) {
      batch = { writes: await this.#prepareAll(changes), sentWrites: new Set(), refusedWrites: new Set() };
      this.#batches.set(changes, batch);
    }
    await this.#send(batch, changes);
    const { writes, refusedWrites } = batch;
    const done = writes.filter((write) => !refusedWrites.has(write));
    for (const { msgId } of refusedWrites) this.#stateCache.delete(msgId);
    for (const { msgId, newState } of done) this.#stateCache.set(msgId, newState);
    await this.#removeReplaced(done);
    return {
      added: done.filter(({ operation }) => 'insertOne' in operation).length,
      bytes: done.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  /** Drops removed tasks from the cache. */
  forget(msgIds: readonly string[]): void {
    for (const msgId of msgIds) this.#stateCache.delete(msgId);
  }

  async #prepareAll(changes: readonly TaskChange[]): Promise<PreparedWrite[]> {
    const states = await this.#loadStates(changes);
    const writes: PreparedWrite[] = [];
    for (const task of foldChanges(changes, states)) {
      const prepared = await prepareWrite(task, states.get(task.msgId), this.#options);
      if (prepared !== undefined) writes.push(prepared);
    }
    return writes;
  }

  async #loadStates(changes: readonly TaskChange[]): Promise<Map<string, TaskState>> {
    const states = new Map<string, TaskState>();
    const wanted = new Set<string>();
    const added = new Set<string>();
    for (const change of changes) {
      const msgId = idOf(change);
      const state = this.#stateCache.get(msgId);
      if (state !== undefined) states.set(msgId, state);
      // Assume that an added task does not exist; the unique index reports if it does.
      else if (change.op === 'add' && !wanted.has(msgId)) added.add(msgId);
      else if (!added.has(msgId)) wanted.add(msgId);
    }
    for (const [msgId, state] of await this.#readStates([...wanted])) states.set(msgId, state);
    return states;
  }

  async #readStates(msgIds: readonly string[]): Promise<Map<string, TaskState>> {
    const { records } = this.#options;
    const states = new Map<string, TaskState>();
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
    const { writes, sentWrites, refusedWrites } = batch;
    const done = (write: PreparedWrite): void => {
      sentWrites.add(write);
    };
    const unsent = writes.filter((write) => !sentWrites.has(write) && !refusedWrites.has(write));
    const failed = await this.#sender.send(unsent, done);
    const isDuplicate = ({ write, code }: Failure): boolean =>
      code === DUPLICATE_KEY && 'insertOne' in write.operation;
    for (const failure of failed) if (!isDuplicate(failure)) this.#markRefused(failure, refusedWrites);
    const duplicates = failed.filter(isDuplicate).map(({ write }) => write);
    const merged = await this.#merge(duplicates, changes);
    for (const write of duplicates) {
      const mergedWrite = merged.get(write);
      // A repetition of the batch must use the merged write.
      if (mergedWrite === undefined) sentWrites.add(write);
      else writes[writes.indexOf(write)] = mergedWrite;
    }
    for (const failure of await this.#sender.send([...merged.values()], done))
      this.#markRefused(failure, refusedWrites);
  }

  /**
   * Merges new tasks into the existing records with the same ids, which output has created. Skips tasks that an interrupted
   * attempt of the same write has inserted.
   */
  async #merge(
    duplicates: readonly PreparedWrite[],
    changes: readonly TaskChange[],
  ): Promise<Map<PreparedWrite, PreparedWrite>> {
    const merged = new Map<PreparedWrite, PreparedWrite>();
    const states = await this.#readStates(duplicates.map(({ msgId }) => msgId));
    const conflicts = duplicates.filter(({ msgId, newState }) => {
      const state = states.get(msgId);
      return state !== undefined && String(state.id) !== String(newState.id);
    });
    const ids = new Set(conflicts.map(({ msgId }) => msgId));
    const tasks = foldChanges(
      changes.filter((change) => ids.has(idOf(change))),
      states,
    );
    for (const task of tasks) {
      const write = conflicts.find(({ msgId }) => msgId === task.msgId);
      const prepared = await prepareWrite(task, states.get(task.msgId), this.#options);
      if (write !== undefined && prepared !== undefined) merged.set(write, prepared);
    }
    return merged;
  }

  /** Removes the external values that were replaced. */
  async #removeReplaced(done: readonly PreparedWrite[]): Promise<void> {
    const { driver, externalValues, log } = this.#options;
    const replaced = done.flatMap((write) => write.replacedValues);
    if (replaced.length === 0) return;
    try {
      await externalValues.remove(replaced);
    } catch (error) {
      if (!isOutage(driver, error)) throw error;
      log.warn(
        `${replaced.length} replaced values were not removed, because the server is unavailable`,
        error,
      );
    }
  }

  #markRefused({ write, reason }: Failure, refusedWrites: Set<PreparedWrite>): void {
    refusedWrites.add(write);
    this.#options.log.error(`task ${write.msgId} could not be stored: ${reason.slice(0, 500)}`);
  }
}

function idOf(change: TaskChange): string {
  return change.op === 'add' ? change.task.msg_id : change.msgId;
}

function stateOf(document: TaskDocument): TaskState {
  const extras = extrasOf(document);
  const text = (name: 'stdout' | 'stderr'): string | undefined => {
    if (extras.outside?.[name] !== undefined) return undefined;
    const value = document[name];
    return typeof value === 'string' ? value : '';
  };
  return { id: document['_id'], extras, stdout: text('stdout'), stderr: text('stderr') };
}
