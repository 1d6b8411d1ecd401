import type { TaskKey } from '@ipyparallel-js/protocol';
import type { Logger } from '@ipyparallel-js/wire';
import type { AnyBulkWriteOperation } from 'mongodb';
import type { ArrivalIds } from './arrival-ids.js';
import type { Driver } from './driver.js';
import type { ExternalValues } from './external-values.js';
import type { FoldedTask } from './fold-changes.js';
import type { ServerTraits } from './server-traits.js';
import {
  EXTRAS,
  type ExternalValue,
  type Extras,
  encodeField,
  encodeText,
  placeholderOf,
  type TaskDocument,
} from './task-document.js';
import type { TaskState } from './task-state-cache.js';

export interface PrepareOptions {
  readonly driver: Driver;
  readonly externalValues: ExternalValues;
  readonly traits: ServerTraits;
  readonly ids: ArrivalIds;
  /** The columns of which some document has an external value; `prepareWrite` adds to them. */
  readonly externalColumns: Set<TaskKey>;
  readonly log: Logger;
}

/** The write of a batch for one task. */
export interface PreparedWrite {
  readonly msgId: string;
  readonly operation: AnyBulkWriteOperation<TaskDocument>;
  /** Growth of the task in bytes. */
  readonly bytes: number;
  /** State of the task after the write. */
  readonly after: TaskState;
  /** External values that are unused after the write. */
  readonly replaced: readonly ExternalValue[];
}

/** Longest id in bytes; longer ones cannot be indexed. Ids that clients generate are shorter. */
const MAX_ID_BYTES = 1024;

/** Encodes the changes of a task. First writes the values that do not fit into its document to the collection of parts. */
export async function prepareWrite(
  task: FoldedTask,
  before: TaskState | undefined,
  options: PrepareOptions,
): Promise<PreparedWrite | undefined> {
  const { log, traits, externalValues, externalColumns, driver, ids } = options;
  const { msgId } = task;
  if (Buffer.byteLength(msgId) > MAX_ID_BYTES || /\p{Cs}/u.test(msgId)) {
    log.error(
      `a task cannot be stored: its id must have at most ${MAX_ID_BYTES} bytes of valid text, got ${msgId.length} characters`,
    );
    return undefined;
  }
  const extras: Extras = before?.extras ?? {};
  const set: TaskDocument = {};
  const unset: Record<string, ''> = {};
  const exact: Record<string, string> = {};
  const newExternal: Record<string, ExternalValue> = {};
  const externalAfter = { ...extras.outside };
  const replaced: ExternalValue[] = [];
  let bytes = 0;
  for (const [name, value] of Object.entries(task.fields)) {
    if (name === 'msg_id') continue;
    const key = name as TaskKey;
    const encoded = encodeField(key, value, traits);
    bytes += encoded.bytes;
    const oldExternal = extras.outside?.[key];
    if (oldExternal !== undefined) {
      replaced.push(oldExternal);
      bytes -= oldExternal.bytes;
      delete externalAfter[key];
    }
    if ('external' in encoded) {
      set[key] = placeholderOf(key);
      newExternal[key] = await externalValues.write(externalValues.newId(), encoded.external);
      externalColumns.add(key);
    } else {
      set[key] = encoded.inline;
      if (encoded.exact !== undefined) exact[key] = encoded.exact;
      if (oldExternal !== undefined) unset[`${EXTRAS}.outside.${key}`] = '';
    }
    if (key === 'stdout' || key === 'stderr') bytes -= before?.[key]?.length ?? 0;
  }
  for (const [name, text] of Object.entries(task.appended)) {
    const value = extras.outside?.[name];
    // Without a reference the record has no such output yet.
    const id = value?.id ?? externalValues.newId();
    const piece = encodeText(text);
    newExternal[name] = await externalValues.write(id, [piece], value);
    externalColumns.add(name as TaskKey);
    bytes += piece.byteLength;
  }
  Object.assign(externalAfter, newExternal);
  const size = before === undefined ? bytes : extras.bytes === undefined ? undefined : extras.bytes + bytes;
  const exactAfter = { ...extras.exact, ...exact };
  const extrasAfter: Extras = {
    ...(size === undefined ? {} : { bytes: size }),
    ...(Object.keys(exactAfter).length > 0 ? { exact: exactAfter } : {}),
    ...(Object.keys(externalAfter).length > 0 ? { outside: externalAfter } : {}),
  };
  const output = (name: 'stdout' | 'stderr'): string | undefined => {
    if (externalAfter[name] !== undefined) return undefined;
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
  for (const [key, value] of Object.entries(newExternal)) set[`${EXTRAS}.outside.${key}`] = value;
  if (Object.keys(set).length === 0) return undefined;
  if (size !== undefined) set[`${EXTRAS}.bytes`] = size;
  const update = { $set: set, ...(Object.keys(unset).length > 0 ? { $unset: unset } : {}) };
  const { id } = before;
  // FerretDB finds a document by `_id` in SQL. By any other field it reads all documents until it finds the right one.
  const filter = id instanceof driver.ObjectId ? { _id: id } : { msg_id: msgId };
  return { msgId, operation: { updateOne: { filter, update } }, bytes, after: { id, ...state }, replaced };
}
