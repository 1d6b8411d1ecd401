import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { AnyBulkWriteOperation, Collection } from 'mongodb';
import type { TaskChange } from '../task-database.js';
import type { ArrivalIds } from './arrival-ids.js';
import { EXTRAS, encodeField, encodeText, extrasOf, placeholderOf, type TaskDocument } from './document.js';
import { type Driver, isOutage } from './driver.js';
import { type FoldedTask, foldChanges, type KnownTask } from './fold-changes.js';
import type { OutsideValues } from './outside-values.js';
import type { ServerTraits } from './server-traits.js';

/** What one batch changed in how much there is. */
export interface Written {
  readonly added: number;
  readonly bytes: number;
}

export interface TaskWriterOptions {
  readonly driver: Driver;
  readonly records: Collection<TaskDocument>;
  readonly outside: OutsideValues;
  readonly traits: ServerTraits;
  readonly ids: ArrivalIds;
  /** The columns of which some document has its value outside; grows here. */
  readonly outsideColumns: Set<TaskKey>;
  readonly log: Logger;
}

interface Before extends KnownTask {
  readonly document: TaskDocument;
}

interface Prepared {
  readonly operation: AnyBulkWriteOperation<TaskDocument>;
  readonly task: FoldedTask;
  readonly fields: TaskDocument;
  readonly bytes: number;
}

const DUPLICATE = 11_000;
const GET_CHUNK = 1000;

/** Failures of one write without a word of the server, until it is the write's own fault. */
const MAX_UNCLEAR = 5;

/** No id that a client makes is longer; a longer one could not be found again by an index. */
const MAX_ID = 1024;

/** Turns batches of changes into writes of documents. */
export class TaskWriter {
  readonly #options: TaskWriterOptions;
  readonly #prepared = new WeakMap<readonly TaskChange[], Prepared[]>();
  readonly #failures = new WeakMap<object, number>();

  constructor(options: TaskWriterOptions) {
    this.#options = options;
  }

  /**
   * Writes a batch: one look at what is to be changed, then one write for all tasks. A task that the server refuses is told,
   * and the others are written. After an outage the same batch (the same array) may be given again: it is written with
   * the values of the first attempt, so nothing is doubled.
   */
  async write(changes: readonly TaskChange[]): Promise<Written> {
    let prepared = this.#prepared.get(changes);
    if (prepared === undefined) {
      prepared = await this.#prepareAll(changes);
      this.#prepared.set(changes, prepared);
    }
    if (prepared.length === 0) return { added: 0, bytes: 0 };
    const refused = await this.#send(prepared, changes);
    const done = prepared.filter((_, i) => !refused.has(i));
    return {
      added: done.filter(({ operation }) => 'insertOne' in operation).length,
      bytes: done.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  async #prepareAll(changes: readonly TaskChange[]): Promise<Prepared[]> {
    const known = await this.#known(changes);
    const prepared: Prepared[] = [];
    for (const task of foldChanges(changes, known)) {
      const made = await this.#prepare(task, known.get(task.msgId)?.document);
      if (made !== undefined) prepared.push(made);
    }
    return prepared;
  }

  async #known(changes: readonly TaskChange[]): Promise<Map<string, Before>> {
    const ids = new Set<string>();
    const added = new Set<string>();
    const withOutput = new Set<string>();
    for (const change of changes) {
      const msgId = idOf(change);
      // A new task is taken for new: the unique index tells when it is not.
      if (change.op === 'add' && !ids.has(msgId)) added.add(msgId);
      if (added.has(msgId)) continue;
      ids.add(msgId);
      if (change.op === 'update' && change.append !== undefined) withOutput.add(msgId);
    }
    const known = new Map<string, Before>();
    const read = async (list: readonly string[], projection: Record<string, 1>): Promise<void> => {
      for (let at = 0; at < list.length; at += GET_CHUNK) {
        const chunk = list.slice(at, at + GET_CHUNK);
        const cursor = this.#options.records.find(
          { msg_id: { $in: chunk } },
          { projection: { msg_id: 1, [EXTRAS]: 1, ...projection } },
        );
        for await (const document of cursor) known.set(String(document['msg_id']), before(document));
      }
    };
    await read(
      [...ids].filter((id) => !withOutput.has(id)),
      {},
    );
    await read([...withOutput], { stdout: 1, stderr: 1 });
    return known;
  }

  async #prepare(task: FoldedTask, document: TaskDocument | undefined): Promise<Prepared | undefined> {
    const { log, traits, outside, outsideColumns, driver, ids } = this.#options;
    if (Buffer.byteLength(task.msgId) > MAX_ID || /\p{Cs}/u.test(task.msgId)) {
      log.error(`a task is not stored: its id is no id (${task.msgId.length} characters)`);
      return undefined;
    }
    const extras = document === undefined ? {} : extrasOf(document);
    const set: TaskDocument = {};
    const outsideNow: Record<string, unknown> = {};
    const exact: Record<string, string> = {};
    const unset: Record<string, ''> = {};
    let bytes = 0;
    for (const [name, value] of Object.entries(task.fields)) {
      if (name === 'msg_id') continue;
      const key = name as TaskKey;
      const encoded = encodeField(key, value, traits);
      bytes += encoded.bytes;
      if ('outside' in encoded) {
        set[key] = placeholderOf(key);
        outsideNow[key] = await outside.write(outside.newId(), encoded.outside);
        outsideColumns.add(key);
      } else {
        set[key] = encoded.inline;
        if (encoded.exact !== undefined) exact[key] = encoded.exact;
        if (extras.outside?.[key] !== undefined) unset[`${EXTRAS}.outside.${key}`] = '';
      }
      if ((key === 'stdout' || key === 'stderr') && typeof document?.[key] === 'string') {
        bytes -= (document[key] as string).length;
      }
    }
    for (const [name, text] of Object.entries(task.appended)) {
      const value = extras.outside?.[name];
      // Nothing is known of this output: the record has none.
      const id = value?.id ?? outside.newId();
      const piece = encodeText(text);
      outsideNow[name] = await outside.write(id, [piece], value);
      outsideColumns.add(name as TaskKey);
      bytes += piece.byteLength;
    }
    if (task.isNew) {
      const fields: TaskDocument = { msg_id: task.msgId, ...set };
      fields[EXTRAS] = {
        bytes,
        ...(Object.keys(exact).length > 0 ? { exact } : {}),
        ...(Object.keys(outsideNow).length > 0 ? { outside: outsideNow } : {}),
      };
      const inserted = { _id: new driver.ObjectId(ids.next()), ...fields };
      return { operation: { insertOne: { document: inserted } }, task, fields, bytes };
    }
    for (const [key, text] of Object.entries(exact)) set[`${EXTRAS}.exact.${key}`] = text;
    for (const [key, value] of Object.entries(outsideNow)) set[`${EXTRAS}.outside.${key}`] = value;
    if (Object.keys(set).length === 0) return undefined;
    if (extras.bytes !== undefined) set[`${EXTRAS}.bytes`] = extras.bytes + bytes;
    const update = { $set: set, ...(Object.keys(unset).length > 0 ? { $unset: unset } : {}) };
    return { operation: { updateOne: { filter: { msg_id: task.msgId }, update } }, task, fields: set, bytes };
  }

  /** Sends all in one call; gives the positions of what was refused, each of which is told. */
  async #send(prepared: Prepared[], changes: readonly TaskChange[]): Promise<Set<number>> {
    const { driver, records, log } = this.#options;
    const refused = new Set<number>();
    try {
      await records.bulkWrite(
        prepared.map(({ operation }) => operation),
        { ordered: false },
      );
    } catch (error) {
      if (isOutage(driver, error)) throw error;
      const failures = error instanceof driver.MongoBulkWriteError ? [error.writeErrors].flat() : [];
      if (failures.length === 0 && (await this.#mayBeOutage(prepared, error))) {
        throw new driver.MongoNetworkError(
          error instanceof Error ? error.message : String(error),
          error instanceof Error ? { cause: error } : {},
        );
      }
      for (const { index, code, errmsg } of failures) {
        const one = prepared[index];
        if (one === undefined) continue;
        if (code === DUPLICATE && 'insertOne' in one.operation) {
          const merged = await this.#merge(one, one.operation.insertOne.document['_id'], changes);
          if (merged === undefined) continue;
          // Should the batch be repeated, then with this.
          prepared[index] = merged;
          if ((await this.#send([merged], changes)).size > 0) refused.add(index);
        } else this.#refuse(one, errmsg ?? String(code), index, refused);
      }
      if (failures.length > 0) return refused;
      if (error instanceof driver.MongoBulkWriteError && error.result.getWriteConcernError() !== undefined)
        log.warn('writes were done, but not confirmed as wanted', error);
      else if (prepared.length > 1) await this.#sendEach(prepared, changes, refused);
      else this.#refuse(prepared[0], error instanceof Error ? error.message : String(error), 0, refused);
    }
    return refused;
  }

  /**
   * The driver makes broken connections and values that it cannot write into the same error of a bulk write, without a
   * code. It counts as the former until it has come back often enough from a server that answers.
   */
  async #mayBeOutage(prepared: readonly Prepared[], error: unknown): Promise<boolean> {
    const { driver, records } = this.#options;
    if (!(error instanceof driver.MongoBulkWriteError) || typeof error.code === 'number') return false;
    if (error.result.getWriteConcernError() !== undefined) return false;
    const first = prepared[0]?.operation;
    if (first === undefined) return false;
    const times = (this.#failures.get(first) ?? 0) + 1;
    this.#failures.set(first, times);
    if (times < MAX_UNCLEAR) return true;
    try {
      await records.findOne({}, { projection: { _id: 1 } });
      return false;
    } catch {
      return true;
    }
  }

  /** The call as a whole was refused: one bad task must not take the others with it. */
  async #sendEach(
    prepared: readonly Prepared[],
    changes: readonly TaskChange[],
    refused: Set<number>,
  ): Promise<void> {
    for (const [i, one] of prepared.entries()) {
      if ((await this.#send([one], changes)).size > 0) refused.add(i);
    }
  }

  /**
   * What becomes of a new task whose id is taken. Nothing, where an interrupted attempt of this very write has inserted
   * it; else its output came first, and both are made one.
   */
  async #merge(
    { task }: Prepared,
    inserted: unknown,
    changes: readonly TaskChange[],
  ): Promise<Prepared | undefined> {
    const document = await this.#options.records.findOne(
      { msg_id: task.msgId },
      { projection: { stdout: 1, stderr: 1, [EXTRAS]: 1 } },
    );
    if (document === null || String(document['_id']) === String(inserted)) return undefined;
    const known = new Map([[task.msgId, before(document)]]);
    const [folded] = foldChanges(
      changes.filter((change) => idOf(change) === task.msgId),
      known,
    );
    return folded === undefined ? undefined : await this.#prepare(folded, document);
  }

  #refuse(one: Prepared | undefined, why: string, index: number, refused: Set<number>): void {
    refused.add(index);
    this.#options.log.error(`task ${one?.task.msgId ?? ''} could not be stored: ${why.slice(0, 500)}`);
  }
}

function idOf(change: TaskChange): string {
  return change.op === 'add' ? change.task.msg_id : change.msgId;
}

function before(document: TaskDocument): Before {
  const { outside } = extrasOf(document);
  const text = (name: 'stdout' | 'stderr'): string | undefined => {
    if (outside?.[name] !== undefined) return undefined;
    const value = document[name];
    return typeof value === 'string' ? value : '';
  };
  return { document, stdout: text('stdout'), stderr: text('stderr') };
}
