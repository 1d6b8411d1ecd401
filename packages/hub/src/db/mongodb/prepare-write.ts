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
  /** The columns for which at least one document has an external value; `prepareWrite` adds to them. */
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
  readonly newState: TaskState;
  /** External values that are unused after the write. */
  readonly replacedValues: readonly ExternalValue[];
}

/** Longest id in bytes; longer ones cannot be indexed. Ids that clients generate are shorter. */
const MAX_ID_BYTES = 1024;

/** Encodes the changes of a task. First writes the values that do not fit into its document to the collection of parts. */
export async function prepareWrite(
  task: FoldedTask,
  oldState: TaskState | undefined,
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
  const extras: Extras = oldState?.extras ?? {};
  const set: TaskDocument = {};
  const unset: Record<string, ''> = {};
  const exactDates: Record<string, string> = {};
  const newReferences: Record<string, ExternalValue> = {};
  const references = { ...extras.outside };
  const replacedValues: ExternalValue[] = [];
  let bytes = 0;
  for (const [name, value] of Object.entries(task.fields)) {
    if (name === 'msg_id') continue;
    const key = name as TaskKey;
    const encoded = encodeField(key, value, traits);
    bytes += encoded.bytes;
    const oldReference = extras.outside?.[key];
    if (oldReference !== undefined) {
      replacedValues.push(oldReference);
      bytes -= oldReference.bytes;
      delete references[key];
    }
    if ('externalBytes' in encoded) {
      set[key] = placeholderOf(key);
      newReferences[key] = await externalValues.write(externalValues.newId(), encoded.externalBytes);
      externalColumns.add(key);
    } else {
      set[key] = encoded.inlineValue;
      if (encoded.exact !== undefined) exactDates[key] = encoded.exact;
      if (oldReference !== undefined) unset[`${EXTRAS}.outside.${key}`] = '';
    }
    if (key === 'stdout' || key === 'stderr') bytes -= oldState?.[key]?.length ?? 0;
  }
  for (const [name, text] of Object.entries(task.appended)) {
    const value = extras.outside?.[name];
    // Without a reference the record has no such output yet.
    const id = value?.id ?? externalValues.newId();
    const piece = encodeText(text);
    newReferences[name] = await externalValues.write(id, [piece], value);
    externalColumns.add(name as TaskKey);
    bytes += piece.byteLength;
  }
  Object.assign(references, newReferences);
  const size = oldState === undefined ? bytes : extras.bytes === undefined ? undefined : extras.bytes + bytes;
  const allExactDates = { ...extras.exact, ...exactDates };
  const newExtras: Extras = {
    ...(size === undefined ? {} : { bytes: size }),
    ...(Object.keys(allExactDates).length > 0 ? { exact: allExactDates } : {}),
    ...(Object.keys(references).length > 0 ? { outside: references } : {}),
  };
  const output = (name: 'stdout' | 'stderr'): string | undefined => {
    if (references[name] !== undefined) return undefined;
    const written = set[name];
    return typeof written === 'string' ? written : oldState === undefined ? '' : oldState[name];
  };
  const state = { extras: newExtras, stdout: output('stdout'), stderr: output('stderr') };
  if (oldState === undefined) {
    const id = new driver.ObjectId(ids.next());
    const document = { _id: id, msg_id: msgId, ...set, [EXTRAS]: newExtras };
    return {
      msgId,
      operation: { insertOne: { document } },
      bytes,
      newState: { id, ...state },
      replacedValues,
    };
  }
  for (const [key, text] of Object.entries(exactDates)) set[`${EXTRAS}.exact.${key}`] = text;
  for (const [key, value] of Object.entries(newReferences)) set[`${EXTRAS}.outside.${key}`] = value;
  if (Object.keys(set).length === 0) return undefined;
  if (size !== undefined) set[`${EXTRAS}.bytes`] = size;
  const update = { $set: set, ...(Object.keys(unset).length > 0 ? { $unset: unset } : {}) };
  const { id } = oldState;
  // FerretDB finds a document by `_id` in SQL. By any other field it reads all documents until it finds the right one.
  const filter = id instanceof driver.ObjectId ? { _id: id } : { msg_id: msgId };
  return {
    msgId,
    operation: { updateOne: { filter, update } },
    bytes,
    newState: { id, ...state },
    replacedValues,
  };
}
