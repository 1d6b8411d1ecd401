import { type AnyMessage, type Dict, type Header, parseWireDate } from '@ipyparallel-js/protocol';
import { emptyTask, type StoredTask, type TaskFields } from '../../db/task-database.js';

/** A date as it is stored: all digits kept, in UTC. */
export function storedDate(value: unknown): string | null {
  return typeof value === 'string' ? (parseWireDate(value)?.exact ?? null) : null;
}

/** A request that a record is made of. */
export interface Request {
  readonly header: Header;
  readonly metadata: Dict;
  readonly content: Dict;
  readonly buffers: readonly Uint8Array[];
}

/** The record of a task that was just submitted. */
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
    // A date that cannot be read must not leave a task that looks as if it was never submitted.
    submitted: storedDate(header.date) ?? now,
    client_uuid: header.session,
    engine_uuid: engine,
    queue,
    label: typeof label === 'string' ? label : null,
  };
}

/** What a reply adds to its task's record. */
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

/** What a task's record gets when its engine died with it. */
export function fieldsOfStranded(content: Dict, engine: string, now: string): TaskFields {
  return {
    result_header: { engine, date: now },
    result_content: content,
    result_buffers: [],
    completed: now,
    engine_uuid: engine,
  };
}
