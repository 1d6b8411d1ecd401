import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { AnyBulkWriteOperation } from 'mongodb';
import type { ArrivalIds } from './arrival-ids.js';
import {
  EXTRAS,
  type Extras,
  encodeField,
  encodeText,
  type OutsideValue,
  placeholderOf,
  type TaskDocument,
} from './document.js';
import type { Driver } from './driver.js';
import type { FoldedTask } from './fold-changes.js';
import type { StoredState } from './known-tasks.js';
import type { OutsideValues } from './outside-values.js';
import type { ServerTraits } from './server-traits.js';

/** What writes are made of. */
export interface PrepareOptions {
  readonly driver: Driver;
  readonly outside: OutsideValues;
  readonly traits: ServerTraits;
  readonly ids: ArrivalIds;
  /** The columns of which some document has its value outside; grows here. */
  readonly outsideColumns: Set<TaskKey>;
  readonly log: Logger;
}

/** The one write that a batch of changes makes of a task. */
export interface PreparedWrite {
  readonly msgId: string;
  readonly operation: AnyBulkWriteOperation<TaskDocument>;
  /** How much larger the task becomes. */
  readonly bytes: number;
  /** What is known of the task once this is written. */
  readonly after: StoredState;
  /** Values outside that nothing names any more once this is written. */
  readonly replaced: readonly OutsideValue[];
}

/** No id that a client makes is longer; a longer one could not be found again by an index. */
const MAX_ID = 1024;

/** Encodes a task's changes; what does not fit into its document is written outside before. */
export async function prepareWrite(
  task: FoldedTask,
  before: StoredState | undefined,
  options: PrepareOptions,
): Promise<PreparedWrite | undefined> {
  const { log, traits, outside, outsideColumns, driver, ids } = options;
  const { msgId } = task;
  if (Buffer.byteLength(msgId) > MAX_ID || /\p{Cs}/u.test(msgId)) {
    log.error(`a task is not stored: its id is no id (${msgId.length} characters)`);
    return undefined;
  }
  const extras: Extras = before?.extras ?? {};
  const set: TaskDocument = {};
  const unset: Record<string, ''> = {};
  const exact: Record<string, string> = {};
  const outsideNow: Record<string, OutsideValue> = {};
  const outsideAfter = { ...extras.outside };
  const replaced: OutsideValue[] = [];
  let bytes = 0;
  for (const [name, value] of Object.entries(task.fields)) {
    if (name === 'msg_id') continue;
    const key = name as TaskKey;
    const encoded = encodeField(key, value, traits);
    bytes += encoded.bytes;
    const wasOutside = extras.outside?.[key];
    if (wasOutside !== undefined) {
      replaced.push(wasOutside);
      bytes -= wasOutside.bytes;
      delete outsideAfter[key];
    }
    if ('outside' in encoded) {
      set[key] = placeholderOf(key);
      outsideNow[key] = await outside.write(outside.newId(), encoded.outside);
      outsideColumns.add(key);
    } else {
      set[key] = encoded.inline;
      if (encoded.exact !== undefined) exact[key] = encoded.exact;
      if (wasOutside !== undefined) unset[`${EXTRAS}.outside.${key}`] = '';
    }
    if (key === 'stdout' || key === 'stderr') bytes -= before?.[key]?.length ?? 0;
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
  Object.assign(outsideAfter, outsideNow);
  const size = before === undefined ? bytes : extras.bytes === undefined ? undefined : extras.bytes + bytes;
  const exactAfter = { ...extras.exact, ...exact };
  const extrasAfter: Extras = {
    ...(size === undefined ? {} : { bytes: size }),
    ...(Object.keys(exactAfter).length > 0 ? { exact: exactAfter } : {}),
    ...(Object.keys(outsideAfter).length > 0 ? { outside: outsideAfter } : {}),
  };
  const output = (name: 'stdout' | 'stderr'): string | undefined => {
    if (outsideAfter[name] !== undefined) return undefined;
    const written = set[name];
    return typeof written === 'string' ? written : before === undefined ? '' : before[name];
  };
  const state = { extras: extrasAfter, stdout: output('stdout'), stderr: output('stderr') };
  if (before === undefined) {
    const id = new driver.ObjectId(ids.next());
    const document = { _id: id, msg_id: msgId, ...set, [EXTRAS]: extrasAfter };
    return { msgId, operation: { insertOne: { document } }, bytes, after: { id, ...state }, replaced };
  }
  for (const [key, text] of Object.entries(exact)) set[`${EXTRAS}.exact.${key}`] = text;
  for (const [key, value] of Object.entries(outsideNow)) set[`${EXTRAS}.outside.${key}`] = value;
  if (Object.keys(set).length === 0) return undefined;
  if (size !== undefined) set[`${EXTRAS}.bytes`] = size;
  const update = { $set: set, ...(Object.keys(unset).length > 0 ? { $unset: unset } : {}) };
  const { id } = before;
  // By `_id` FerretDB finds a document in SQL; by anything else it reads every document until it meets it.
  const filter = id instanceof driver.ObjectId ? { _id: id } : { msg_id: msgId };
  return { msgId, operation: { updateOne: { filter, update } }, bytes, after: { id, ...state }, replaced };
}
