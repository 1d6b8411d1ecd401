import { getOwn, isDict } from '../common/dict.js';
import { upgradeArray, upgradeMachineArray, upgradeScalar } from './numpy/read-numpy.js';
import { OpaqueValue } from './opaque-value.js';
import { upgradePandas } from './pandas/read-pandas.js';
import type { Budget } from './pickle-limits.js';
import { Fraction } from './values/fraction.js';
import { isUuidText, Uuid } from './values/uuid.js';

/** Returns a JavaScript value for an instance, or undefined if the instance must stay opaque. */
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

/** Older Pythons pickle a Fraction as text, newer ones as numerator and denominator. */
function upgradeFraction({ args }: OpaqueValue, budget: Budget): Fraction | undefined {
  const [first, second] = args;
  const texts = typeof first === 'string' && args.length === 1 ? splitFraction(first, budget) : undefined;
  const numerator = toInteger(texts?.[0] ?? first);
  const denominator = toInteger(texts?.[1] ?? second ?? 1);
  if (numerator === undefined || denominator === undefined || BigInt(denominator) === 0n) return undefined;
  return new Fraction(numerator, denominator);
}

/** Parsing an integer takes time quadratic in its length, so the length is limited and charged. */
function splitFraction(text: string, budget: Budget): bigint[] | undefined {
  budget.checkInteger(text.length / 2);
  budget.countSteps(text.length);
  const [, numerator, denominator = '1'] = /^(-?\d+)(?:\/(\d+))?$/.exec(text) ?? [];
  return numerator === undefined ? undefined : [BigInt(numerator), BigInt(denominator)];
}

function toInteger(value: unknown): bigint | number | undefined {
  return typeof value === 'bigint' || Number.isSafeInteger(value) ? (value as bigint | number) : undefined;
}

/** `eval(expression, __main__.__dict__)`: the form in which `writePickle` writes a reference inside a value. */
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
  // Subclasses that differ from ndarray in their methods only.
  ['numpy.matrix', upgradeArray],
  ['numpy.memmap', upgradeArray],
  ['numpy.recarray', upgradeArray],
  ['numpy.rec.recarray', upgradeArray],
  ['array.array', upgradeMachineArray],
]);

/** Returns the JavaScript value for an instance whose parts are resolved; undefined if it must stay opaque. */
export function upgradeInstance(value: OpaqueValue, budget: Budget): unknown {
  if (value.kind !== 'instance') return undefined;
  const known = upgrades.get(value.name);
  if (known !== undefined) return known(value, budget);
  if (value.module === 'numpy' && value.callee?.qualname === 'scalar') return upgradeScalar(value, budget);
  return value.module.startsWith('pandas') ? upgradePandas(value, budget) : undefined;
}
