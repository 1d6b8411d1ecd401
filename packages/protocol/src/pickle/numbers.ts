import { type Budget, MEMORY_COSTS } from './pickle-limits.js';
import { decodeLatin1 } from './text.js';
import { UnpickleError } from './unpickle-error.js';

const BITS_PER_DIGIT = Math.log2(10);
/** Maximum number of characters of a line in an error message. */
const MAX_QUOTED = 60;

/** A number if it is exact, a BigInt past 2^53 - 1. */
export function asInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Decodes little-endian two's complement of any length; no bytes are 0. */
export function decodeLong(bytes: Uint8Array, budget: Budget): number | bigint {
  budget.checkInteger(bytes.length);
  if (bytes.length === 0) return 0;
  // The intermediate hexadecimal text takes two characters per byte.
  budget.spend(MEMORY_COSTS.text + 5 * bytes.length);
  const hex = Buffer.from(bytes).reverse().toString('hex');
  return asInteger(BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`)));
}

/** Parses a decimal integer of protocol 0, with or without the `L` of Python 2. */
export function parseInteger(line: Uint8Array, budget: Budget): number | bigint {
  budget.checkInteger((line.length * BITS_PER_DIGIT) / 8);
  budget.spend(MEMORY_COSTS.text + 2 * line.length);
  const text = decodeLatin1(line);
  const match = /^\s*([+-]?)(\d+)L?\s*$/.exec(text);
  if (match?.[2] === undefined) throw new UnpickleError(`a line must be an integer, got ${quote(text)}`);
  const magnitude = BigInt(match[2]);
  return asInteger(match[1] === '-' ? -magnitude : magnitude);
}

const NAMED_FLOATS: ReadonlyMap<string, number> = new Map([
  ['inf', Number.POSITIVE_INFINITY],
  ['-inf', Number.NEGATIVE_INFINITY],
  ['nan', Number.NaN],
]);

/** Parses Python's `repr` of a float. */
export function parseFloatText(line: Uint8Array): number {
  const text = decodeLatin1(line).trim();
  const named = NAMED_FLOATS.get(text);
  if (named !== undefined) return named;
  if (!/^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(text)) {
    throw new UnpickleError(`a line must be a float, got ${quote(text)}`);
  }
  return Number(text);
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, MAX_QUOTED));
}
