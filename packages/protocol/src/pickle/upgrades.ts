import { getOwn, isDict } from '../common/dict.js';
import { upgradeArray, upgradeMachineArray, upgradeScalar } from './numpy/read-numpy.js';
import { OpaqueValue } from './opaque-value.js';
import { upgradePandas } from './pandas/read-pandas.js';
import type { Budget } from './pickle-limits.js';
import { Fraction } from './values/fraction.js';
import { isUuidText, Uuid } from './values/uuid.js';

/** A value of its own for an instance whose parts tell all; undefined where it stays opaque. */
type Upgrade = (value: OpaqueValue, budget: Budget) => unknown;

const UUID_BITS = 128;

function upgradeUuid({ args: [text], state }: OpaqueValue): Uuid | undefined {
  if (isUuidText(text)) return new Uuid(text);
  const int = isDict(state) ? getOwn(state, 'int') : undefined;
  if (typeof int !== 'bigint' && !Number.isSafeInteger(int)) return undefined;
  const value = BigInt(int as bigint | number);
  if (value !== BigInt.asUintN(UUID_BITS, value)) return undefined;
  return new Uuid(value.toString(16).padStart(UUID_BITS / 4, '0'));
}

/** Older Pythons pickle a text, newer ones both parts. */
function upgradeFraction({ args }: OpaqueValue, budget: Budget): Fraction | undefined {
  const [first, second] = args;
  const texts = typeof first === 'string' && args.length === 1 ? splitFraction(first, budget) : undefined;
  const numerator = wholeNumber(texts?.[0] ?? first);
  const denominator = wholeNumber(texts?.[1] ?? second ?? 1);
  if (numerator === undefined || denominator === undefined || BigInt(denominator) === 0n) return undefined;
  return new Fraction(numerator, denominator);
}

/** The time that it takes to read an integer grows with the square of its length. */
function splitFraction(text: string, budget: Budget): bigint[] | undefined {
  budget.checkInteger(text.length / 2);
  budget.step(text.length);
  const [, numerator, denominator = '1'] = /^(-?\d+)(?:\/(\d+))?$/.exec(text) ?? [];
  return numerator === undefined ? undefined : [BigInt(numerator), BigInt(denominator)];
}

function wholeNumber(value: unknown): bigint | number | undefined {
  return typeof value === 'bigint' || Number.isSafeInteger(value) ? (value as bigint | number) : undefined;
}

/** What the writer here makes of a reference inside a value: an evaluation in the engine's namespace. */
function upgradeEvaluation({ args }: OpaqueValue): OpaqueValue | undefined {
  const [expression, namespace] = args;
  if (typeof expression !== 'string' || !(namespace instanceof OpaqueValue)) return undefined;
  if (namespace.name !== '__main__.__dict__') return undefined;
  return new OpaqueValue('reference', '__main__', expression, {});
}

const upgrades: ReadonlyMap<string, Upgrade> = new Map<string, Upgrade>([
  ['uuid.UUID', upgradeUuid],
  ['fractions.Fraction', upgradeFraction],
  ['builtins.eval', upgradeEvaluation],
  ['numpy.ndarray', upgradeArray],
  // Arrays with other methods.
  ['numpy.matrix', upgradeArray],
  ['numpy.memmap', upgradeArray],
  ['numpy.recarray', upgradeArray],
  ['numpy.rec.recarray', upgradeArray],
  ['array.array', upgradeMachineArray],
]);

/** What an instance becomes when all of its parts are known; undefined where it stays what it is. */
export function upgrade(value: OpaqueValue, budget: Budget): unknown {
  if (value.kind !== 'instance') return undefined;
  const known = upgrades.get(value.name);
  if (known !== undefined) return known(value, budget);
  if (value.module === 'numpy' && value.callee?.qualname === 'scalar') return upgradeScalar(value, budget);
  return value.module.startsWith('pandas') ? upgradePandas(value, budget) : undefined;
}
