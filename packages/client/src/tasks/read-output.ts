import { type AnyMessage, type Dict, isMessageOf, parseWireDate } from '@ipyparallel-js/protocol';
import { decodeTaskData, getOwn, getOwnString, isDict, taskError } from '@ipyparallel-js/protocol/internal';
import type { TaskOutput } from './task-metadata.js';

/** Reads the output in an iopub message; undefined if it contains none. @throws when its data cannot be decoded */
export function readOutput(message: AnyMessage): TaskOutput | undefined {
  const { content } = message;
  if (isMessageOf(message, 'stream')) {
    const type = message.content.name === 'stderr' ? 'stderr' : 'stdout';
    return { type, text: String(message.content.text) };
  }
  switch (message.msg_type) {
    case 'execute_result':
      return { type: 'executeResult', content };
    case 'display_data':
      return { type: 'displayData', content };
    case 'error':
      return { type: 'error', error: taskError(content, engineField(message)) };
    case 'data_message':
      return { type: 'data', data: decodeTaskData(content, message.buffers) };
    default:
      return undefined;
  }
}

/** The date of a message by its sender's clock; now if the message has none. */
export function dateOf(message: AnyMessage): Date {
  return dateIn(message.header, 'date') ?? new Date();
}

/** Reads a date of a dict in wire format. */
export function dateIn(dict: Dict, key: string): Date | undefined {
  const value = getOwn(dict, key);
  if (value instanceof Date) return value;
  return typeof value === 'string' ? parseWireDate(value)?.date : undefined;
}

/** Reads a list of ids; dependencies may also be in a dict, under `dependencies`. */
export function idsIn(dict: Dict, key: string): readonly string[] {
  const value = getOwn(dict, key);
  const list = isDict(value) ? getOwn(value, 'dependencies') : value;
  return Array.isArray(list) ? list.filter((id) => typeof id === 'string') : [];
}

function engineField(message: AnyMessage): { readonly engineUuid?: string } {
  const engineUuid = getOwnString(message.metadata, 'engine');
  return engineUuid === undefined ? {} : { engineUuid };
}
