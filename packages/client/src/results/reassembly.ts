import { NdArray } from '@ipyparallel-js/protocol';

/**
 * How the values of a map's tasks (chunks) form one list of elements. It must be plain data, because handles contain it.
 */
export interface Reassembly {
  /** `flatten`: the chunks are concatenated; `roundRobin`: element `i` is in chunk `i % chunks`. */
  readonly kind: 'flatten' | 'roundRobin';
  /** The number of elements of each task; missing where only the tasks know it (`gather`). */
  readonly sizes?: readonly number[];
  /** Whether iterating yields the elements in order, not as their tasks end; true by default. */
  readonly ordered?: boolean;
  /** Whether a task's error takes the place of its elements instead of failing the result; false by default. */
  readonly returnErrors?: boolean;
}

/** The elements of a chunk: of a list, a typed array or the first axis of a numpy array; else the value itself. */
export function elementsOf(chunk: unknown): readonly unknown[] {
  if (Array.isArray(chunk)) return chunk;
  if (chunk instanceof NdArray && chunk.shape.length > 0) return chunk.toNested() as unknown[];
  if (isTypedArray(chunk)) return Array.from<unknown>(chunk);
  return [chunk];
}

/** Forms one list from the values of chunks. Concatenated arrays of one type form an array of that type. */
export function reassemble(chunks: readonly unknown[], { kind }: Reassembly): unknown {
  if (kind === 'flatten') {
    const typed = joinTyped(chunks) ?? joinNumpy(chunks);
    if (typed !== undefined) return typed;
    return chunks.flatMap(elementsOf);
  }
  const lists = chunks.map(elementsOf);
  const longest = lists.reduce((most, list) => Math.max(most, list.length), 0);
  const elements: unknown[] = [];
  for (let i = 0; i < longest; i++) {
    for (const list of lists) if (i < list.length) elements.push(list[i]);
  }
  return elements;
}

interface TypedArray extends Iterable<number | bigint> {
  readonly length: number;
  set(values: TypedArray, offset: number): void;
}

function isTypedArray(value: unknown): value is TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** Joins arrays of one type that differ only in the length of their first axis. */
function joinNumpy(chunks: readonly unknown[]): NdArray | undefined {
  const [first] = chunks;
  if (!(first instanceof NdArray)) return undefined;
  const rest = first.shape.slice(1);
  const arrays: NdArray[] = [];
  for (const chunk of chunks) {
    const fits =
      chunk instanceof NdArray &&
      chunk.dtype === first.dtype &&
      chunk.shape.length === first.shape.length &&
      rest.every((length, axis) => chunk.shape[axis + 1] === length) &&
      (rest.length === 0 || !chunk.fortranOrder);
    if (!fits) return undefined;
    arrays.push(chunk);
  }
  const data =
    joinTyped(arrays.map((array) => array.data)) ?? arrays.flatMap((array) => elementsOf(array.data));
  const length = arrays.reduce((sum, array) => sum + (array.shape[0] ?? 1), 0);
  return new NdArray(data as NdArray['data'], { dtype: first.dtype, shape: [length, ...rest] });
}

function joinTyped(chunks: readonly unknown[]): TypedArray | undefined {
  const [first] = chunks;
  if (!isTypedArray(first)) return undefined;
  const kind: unknown = first.constructor;
  const all: TypedArray[] = [];
  for (const chunk of chunks) {
    if (!isTypedArray(chunk) || chunk.constructor !== kind) return undefined;
    all.push(chunk);
  }
  const length = all.reduce((sum, chunk) => sum + chunk.length, 0);
  const make = (Buffer.isBuffer(first) ? Uint8Array : kind) as new (size: number) => TypedArray;
  const joined = new make(length);
  let at = 0;
  for (const chunk of all) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
