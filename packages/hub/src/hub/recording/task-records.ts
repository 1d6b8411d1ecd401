import { type AnyMessage, type Dict, type Header, parseWireDate } from '@ipyparallel-js/protocol';
import { emptyTask, type StoredTask, type TaskFields } from '../../db/task-database.js';

/** A wire date in the form in which it is stored: UTC, with all its digits. */
export function storedDate(value: unknown): string | null {
  return typeof value === 'string' ? (parseWireDate(value)?.exact ?? null) : null;
}

/** The parts of a request that a record holds. */
export interface Request {
  readonly header: Header;
  readonly metadata: Dict;
  readonly content: Dict;
  readonly buffers: readonly Uint8Array[];
}

/** The record of a newly submitted task. */
export function taskOfRequest(
  request: Request,
  queue: 'mux' | 'task',
  engine: string | null,
  now: string,
): StoredTask {
  const { header, metadata, content, buffers } = request;
  const label = metadata['label'];
  return {
    ...emptyTask(header.msg_id),
    header,
    metadata,
    content,
    buffers,
    // Without a date, a task would look as if its request had never arrived.
    submitted: storedDate(header.date) ?? now,
    client_uuid: header.session,
    engine_uuid: engine,
    queue,
    label: typeof label === 'string' ? label : null,
  };
}

/** The fields that a reply adds to the record of its task. */
export function fieldsOfReply(reply: AnyMessage, now: string): TaskFields {
  return {
    result_header: reply.header,
    result_metadata: reply.metadata,
    result_content: reply.content,
    result_buffers: reply.buffers,
    received: now,
    started: storedDate(reply.metadata['started']),
    completed: storedDate(reply.header.date) ?? now,
  };
}

/** The fields of a task that failed because its engine is no longer registered or has lost it. */
export function fieldsOfStranded(content: Dict, engine: string, now: string): TaskFields {
  return {
    result_header: { engine, date: now },
    result_content: content,
    result_buffers: [],
    completed: now,
    engine_uuid: engine,
  };
}
