import type { Dict } from '@ipyparallel-js/protocol';
import type { MutableMetadata, TaskOutput } from './task-metadata.js';

/** The approximate limit of stored text and displayed output of one task, in bytes. */
const MAX_OUTPUT = 64 * 2 ** 20;
/** The maximum number of keys of published data of one task. */
const MAX_KEYS = 1_000;

/** Stores the output of a task in its metadata, within limits. */
export class OutputStore {
  readonly #metadata: MutableMetadata;
  #bytes = 0;

  constructor(metadata: MutableMetadata) {
    this.#metadata = metadata;
  }

  /** The approximate size of the stored output in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a piece of output. Output beyond the limits is dropped; data of a known key always replaces the old value. */
  add(output: TaskOutput): void {
    const metadata = this.#metadata;
    switch (output.type) {
      case 'stdout':
      case 'stderr':
        if (this.#reserve(output.text.length))
          metadata[output.type] = appendText(metadata[output.type], output.text);
        break;
      case 'displayData':
        if (this.#reserve(sizeOf(output.content))) metadata.outputs.push(output.content);
        break;
      case 'executeResult':
        if (this.#reserve(sizeOf(output.content))) metadata.executeResult = output.content;
        break;
      case 'data':
        this.#merge(output.data);
        break;
      case 'error':
        metadata.error = output.error;
    }
  }

  /** The stored output as pieces: one for each stream. */
  pieces(): TaskOutput[] {
    const { stdout, stderr, outputs, executeResult, data, error } = this.#metadata;
    const pieces: TaskOutput[] = [];
    if (stdout !== '') pieces.push({ type: 'stdout', text: stdout });
    if (stderr !== '') pieces.push({ type: 'stderr', text: stderr });
    for (const content of outputs) pieces.push({ type: 'displayData', content });
    if (Object.keys(data).length > 0) pieces.push({ type: 'data', data: { ...data } });
    if (executeResult !== null) pieces.push({ type: 'executeResult', content: executeResult });
    if (error !== null) pieces.push({ type: 'error', error });
    return pieces;
  }

  #reserve(bytes: number): boolean {
    if (this.#bytes + bytes > MAX_OUTPUT) return false;
    this.#bytes += bytes;
    return true;
  }

  #merge(data: Dict): void {
    const storedData = this.#metadata.data;
    let count = Object.keys(storedData).length;
    for (const [key, value] of Object.entries(data)) {
      if (!Object.hasOwn(storedData, key) && ++count > MAX_KEYS) continue;
      // The task chooses the keys, so `__proto__` must be an ordinary key.
      Object.defineProperty(storedData, key, { value, enumerable: true, writable: true, configurable: true });
    }
  }
}

/**
 * Appends text as a terminal shows it: a carriage return overwrites the line. Mirrors the output handling of ipyparallel's
 * client.
 */
export function appendText(before: string, text: string): string {
  if (!text.includes('\r') && !before.endsWith('\r')) return before + text;
  const lineStart = before.lastIndexOf('\n') + 1;
  const lines = (before.slice(lineStart) + text).split('\n');
  return before.slice(0, lineStart) + lines.map(visibleText).join('\n');
}

/** The part of a line after its last carriage return; one at the end of the line overwrites nothing yet. */
function visibleText(line: string): string {
  return line.length < 2 ? line : line.slice(line.lastIndexOf('\r', line.length - 2) + 1);
}

/** The approximate size of a message's content: its strings, down to the depth of display data. */
function sizeOf(value: unknown, depth = 0): number {
  if (typeof value === 'string') return value.length;
  if (value === null || typeof value !== 'object' || depth > 8) return 8;
  let size = 16;
  for (const [key, item] of Object.entries(value)) size += key.length + sizeOf(item, depth + 1);
  return size;
}
