import { UsageError } from '@ipyparallel-js/protocol';

/**
 * How a sequence is spread: `block` gives each part neighbours (the first parts are longer by one where it does not
 * come out even), `roundRobin` deals elements like cards. Mirrors the `dist` of ipyparallel, `b` and `r`.
 */
export type Distribution = 'block' | 'roundRobin';

/** What can be cut: text is not. */
export type Sliceable<E = unknown> = readonly E[] | (ArrayBufferView & ArrayLike<E>);

/** A sequence that has a length and can be cut; other iterables are read into a list. */
export function sliceable(sequence: Iterable<unknown>): Sliceable {
  if (Array.isArray(sequence)) return sequence;
  if (ArrayBuffer.isView(sequence) && 'length' in sequence) return sequence as unknown as Sliceable;
  if (typeof sequence === 'object' && sequence !== null && Symbol.iterator in sequence) return [...sequence];
  if (typeof sequence === 'string') return [...sequence];
  throw new UsageError(
    `a sequence to spread is a list, a typed array or another iterable, not ${typeof sequence}`,
  );
}

/** Part `index` of `parts`. A part of a typed array shares its memory when it is a block. */
export function part(
  sequence: Sliceable,
  index: number,
  parts: number,
  distribution: Distribution,
): Sliceable {
  if (distribution === 'roundRobin') return everyNth(sequence, index, parts);
  const { length } = sequence;
  const rest = length % parts;
  const base = Math.floor(length / parts);
  const low = index * base + Math.min(index, rest);
  return between(sequence, low, low + base + (index < rest ? 1 : 0));
}

/** The elements from `low` to before `high`. */
export function between(sequence: Sliceable, low: number, high: number): Sliceable {
  if (Array.isArray(sequence)) return sequence.slice(low, high);
  return (sequence as Uint8Array).subarray(low, high);
}

function everyNth(sequence: Sliceable, from: number, step: number): Sliceable {
  if (Array.isArray(sequence)) return sequence.filter((_, i) => i % step === from);
  return (sequence as Uint8Array).filter((_, i) => i % step === from);
}

/** @throws UsageError unless it is one */
export function checkDistribution(distribution: unknown): Distribution {
  if (distribution === 'block' || distribution === 'roundRobin') return distribution;
  throw new UsageError(`a distribution is 'block' or 'roundRobin', not ${JSON.stringify(distribution)}`);
}

/**
 * Sequences as they can be cut. A map goes as far as the shortest; otherwise they must be of one length.
 * @throws UsageError when they are not
 */
export function shortest(
  sequences: readonly Iterable<unknown>[],
  mapping: boolean,
): { readonly wholes: readonly Sliceable[]; readonly length: number } {
  const wholes = sequences.map(sliceable);
  const lengths = wholes.map((whole) => whole.length);
  const length = Math.min(...lengths);
  if (!mapping && lengths.some((each) => each !== length)) {
    throw new UsageError(`the sequences must be of one length, and are of ${lengths.join(', ')}`);
  }
  return {
    wholes: wholes.map((whole) => (whole.length === length ? whole : between(whole, 0, length))),
    length,
  };
}
