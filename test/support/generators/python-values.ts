// Generates values of every type that can be sent to Python. Each has a description from which Python builds the same
// value independently, and the value expected back.
import {
  Complex,
  Decimal,
  Fraction,
  NdArray,
  PlainDate,
  PlainTime,
  TimeDelta,
  tuple,
  Uuid,
} from '@ipyparallel-js/protocol';

/** A description as JSON: the name of the type and its constructor arguments. */
export type Described = readonly [type: string, ...parts: unknown[]];

export interface Sample {
  /** The value that is sent. */
  readonly value: unknown;
  readonly described: Described;
  /** The value expected from Python's pickle of it. */
  readonly back: unknown;
}

/** A reproducible random number generator. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed === 0 ? 1 : seed;
  }

  /** A random integer from 0 to `end` - 1. */
  below(end: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return (state >>> 0) % end;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error('pick needs at least one item');
    return item;
  }

  many<T>(most: number, make: (i: number) => T): T[] {
    return Array.from({ length: this.below(most + 1) }, (_, i) => make(i));
  }
}

const TEXTS = [
  '',
  'a',
  'grüße',
  '😀𝄞',
  '\ud800',
  'x\udfffy',
  '\0',
  'a"b\\c\n\u2028',
  '__proto__',
  'constructor',
  'ﬀ',
];
const INTEGERS = [0, 1, -1, 255, 256, 65_535, 65_536, -128, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1];
const SAFE_INTEGERS = [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 40];
const FLOATS = [-0, 0.5, 1e300, -1e-300, 5e-324, 2 ** 53, 1e21, Infinity, -Infinity, NaN];
const BIGINTS = [
  2n ** 53n,
  -(2n ** 53n),
  2n ** 63n - 1n,
  2n ** 63n,
  -(2n ** 63n),
  2n ** 64n,
  -(2n ** 71n),
  3n ** 2000n,
];

const ZONES: Readonly<Record<number, string>> = { 0: '+00:00', 330: '+05:30', [-150]: '-02:30' };

const text = (r: Random): string =>
  r.below(4) === 0 ? r.pick(TEXTS).repeat(r.below(300)) : r.pick(TEXTS) + r.below(100);

function sameSample(value: unknown, ...described: Described): Sample {
  return { value, described, back: value };
}

function bytes(r: Random): Uint8Array {
  return Uint8Array.from({ length: r.pick([0, 1, 7, 255, 256, 5000]) }, () => r.below(256));
}

const day = (r: Random): [number, number, number] => [1 + r.below(9999), 1 + r.below(12), 1 + r.below(28)];

const scalars: readonly ((r: Random) => Sample)[] = [
  () => sameSample(null, 'none'),
  (r) => {
    const value = r.below(2) === 0;
    return sameSample(value, 'bool', value);
  },
  (r) => {
    const value = r.below(2) === 0 ? r.pick([...INTEGERS, ...SAFE_INTEGERS]) : r.below(1e6) - 5e5;
    return sameSample(value, 'int', String(value));
  },
  (r) => {
    // Never an integer, which would be sent as an int.
    const value = r.below(2) === 0 ? r.pick(FLOATS) : (r.below(1e9) - 5e8) / 1024 + 1 / 4096;
    return sameSample(value, 'float', Object.is(value, -0) ? '-0' : String(value));
  },
  (r) => {
    const value = r.pick(BIGINTS);
    return sameSample(value, 'int', String(value));
  },
  (r) => {
    const value = BigInt(r.below(1000));
    return { ...sameSample(value, 'int', String(value)), back: Number(value) };
  },
  (r) => {
    const value = text(r);
    return sameSample(value, 'str', value);
  },
  (r) => {
    const value = bytes(r);
    const hex = Buffer.from(value).toString('hex');
    return { value: r.below(2) === 0 ? value : Buffer.from(value), described: ['bytes', hex], back: value };
  },
  (r) => {
    const value = new Date(r.pick([0, -1, Date.UTC(2026, 1, 3), -62_135_596_800_000, 253_402_300_799_999]));
    return sameSample(value, 'datetime', value.getTime());
  },
  (r) => {
    const parts = day(r);
    return sameSample(new PlainDate(...parts), 'date', ...parts);
  },
  (r) => {
    const [hour, minute, second] = [r.below(24), r.below(60), r.below(60)];
    const offset = r.pick([null, 0, 330, -150]);
    const micros = r.pick([0, 1, 999_999]);
    const digits = [hour, minute, second].map((part) => String(part).padStart(2, '0')).join(':');
    const zone = offset === null ? '' : ZONES[offset];
    const value = new PlainTime(`${digits}.${String(micros).padStart(6, '0')}${zone}`);
    return sameSample(value, 'time', hour, minute, second, micros, offset);
  },
  (r) => {
    const value = new TimeDelta(r.below(2000) - 1000, r.below(86_400), r.below(1e6));
    return sameSample(value, 'timedelta', value.days, value.seconds, value.microseconds);
  },
  (r) => {
    const value = new Complex(r.pick([1.5, -0, 1e300]), r.pick([-2, 0.25, Infinity]));
    return sameSample(
      value,
      'complex',
      ...[value.real, value.imag].map((part) => (Object.is(part, -0) ? '-0' : String(part))),
    );
  },
  (r) => {
    const value = new Decimal(
      r.pick(['1.10', '-0', '1E+400', 'Infinity', '3.14159265358979323846264338327950288']),
    );
    return sameSample(value, 'decimal', value.text);
  },
  (r) => {
    const value = new Uuid(Array.from({ length: 32 }, () => r.below(16).toString(16)).join(''));
    return sameSample(value, 'uuid', value.text);
  },
  (r) => {
    const value = new Fraction(BigInt(r.below(1000)) * 30n + 1n, 30n);
    return sameSample(value, 'fraction', String(value.numerator), String(value.denominator));
  },
];

/** Keys are strings, integers and tuples of them, whose equality is the same in both languages. */
function key(r: Random, used: Set<string>): { value: unknown; described: Described } {
  for (;;) {
    const kind = r.below(3);
    const number = r.below(1000) - 500;
    const name = text(r);
    const made: { value: unknown; described: Described } =
      kind === 0
        ? { value: number, described: ['int', String(number)] }
        : kind === 1
          ? { value: name, described: ['str', name] }
          : {
              value: [number, name],
              described: [
                'tuple',
                [
                  ['int', String(number)],
                  ['str', name],
                ],
              ],
            };
    const id = JSON.stringify(made.described);
    if (used.has(id)) continue;
    used.add(id);
    return made;
  }
}

const containers: readonly ((r: Random, depth: number) => Sample)[] = [
  (r, depth) => {
    const items = r.many(5, () => sample(r, depth - 1));
    return {
      value: items.map(({ value }) => value),
      described: ['list', items.map(({ described }) => described)],
      back: items.map(({ back }) => back),
    };
  },
  (r, depth) => {
    const items = r.many(5, () => sample(r, depth - 1));
    return {
      value: tuple(...items.map(({ value }) => value)),
      described: ['tuple', items.map(({ described }) => described)],
      back: items.map(({ back }) => back),
    };
  },
  (r, depth) => {
    const used = new Map(r.many(5, () => [text(r), sample(r, depth - 1)] as const));
    const entries = (part: (sample: Sample) => unknown): [string, unknown][] =>
      [...used].map(([name, item]) => [name, part(item)]);
    return {
      value: Object.fromEntries(entries(({ value }) => value)),
      // A JavaScript object orders integer keys first.
      described: [
        'dict',
        Object.entries(Object.fromEntries(entries(({ described }) => described))).map(([name, item]) => [
          ['str', name],
          item,
        ]),
      ],
      back: Object.fromEntries(entries(({ back }) => back)),
    };
  },
  (r, depth) => {
    const used = new Set<string>();
    const entries = [
      { of: { value: -1000, described: ['int', '-1000'] as Described }, item: sameSample(1, 'int', '1') },
      ...r.many(4, () => ({ of: key(r, used), item: sample(r, depth - 1) })),
    ];
    return {
      value: new Map(entries.map(({ of, item }) => [of.value, item.value])),
      described: ['dict', entries.map(({ of, item }) => [of.described, item.described])],
      back: new Map(entries.map(({ of, item }) => [of.value, item.back])),
    };
  },
  (r) => {
    const used = new Set<string>();
    const items = r.many(5, () => key(r, used));
    // Python orders sets differently, so only the members are compared.
    return sameSample(
      new Set(items.map(({ value }) => value)),
      'set',
      items.map(({ described }) => described),
    );
  },
];

const SHAPES: readonly (readonly number[])[] = [[], [0], [3], [2, 3], [2, 1, 2], [0, 4]];

/** Array types by numpy's name; `make` returns one element and the text from which Python makes it. */
const NUMBERS: readonly (readonly [string, (length: number, next: () => number) => NdArray['data']])[] = [
  ['int8', (length, next) => Int8Array.from({ length }, next)],
  ['uint8', (length, next) => Uint8Array.from({ length }, next)],
  ['int16', (length, next) => Int16Array.from({ length }, next)],
  ['uint16', (length, next) => Uint16Array.from({ length }, next)],
  ['int32', (length, next) => Int32Array.from({ length }, next)],
  ['uint32', (length, next) => Uint32Array.from({ length }, next)],
  ['int64', (length, next) => BigInt64Array.from({ length }, () => BigInt(next()) - 2n ** 40n)],
  ['uint64', (length, next) => BigUint64Array.from({ length }, () => BigInt(next()) + 2n ** 63n)],
  ['float16', (length, next) => Float32Array.from({ length }, () => (next() % 2048) / 8)],
  ['float32', (length, next) => Float32Array.from({ length }, () => next() / 8)],
  ['float64', (length, next) => Float64Array.from({ length }, () => next() / 3)],
  ['complex64', (length, next) => Float32Array.from({ length: 2 * length }, () => next() / 8)],
  ['complex128', (length, next) => Float64Array.from({ length: 2 * length }, () => next() / 3)],
  ['bool', (length, next) => Uint8Array.from({ length }, () => next() % 2)],
  ['datetime64[ns]', (length, next) => BigInt64Array.from({ length }, () => BigInt(next()) * 10n ** 9n)],
  ['timedelta64[25s]', (length, next) => BigInt64Array.from({ length }, () => BigInt(next()))],
  ['U4', (length, next) => Array.from({ length }, () => ['', 'a', 'grüß', '😀'][next() % 4] ?? '')],
  ['S3', (length, next) => Array.from({ length }, () => Uint8Array.from([1, 2, 255].slice(0, next() % 4)))],
  ['object', (length, next) => Array.from({ length }, () => [null, 'a', 7][next() % 3])],
];

function arrayOf(r: Random): Sample {
  const [dtype, make] = r.pick(NUMBERS);
  const shape = r.pick(SHAPES);
  const size = shape.reduce((product, length) => product * length, 1);
  const data = make(size, () => r.below(100_000));
  const fortranOrder = r.below(3) === 0 && shape.length === 2 && size > 0 && dtype !== 'object';
  const array = new NdArray(data, { dtype, shape, fortranOrder });
  return sameSample(array, 'array', dtype, shape, fortranOrder, Array.from(data, describeElement));
}

function describeElement(element: unknown): unknown {
  if (element instanceof Uint8Array) return Buffer.from(element).toString('hex');
  return typeof element === 'bigint' ? String(element) : element;
}

/** A random value, with `arrays` including arrays. */
export function sample(r: Random, depth: number, arrays = false): Sample {
  if (arrays && r.below(4) === 0) return arrayOf(r);
  return depth > 0 && r.below(2) === 0 ? r.pick(containers)(r, depth) : r.pick(scalars)(r);
}

/** Python source of `make(described)` and of `same(a, b)`, which distinguishes -0, NaN and types. */
export const pythonValues = `
import datetime, decimal, fractions, json, math, pickle, uuid

def make(d):
    kind, *parts = d
    if kind == 'none': return None
    if kind == 'bool': return parts[0]
    if kind == 'int': return int(parts[0])
    if kind == 'float': return float(parts[0])
    if kind == 'str': return parts[0]
    if kind == 'bytes': return bytes.fromhex(parts[0])
    if kind == 'datetime':
        utc = datetime.timezone.utc
        return datetime.datetime(1970, 1, 1, tzinfo=utc) + datetime.timedelta(milliseconds=parts[0])
    if kind == 'date': return datetime.date(*parts)
    if kind == 'time':
        *fields, offset = parts
        zone = None if offset is None else datetime.timezone(datetime.timedelta(minutes=offset))
        return datetime.time(*fields, tzinfo=zone)
    if kind == 'timedelta': return datetime.timedelta(*parts)
    if kind == 'complex': return complex(*map(float, parts))
    if kind == 'decimal': return decimal.Decimal(parts[0])
    if kind == 'uuid': return uuid.UUID(parts[0])
    if kind == 'fraction': return fractions.Fraction(*map(int, parts))
    if kind == 'list': return [make(p) for p in parts[0]]
    if kind == 'tuple': return tuple(make(p) for p in parts[0])
    if kind == 'dict': return {make(k): make(v) for k, v in parts[0]}
    if kind == 'set': return {make(p) for p in parts[0]}
    if kind == 'array': return make_array(*parts)
    raise ValueError(kind)

def make_array(dtype, shape, fortran, elements):
    import numpy
    if dtype.startswith('S'): elements = [bytes.fromhex(e) for e in elements]
    if dtype.startswith('complex'): elements = [complex(*p) for p in zip(elements[::2], elements[1::2])]
    if dtype.startswith(('datetime', 'timedelta', 'int64', 'uint64')):
        kind = 'uint64' if dtype == 'uint64' else 'int64'
        flat = numpy.array([int(e) for e in elements], dtype=kind).view(dtype)
    else:
        flat = numpy.array(elements, dtype=dtype)
    return flat.reshape(shape, order='F' if fortran else 'C')

def same(a, b):
    if type(a) is not type(b): return False
    if isinstance(a, float): return math.isnan(a) and math.isnan(b) or a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, complex): return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, decimal.Decimal): return a.as_tuple() == b.as_tuple()
    if isinstance(a, datetime.datetime): return a == b and a.utcoffset() == b.utcoffset()
    if isinstance(a, datetime.time): return a == b and a.utcoffset() == b.utcoffset()
    if isinstance(a, (list, tuple)): return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict): return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if type(a).__name__ == 'ndarray':
        flags = a.flags.f_contiguous == b.flags.f_contiguous and a.flags.c_contiguous == b.flags.c_contiguous
        return flags and a.dtype == b.dtype and a.shape == b.shape and a.tolist() == b.tolist()
    return a == b
`;
