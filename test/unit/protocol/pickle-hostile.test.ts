import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  OpaqueValue,
  type PickleLimits,
  readPickle,
  UnpickleError,
  unpackResult,
} from '@ipyparallel-js/protocol';
import { describe, expect, it } from 'vitest';
import { fromHex, readPickleFixtures } from '../../support/generators/typed-json.js';

const fixtures = readPickleFixtures();

function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

/** A four-byte length, as text. */
function uint32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('latin1');
}

function pickleNamed(name: string): Uint8Array {
  const hex = fixtures.values.find((value) => value.name === name)?.pickles.at(-1)?.hex;
  if (hex === undefined) throw new Error(`fixture ${name} does not exist`);
  return fromHex(hex);
}

/** Whether a pickle decodes; false on an UnpickleError. Rethrows other errors, which are bugs. */
function decodeOrRefuse(pickle: Uint8Array, limits?: Partial<PickleLimits>): boolean {
  try {
    readPickle(pickle, limits === undefined ? {} : { limits });
    return true;
  } catch (error) {
    if (!(error instanceof UnpickleError)) throw error;
    if (error.cause instanceof TypeError) throw error.cause;
    return false;
  }
}

describe('code', () => {
  it.each([
    ['os.system', "cos\nsystem\n(S'touch MARKER'\ntR.", 'os.system', ['touch MARKER']],
    ['eval', "c__builtin__\neval\n(S'1/0'\ntR.", 'builtins.eval', ['1/0']],
    [
      'a posix name on the stack',
      '\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.',
      'posix.system',
      ['x'],
    ],
    ['INST', "(S'x'\nios\nsystem\n.", 'os.system', ['x']],
    ['OBJ', "(cos\nsystem\nS'x'\no.", 'os.system', ['x']],
    ['a JavaScript name', "cconstructor\n__proto__\n(S'x'\ntR.", 'constructor.__proto__', ['x']],
  ])('%s becomes opaque and nothing runs', (_what, pickle, name, args) => {
    const marker = join(tmpdir(), `ippjs-pickle-${process.pid}`);
    const value = readPickle(ascii(pickle.replace('MARKER', marker)));
    expect(existsSync(marker)).toBe(false);
    expect(value).toBeInstanceOf(OpaqueValue);
    expect((value as OpaqueValue).name).toBe(name);
    expect((value as OpaqueValue).args).toStrictEqual(args.map((arg) => arg.replace('MARKER', marker)));
  });

  it('records a call of the result of a call', () => {
    const value = readPickle(ascii("coperator\nattrgetter\n(S'x'\ntR(K\x01tR.")) as OpaqueValue;
    expect(value.name).toBe('operator.attrgetter()');
    expect(value.args).toStrictEqual([1]);
    expect(value.callee?.args).toStrictEqual(['x']);
  });

  it('records a getattr as a qualified name without looking it up', () => {
    const value = readPickle(ascii("c__builtin__\ngetattr\n(cos\npath\nS'join'\ntR.")) as OpaqueValue;
    expect(value.kind).toBe('reference');
    expect(value.name).toBe('os.path.join');
  });
});

describe('depth', () => {
  const nested = (depth: number): Uint8Array => ascii(`${'('.repeat(depth)}${'l'.repeat(depth)}.`);

  it('is limited', () => {
    expect(JSON.stringify(readPickle(nested(1000)))).toHaveLength(2000);
    expect(() => readPickle(nested(1001))).toThrow(/deeper than maxDepth = 1000/);
    expect(() => readPickle(nested(1_000_000))).toThrow(/deeper than maxDepth/);
    expect(() => readPickle(nested(5), { limits: { maxDepth: 4 } })).toThrow(UnpickleError);
    expect(readPickle(nested(5), { limits: { maxDepth: 5 } })).toStrictEqual([[[[[]]]]]);
  });

  it.each([
    ['tuples', ')', '\x85'],
    ['dicts', ')', 'q\x000}\x8c\x01ah\x00s'],
    ['keys', ')', 'q\x000}h\x00Ns'],
    ['sets', ')', 'q\x000(h\x00\x91'],
    ['states', ')', 'q\x000cm\nC\n)Rh\x00b'],
    ['results of calls that are called', 'cm\nC\n', ')R'],
  ])('is limited for %s', (_what, innermost, wrapper) => {
    const limits = { maxDepth: 60 };
    expect(decodeOrRefuse(ascii(`${innermost}${wrapper.repeat(40)}.`), limits)).toBe(true);
    expect(decodeOrRefuse(ascii(`${innermost}${wrapper.repeat(80)}.`), limits)).toBe(false);
  });

  it('is that of the longest path, even if a shorter path is visited first', () => {
    // [a, chain]: the chain of 10 ends in a, which is 3 deep itself. 1 + 10 + 3.
    const pickle = ascii(`(${'('.repeat(3)}lllq\x00h\x00${'\x85'.repeat(10)}l.`);
    expect(decodeOrRefuse(pickle, { maxDepth: 14 })).toBe(true);
    expect(decodeOrRefuse(pickle, { maxDepth: 13 })).toBe(false);
  });
});

describe('size', () => {
  it('preserves the shared references of a billion-laughs pickle', () => {
    expect(() => readPickle(pickleNamed('billion laughs'))).toThrow(/maxExpanded = 100000000/);
    let value = readPickle(pickleNamed('billion laughs'), {
      limits: { maxExpanded: Number.POSITIVE_INFINITY },
    });
    for (let level = 0; level < 60; level += 1) {
      expect(value).toHaveLength(10);
      const list: unknown[] = Array.isArray(value) ? value : [];
      expect(new Set(list).size).toBe(1);
      value = list[0];
    }
    expect(value).toStrictEqual(['ha']);
  });

  it('counts shared parts at each use', () => {
    // 1 + 3 * (1 + 3 * (1 + 0)) = 13 lists, although only 3 exist.
    const laughs = ascii(`](${']q\x000(h\x00h\x00h\x00lq\x010(h\x01h\x01h\x01l'}l.`);
    expect(decodeOrRefuse(laughs, { maxExpanded: 14 })).toBe(true);
    expect(() => readPickle(laughs, { limits: { maxExpanded: 12 } })).toThrow(/maxExpanded = 12/);
    const instances = ascii(`(cm\nC\n(${'N'.repeat(50)}tRq\x00${'h\x00'.repeat(50)}l.`);
    expect(decodeOrRefuse(instances, { maxExpanded: 60 })).toBe(true);
  });

  it.each([
    ['sets', '(h\x00h\x00\x85h\x00\x85\x85\x91'],
    ['dicts', '}(\x8c\x01ah\x00\x8c\x01bh\x00u'],
    ['arguments', 'cm\nC\nh\x00h\x00h\x00\x87R'],
    ['states', 'cm\nC\n)Rh\x00h\x00h\x00\x87b'],
  ])('preserves the shared references of nested %s', (_what, level) => {
    const limits = { maxExpanded: Number.POSITIVE_INFINITY };
    expect(decodeOrRefuse(ascii(`]${`q\x000${level}`.repeat(200)}.`), limits)).toBe(true);
  });

  it.each([
    ['BINUNICODE', `X${uint32(0xffffffff)}abc.`],
    ['BINUNICODE8', '\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.'],
    ['BINBYTES', `B${uint32(0xfffffff0)}abc.`],
    ['BINBYTES8', '\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.'],
    ['BYTEARRAY8', '\x96\x00\x00\x00\x00\x00\x10\x00\x00abc.'],
    ['BINSTRING', `T${uint32(0x7fffffff)}abc.`],
    ['LONG4', `\x8b${uint32(100_000)}abc.`],
    ['FRAME', '\x80\x04\x95\x00\x00\x00\x00\x01\x00\x00\x00N.'],
  ])('checks a declared length before allocating: %s', (_opcode, pickle) => {
    expect(() => readPickle(ascii(pickle))).toThrow(/truncated/);
  });

  it('limits integers', () => {
    expect(() => readPickle(ascii(`\x8b${uint32(0x7fffffff)}abc.`))).toThrow(/maxIntegerBytes/);
    expect(() => readPickle(ascii(`L${'9'.repeat(1_000_000)}L\n.`))).toThrow(/maxIntegerBytes/);
    const limits = { maxIntegerBytes: 8 };
    expect(readPickle(ascii('\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.'), { limits })).toBe(2n ** 63n - 1n);
    expect(decodeOrRefuse(ascii('\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00.'), limits)).toBe(false);
  });

  it('limits opcodes, memo entries and memory', () => {
    const list = ascii(`(${'N'.repeat(100)}l.`);
    expect(decodeOrRefuse(list, { maxOpcodes: 103 })).toBe(true);
    expect(() => readPickle(list, { limits: { maxOpcodes: 102 } })).toThrow(/maxOpcodes = 102/);
    const memo = ascii(`N${Array.from({ length: 100 }, (_, i) => `r${uint32(0xffff_fff0 - i)}`).join('')}.`);
    expect(decodeOrRefuse(memo, { maxMemoEntries: 100 })).toBe(true);
    expect(() => readPickle(memo, { limits: { maxMemoEntries: 99 } })).toThrow(/maxMemoEntries = 99/);
    expect(() => readPickle(list, { limits: { maxMemory: 1000 } })).toThrow(/maxMemory = 1000/);
    const text = ascii(`X${uint32(1000)}${'x'.repeat(1000)}.`);
    expect(() => readPickle(text, { limits: { maxMemory: 1000 } })).toThrow(/maxMemory = 1000/);
  });

  it.each([
    [
      'bytes of one text',
      `c_codecs\nencode\nq\x010X${uint32(100_000)}${'x'.repeat(100_000)}q\x000(`,
      'h\x01h\x00\x8c\x06latin1\x86R',
    ],
    ['sets of one list', `cbuiltins\nset\nq\x010(${'N'.repeat(10_000)}lq\x000(`, 'h\x01h\x00\x85R'],
    [
      'dicts of one dict',
      `ccollections\nOrderedDict\nq\x010(${'NN'.repeat(5000)}dq\x000(`,
      'h\x01h\x00\x85R',
    ],
    ['deques of one list', `ccollections\ndeque\nq\x010(${'N'.repeat(10_000)}lq\x000(`, 'h\x01h\x00\x85R'],
  ])('limits the copies that calls make: %s', (_what, start, step) => {
    const began = performance.now();
    expect(() => readPickle(ascii(`${start}${step.repeat(20_000)}l.`))).toThrow(/maxMemory/);
    expect(performance.now() - began).toBeLessThan(30_000);
  });

  it('limits the work for named zones', () => {
    const zone = 'czoneinfo\nZoneInfo\n\x8c\x0dEurope/Berlin\x85Rq\x010';
    const datetimes = `cdatetime\ndatetime\nq\x020C\x0a\x07\xea\x07\x01\x0c\x00\x00\x00\x00\x00q\x000(${'h\x02h\x00h\x01\x86R'.repeat(1000)}l.`;
    const pickle = ascii(`${zone}${datetimes}`);
    expect(readPickle(pickle)).toStrictEqual(new Array(1000).fill(new Date('2026-07-01T10:00:00Z')));
    expect(() => readPickle(pickle, { limits: { maxOpcodes: 20_000 } })).toThrow(/maxOpcodes/);
  });

  it('limits names that grow with each call', () => {
    expect(() => readPickle(ascii(`cm\nC\n${')R'.repeat(2000)}.`))).toThrow(/name .* longer than 1000/);
    const grow = "S'aaaaaaaaaa'\n\x86q\x000c__builtin__\ngetattr\nh\x00R";
    expect(() => readPickle(ascii(`cm\nC\n${grow.repeat(2000)}.`))).toThrow(/name .* longer than 1000/);
  });

  it.each([
    [
      'arrays of one list of objects',
      `(${'N'.repeat(10_000)}lq\x000cnumpy.core.multiarray\n_reconstruct\nq\x010cnumpy\nndarray\nq\x030cnumpy\ndtype\nS'O'\n\x85Rq\x020(`,
      "h\x01h\x03K\x00\x85S'b'\n\x87R(K\x01M\x10\x27\x85h\x02\x89h\x00tb",
    ],
    [
      'decimals of one text',
      `cdecimal\nDecimal\nq\x010X${uint32(100_000)}${'9'.repeat(99_999)}xq\x000(`,
      'h\x01h\x00\x85R',
    ],
    [
      'fractions of one text',
      `cfractions\nFraction\nq\x010X${uint32(100_000)}${'9'.repeat(100_000)}q\x000(`,
      'h\x01h\x00\x85R',
    ],
  ])('limits the work for calls: %s', (_what, start, step) => {
    const began = performance.now();
    const limits = { maxOpcodes: 2_000_000 };
    expect(() => readPickle(ascii(`${start}${step.repeat(20_000)}l.`), { limits })).toThrow(/maxOpcodes/);
    expect(performance.now() - began).toBeLessThan(30_000);
  });

  it('never converts its parts to text', () => {
    const laughs = `]${'q\x000(h\x00h\x00h\x00h\x00l'.repeat(60)}`;
    for (const name of ['fractions\nFraction', 'decimal\nDecimal', 'uuid\nUUID', 'numpy\ndtype']) {
      const limits = { maxExpanded: Number.POSITIVE_INFINITY };
      const value = readPickle(ascii(`${laughs}q\x000c${name}\nh\x00\x85R.`), { limits }) as OpaqueValue;
      expect(value).toBeInstanceOf(OpaqueValue);
      expect(value.args).toHaveLength(1);
    }
  });

  it('uncans a shared object once', () => {
    const canned = 'cipyparallel.serialize.canning\nCannedBytes\n';
    const state = `}\x8c\x07buffers(${'N'.repeat(3)}ls`;
    const pickle = ascii(`(${canned})R${state}bq\x00${'h\x00'.repeat(1000)}l.`);
    const frames = ['a', 'b', 'c'].map(ascii);
    const { value, rest } = unpackResult([pickle, ...frames]);
    expect(new Set(value as unknown[])).toStrictEqual(new Set([ascii('a')]));
    expect(rest).toHaveLength(0);
    const many = ascii(`(${state}q\x000${`${canned})Rh\x00b`.repeat(1000)}l.`);
    expect(() => unpackResult([many, ...frames])).toThrow(/4 buffers, but needs at least one more/);
  });
});

describe('broken input', () => {
  it('is refused when cut at any byte', () => {
    const complete = fixtures.values.filter(({ name }) => name !== 'long list' && name !== 'billion laughs');
    let cuts = 0;
    for (const { pickles } of complete) {
      for (const { hex } of pickles) {
        const pickle = fromHex(hex);
        for (let length = 0; length < pickle.length; length += 1) {
          expect(decodeOrRefuse(pickle.subarray(0, length)), `${hex} cut at ${length}`).toBe(false);
          cuts += 1;
        }
      }
    }
    expect(cuts).toBeGreaterThan(10_000);
  });

  it('is refused or decoded when random bytes are changed', () => {
    const seed = 20_261_122;
    console.log(`pickle fuzz: seed ${seed}`);
    const random = xorshift(seed);
    const pickles = fixtures.values.flatMap((value) => value.pickles.map(({ hex }) => fromHex(hex)));
    const limits = { maxMemory: 16 * 1024 * 1024 };
    const deadline = performance.now() + 1500;
    let refused = 0;
    let rounds = 0;
    for (; rounds < 60_000 && performance.now() < deadline; rounds += 1) {
      const pickle = Uint8Array.from(pickles[random() % pickles.length] ?? []);
      const changes = 1 + (random() % 4);
      for (let i = 0; i < changes; i += 1) pickle[random() % pickle.length] = random() & 0xff;
      if (!decodeOrRefuse(pickle, limits)) refused += 1;
    }
    expect(rounds).toBeGreaterThan(1000);
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(rounds);
  });
});

/** A reproducible random number generator. */
function xorshift(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
