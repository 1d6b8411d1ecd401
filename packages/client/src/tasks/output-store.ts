import type { Dict } from '@ipyparallel-js/protocol';
import type { MutableMetadata, TaskOutput } from './task-metadata.js';

/** Text and displayed output that is kept of one task, in bytes, about. */
const MAX_OUTPUT = 64 * 2 ** 20;
/** Keys of published data that are kept of one task. */
const MAX_KEYS = 1_000;

/** What a task has put out, gathered in its metadata. A task that puts out without end fills no memory here. */
export class OutputStore {
  readonly #metadata: MutableMetadata;
  #bytes = 0;

  constructor(metadata: MutableMetadata) {
    this.#metadata = metadata;
  }

  /** What the output kept here takes, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a piece. What is beyond the bounds is dropped, the newest first; data under a known key always replaces. */
  add(output: TaskOutput): void {
    const metadata = this.#metadata;
    switch (output.type) {
      case 'stdout':
      case 'stderr':
        if (this.#takes(output.text.length))
          metadata[output.type] = appendText(metadata[output.type], output.text);
        break;
      case 'displayData':
        if (this.#takes(sizeOf(output.content))) metadata.outputs.push(output.content);
        break;
      case 'executeResult':
        if (this.#takes(sizeOf(output.content))) metadata.executeResult = output.content;
        break;
      case 'data':
        this.#merge(output.data);
        break;
      case 'error':
        metadata.error = output.error;
    }
  }

  /** What is kept, as pieces: one for each stream. */
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

  #takes(bytes: number): boolean {
    if (this.#bytes + bytes > MAX_OUTPUT) return false;
    this.#bytes += bytes;
    return true;
  }

  #merge(data: Dict): void {
    const kept = this.#metadata.data;
    let count = Object.keys(kept).length;
    for (const [key, value] of Object.entries(data)) {
      if (!Object.hasOwn(kept, key) && ++count > MAX_KEYS) continue;
      // An engine chooses the keys: `__proto__` is a key like any other.
      Object.defineProperty(kept, key, { value, enumerable: true, writable: true, configurable: true });
    }
  }
}

/**
 * Text behind text, as a terminal shows it: what stands in a line before a carriage return is written over.
 * Mirrors what ipyparallel's client does with output.
 */
export function appendText(before: string, text: string): string {
  if (!text.includes('\r') && !before.endsWith('\r')) return before + text;
  const lineStart = before.lastIndexOf('\n') + 1;
  const lines = (before.slice(lineStart) + text).split('\n');
  return before.slice(0, lineStart) + lines.map(lastPass).join('\n');
}

/** A line without what a carriage return writes over; one at its end is not followed by anything yet. */
function lastPass(line: string): string {
  return line.length < 2 ? line : line.slice(line.lastIndexOf('\r', line.length - 2) + 1);
}

/** What a message's content takes, about: its texts, as far down as display data has them. */
function sizeOf(value: unknown, depth = 0): number {
  if (typeof value === 'string') return value.length;
  if (value === null || typeof value !== 'object' || depth > 8) return 8;
  let size = 16;
  for (const [key, item] of Object.entries(value)) size += key.length + sizeOf(item, depth + 1);
  return size;
}
