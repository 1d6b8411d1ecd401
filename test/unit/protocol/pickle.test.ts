import { OpaqueValue, readPickle, UnpickleError } from '@ipyparallel-js/protocol';
import { describe, expect, it } from 'vitest';
import { expectTyped, fromHex, readPickleFixtures } from '../../support/generators/typed-json.js';

const fixtures = readPickleFixtures();

/** Decodes every pickle of one value. */
function decodeAll(name: string): unknown[] {
  const found = fixtures.values.filter((value) => value.name === name);
  const decoded = found.flatMap(({ pickles }) => pickles.map(({ hex }) => readPickle(fromHex(hex))));
  if (decoded.length === 0) throw new Error(`fixture ${name} does not exist`);
  return decoded;
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

describe('pickles by Python 3.8 to 3.13, protocols 0 to 5', () => {
  const plain = fixtures.values.filter(({ expected }) => expected.t !== 'shape');

  it.each(plain)('$name', ({ expected, pickles }) => {
    for (const { hex } of pickles) expectTyped(readPickle(fromHex(hex)), expected);
  });

  it('covers every protocol', () => {
    const protocols = new Set(fixtures.values.flatMap(({ pickles }) => pickles.flatMap(({ by }) => by)));
    for (const python of ['3.8', '3.9', '3.10', '3.11', '3.12', '3.13']) {
      for (let protocol = 0; protocol <= 5; protocol += 1)
        expect(protocols).toContain(`${python} p${protocol}`);
    }
  });
});

describe('references', () => {
  it('preserves a list that contains itself', () => {
    for (const loop of decodeAll('list in itself') as unknown[][]) {
      expect(loop).toHaveLength(1);
      expect(loop[0]).toBe(loop);
    }
  });

  it('preserves a dict that contains itself, directly and through a tuple', () => {
    for (const knot of decodeAll('dict in itself') as { self: unknown; tuple: unknown[] }[]) {
      expect(knot.self).toBe(knot);
      expect(knot.tuple[0]).toBe(knot);
    }
  });

  it('decodes a shared value to one object', () => {
    for (const [first, second, third] of decodeAll('shared list') as [
      unknown,
      unknown,
      { again: unknown },
    ][]) {
      expect(first).toStrictEqual([1]);
      expect(second).toBe(first);
      expect(third.again).toBe(first);
    }
  });

  it('preserves an instance that refers to itself', () => {
    for (const point of decodeAll('instance in itself') as OpaqueValue[]) {
      expect(point.name).toBe('__main__.Point');
      expect((point.state as { y: unknown }).y).toBe(point);
      expect(JSON.stringify([point])).toBe('["<Python __main__.Point object>"]');
    }
  });
});

describe('dicts', () => {
  it('decodes the key __proto__ to an own property', () => {
    for (const dict of decodeAll('dict of odd names') as Record<string, unknown>[]) {
      expect(Object.getPrototypeOf(dict)).toBe(Object.prototype);
      expect(Object.getOwnPropertyDescriptor(dict, '__proto__')).toStrictEqual({
        value: { polluted: true },
        writable: true,
        enumerable: true,
        configurable: true,
      });
      expect(dict.polluted).toBeUndefined();
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    }
  });

  it('uses the last of two equal keys', () => {
    expect(readPickle(ascii("(dS'a'\nI1\nsS'a'\nI2\ns."))).toStrictEqual({ a: 2 });
    expect(readPickle(ascii('(dI1\nI1\nsI1\nI2\ns.'))).toStrictEqual(new Map([[1, 2]]));
  });
});

describe('bytes', () => {
  it('copies in-band bytes and shares out-of-band buffers', () => {
    const { hex, in_band_hex, buffers } = fixtures.out_of_band;
    const outOfBand = buffers.map(fromHex);
    const expected = ['read only', 'writable'].map(ascii);
    const [first] = readPickle(fromHex(hex), { buffers: outOfBand }) as Uint8Array[];
    expect(readPickle(fromHex(hex), { buffers: outOfBand })).toStrictEqual(expected);
    expect(first?.buffer).toBe(outOfBand[0]?.buffer);

    const pickle = fromHex(in_band_hex);
    const copied = readPickle(pickle) as Uint8Array[];
    pickle.fill(0);
    expect(copied).toStrictEqual(expected);
  });

  it('refuses a pickle whose out-of-band buffers are missing', () => {
    const { hex, buffers } = fixtures.out_of_band;
    const first = buffers.slice(0, 1).map(fromHex);
    expect(() => readPickle(fromHex(hex), { buffers: first })).toThrow(/out-of-band buffer 1 is missing/);
  });
});

describe('opaque values', () => {
  it('name a class by reference and record the call that makes an instance', () => {
    const [error] = decodeAll('exception') as OpaqueValue[];
    expect(error?.kind).toBe('instance');
    expect(error?.callee).toBeInstanceOf(OpaqueValue);
    expect(error?.callee?.name).toBe('builtins.ValueError');
    expect(error?.callee?.kind).toBe('reference');
    expect(String(error)).toBe('<Python builtins.ValueError object>');
    const [reference] = decodeAll('function');
    expect(String(reference)).toBe('<Python posixpath.join>');
  });

  it('are frozen', () => {
    for (const opaque of [...decodeAll('exception'), ...decodeAll('class')] as OpaqueValue[]) {
      expect(Object.isFrozen(opaque)).toBe(true);
    }
  });

  it('hold a datetime whose zone is read from a file, together with the zone', () => {
    for (const opaque of decodeAll('datetime in a zone file') as OpaqueValue[]) {
      expect(opaque.args[0]).toBeInstanceOf(Uint8Array);
      expect((opaque.args[1] as OpaqueValue).name).toMatch(/^dateutil\.tz\./);
    }
  });
});

describe('pickles by Python 2', () => {
  const expected = [
    'grüße',
    'plain',
    'it\'s "q" \\ \n\t',
    Uint8Array.of(0xff, 0),
    5,
    2n ** 70n,
    true,
    new Set([1]),
    { b: 1, a: 2 },
    new Date('2020-01-02T03:04:05.678Z'),
  ];

  it.each([
    [
      0,
      '286c70300a566772fcdf650a70310a615327706c61696e270a70320a61532769745c277320227122205c5c205c6e5c74270a70330a6153275c7866665c783030270a70340a614c354c0a614c313138303539313632303731373431313330333432344c0a614930310a61635f5f6275696c74696e5f5f0a7365740a70350a28286c70360a49310a617470370a5270380a6163636f6c6c656374696f6e730a4f726465726564446963740a70390a28286c7031300a286c7031310a532762270a7031320a6149310a6161286c7031330a532761270a7031340a6149320a6161747031350a527031360a61636461746574696d650a6461746574696d650a7031370a2853275c7830375c7865345c7830315c7830325c7830335c7830345c7830355c6e5b5c786635270a7031380a747031390a527032300a6163657863657074696f6e730a56616c75654572726f720a7032310a285327626164270a7032320a747032330a527032340a61635f5f6275696c74696e5f5f0a6279746561727261790a7032350a28566162ff0a7032360a53276c6174696e2d31270a7032370a747032380a527032390a612e',
    ],
    [
      1,
      '5d71002858070000006772c3bcc39f6571015505706c61696e7102550d6974277320227122205c200a0971035502ff0071044c354c0a4c313138303539313632303731373431313330333432344c0a4930310a635f5f6275696c74696e5f5f0a7365740a7105285d71064b016174710752710863636f6c6c656374696f6e730a4f726465726564446963740a7109285d710a285d710b28550162710c4b01655d710d28550161710e4b02656574710f527110636461746574696d650a6461746574696d650a711128550a07e401020304050a5bf5711274711352711463657863657074696f6e730a56616c75654572726f720a71152855036261647116747117527118635f5f6275696c74696e5f5f0a6279746561727261790a71192858040000006162c3bf711a55076c6174696e2d31711b74711c52711d652e',
    ],
    [
      2,
      '80025d71002858070000006772c3bcc39f6571015505706c61696e7102550d6974277320227122205c200a0971035502ff0071048a01058a0900000000000000004088635f5f6275696c74696e5f5f0a7365740a71055d71064b016185710752710863636f6c6c656374696f6e730a4f726465726564446963740a71095d710a285d710b28550162710c4b01655d710d28550161710e4b02656585710f527110636461746574696d650a6461746574696d650a7111550a07e401020304050a5bf5711285711352711463657863657074696f6e730a56616c75654572726f720a711555036261647116857117527118635f5f6275696c74696e5f5f0a6279746561727261790a711958040000006162c3bf711a55076c6174696e2d31711b86711c52711d652e',
    ],
  ])('decode text, bytes and class names in protocol %i', (_protocol, hex) => {
    const value = readPickle(fromHex(hex)) as unknown[];
    expect(value.slice(0, expected.length)).toStrictEqual(expected);
    const [error, bytes] = value.slice(expected.length);
    expect((error as OpaqueValue).name).toBe('builtins.ValueError');
    expect((error as OpaqueValue).args).toStrictEqual(['bad']);
    expect(bytes).toStrictEqual(Uint8Array.of(0x61, 0x62, 0xff));
  });

  it.each([
    '28695f5f6d61696e5f5f0a4f6c640a70300a286470310a532778270a70320a49310a73622e',
    '28635f5f6d61696e5f5f0a4f6c640a71006f71017d710255017871034b0173622e',
    '800228635f5f6d61696e5f5f0a4f6c640a71006f71017d710255017871034b0173622e',
  ])('decode an instance of an old-style class (%#)', (hex) => {
    const old = readPickle(fromHex(hex)) as OpaqueValue;
    expect(old.name).toBe('__main__.Old');
    expect(old.state).toStrictEqual({ x: 1 });
  });
});

describe('malformed and unsupported pickles are refused', () => {
  it.each([
    ['a persistent id', 'Pid\n.', /persistent ids are not supported/],
    ['a binary persistent id', 'K\x01Q.', /persistent ids are not supported/],
    ['an extension code', '\x80\x02\x82\x01.', /extension codes are not supported/],
    ['an unsupported protocol', '\x80\x06N.', /protocol 6 is not supported/],
    ['an unknown opcode', '\xff.', /unknown opcode 0xff/],
    ['an empty stack', '.', /the stack is empty/],
    ['popping below a mark', '](K\x01a.', /the stack is empty/],
    ['a result below a mark', '](.', /the stack is empty/],
    ['elements for a number', 'K\x01K\x01a.', /elements can be added only to a list/],
    ['a missing mark', 't.', /no mark/],
    ['a missing memo entry', 'h\x05.', /the memo has no entry 5/],
    ['a call of a number', 'K\x01)R.', /only a class or function can be called/],
    ['a state for a class', 'cos\nsystem\n}b.', /a state can be set only on an instance/],
    ['a key without a value', '}(K\x01u.', /a dict key has no value/],
    ['text that is not UTF-8', '\x8c\x01\xff.', /not valid UTF-8/],
    ['an invalid integer', 'I1x\n.', /must be an integer/],
    ['an invalid float', 'F0x10\n.', /must be a float/],
    ['a negative length', 'T\xff\xff\xff\xff.', /a length must be >= 0, got -1/],
    ['an empty pickle', '', /truncated/],
  ])('%s', (_what, pickle, message) => {
    expect(() => readPickle(ascii(pickle))).toThrow(UnpickleError);
    expect(() => readPickle(ascii(pickle))).toThrow(message);
  });

  it('the error has an offset and a stable code', () => {
    let thrown: unknown;
    try {
      readPickle(ascii('(K\x01h\x09.'));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: 'UnpickleError', code: 'UNPICKLE', offset: 5 });
    expect((thrown as UnpickleError).message).toBe('cannot read pickle at byte 5: the memo has no entry 9');
  });
});
