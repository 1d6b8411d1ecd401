import { readFileSync } from 'node:fs';
import {
  Complex,
  Decimal,
  Fraction,
  NdArray,
  OpaqueValue,
  PlainDate,
  PlainTime,
  TimeDelta,
  Uuid,
} from '@ipyparallel-js/protocol';
import { expect } from 'vitest';

/** A value written by scripts/make-pickle-fixtures.py: JSON that distinguishes Python's types. */
export type Typed =
  | { readonly t: 'null' | 'shape' }
  | { readonly t: 'bool'; readonly v: boolean }
  | { readonly t: 'int' | 'float' | 'str' | 'bytes' | 'date'; readonly v: string }
  | { readonly t: 'list' | 'set'; readonly v: readonly Typed[] }
  | { readonly t: 'dict'; readonly v: readonly (readonly [Typed, Typed])[] }
  | { readonly t: 'value'; readonly name: string; readonly v: string }
  | { readonly t: 'array'; readonly dtype: string; readonly shape: readonly number[]; readonly v: Typed }
  | { readonly t: 'opaque'; readonly name: string; readonly parts: { readonly [part: string]: Typed } };

interface PickleFixture {
  readonly name: string;
  readonly expected: Typed;
  readonly pickles: readonly { readonly by: readonly string[]; readonly hex: string }[];
}

interface MessageFixture {
  readonly name: string;
  readonly by: string;
  readonly frames: readonly string[];
}

/** The content of test/fixtures/pickles.json. */
export interface PickleFixtures {
  readonly values: readonly PickleFixture[];
  readonly tables: readonly {
    readonly name: string;
    readonly by: string;
    readonly pickles: readonly string[];
  }[];
  readonly out_of_band: {
    readonly hex: string;
    readonly in_band_hex: string;
    readonly buffers: readonly string[];
  };
  readonly results: readonly (MessageFixture & { readonly expected: Typed })[];
  readonly applies: readonly (MessageFixture & { readonly args: Typed; readonly kwargs: Typed })[];
}

export function readPickleFixtures(): PickleFixtures {
  return JSON.parse(readFileSync(new URL('../../fixtures/pickles.json', import.meta.url), 'utf8'));
}

/** Reads test/fixtures/structures.json. */
export function readStructureFixtures(): readonly { name: string; by: string; pickles: readonly string[] }[] {
  return JSON.parse(readFileSync(new URL('../../fixtures/structures.json', import.meta.url), 'utf8'));
}

/** A plain Uint8Array, because `toStrictEqual` distinguishes it from a Buffer. */
export function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

const FLOATS: Readonly<Record<string, number>> = {
  inf: Number.POSITIVE_INFINITY,
  '-inf': Number.NEGATIVE_INFINITY,
  nan: Number.NaN,
};

const VALUES: Readonly<Record<string, (...parts: string[]) => unknown>> = {
  Complex: (real, imag) => new Complex(Number(real), Number(imag)),
  Decimal: (text = '') => new Decimal(text),
  Fraction: (text = '') => new Fraction(...(text.split('/').map(BigInt) as [bigint, bigint])),
  PlainDate: (text = '') => new PlainDate(...(text.split('-').map(Number) as [number, number, number])),
  PlainTime: (text = '') => new PlainTime(text),
  TimeDelta: (days, _d, seconds, _s, micros) => new TimeDelta(Number(days), Number(seconds), Number(micros)),
  Uuid: (text = '') => new Uuid(text),
};

function makeValue(name: string, text: string): unknown {
  const make = VALUES[name];
  if (make === undefined) throw new Error(`${name} has no JavaScript class`);
  return make(...text.split(' '));
}

/** The JavaScript value expected for a typed value without opaque parts. */
function fromTyped(typed: Typed): unknown {
  switch (typed.t) {
    case 'null':
      return null;
    case 'bool':
    case 'str':
      return typed.v;
    case 'int': {
      const number = Number(typed.v);
      return Number.isSafeInteger(number) ? number : BigInt(typed.v);
    }
    case 'float':
      return FLOATS[typed.v] ?? Number(typed.v);
    case 'bytes':
      return fromHex(typed.v);
    case 'date':
      return new Date(typed.v);
    case 'value':
      return makeValue(typed.name, typed.v);
    case 'list':
      return typed.v.map(fromTyped);
    case 'set':
      return new Set(typed.v.map(fromTyped));
    case 'dict':
      return typed.v.every(([key]) => key.t === 'str')
        ? Object.fromEntries(typed.v.map(([key, value]) => [fromTyped(key), fromTyped(value)]))
        : new Map(typed.v.map(([key, value]) => [fromTyped(key), fromTyped(value)]));
    default:
      throw new Error(`${typed.t} has no JavaScript value`);
  }
}

/** Asserts that a decoded value equals the expected one, including all types. */
export function expectTyped(actual: unknown, expected: Typed): void {
  if (expected.t === 'opaque') {
    if (!(actual instanceof OpaqueValue))
      throw new Error(`${String(actual)} must be an OpaqueValue of ${expected.name}`);
    expect(actual.name).toBe(expected.name);
    for (const [part, typed] of Object.entries(expected.parts)) {
      expectTyped(actual[part as 'args' | 'kwargs' | 'state' | 'items' | 'entries'], typed);
    }
  } else if (expected.t === 'array') {
    if (!(actual instanceof NdArray)) throw new Error(`${String(actual)} must be an NdArray`);
    expect(actual).toMatchObject({ dtype: expected.dtype, shape: expected.shape, fortranOrder: false });
    const elements = Array.from(actual.data, (element: unknown) =>
      typeof element === 'bigint' ? Number(element) : element,
    );
    expect(elements).toStrictEqual(fromTyped(expected.v));
  } else if (expected.t === 'list' && Array.isArray(actual)) {
    expect(actual).toHaveLength(expected.v.length);
    expected.v.forEach((typed, i) => {
      expectTyped(actual[i], typed);
    });
  } else {
    expect(actual).toStrictEqual(fromTyped(expected));
  }
}
