import { readFileSync } from 'node:fs';
import {
  NdArray,
  type OpaqueValue,
  UnpickleError,
  unpackApplyMessage,
  unpackResult,
} from '@ipyparallel-js/protocol';
import { describe, expect, it } from 'vitest';
import { expectTyped, fromHex, readPickleFixtures } from '../../support/generators/typed-json.js';

const fixtures = readPickleFixtures();

function framesOf(name: string): Uint8Array[] {
  const frames = fixtures.results.find((result) => result.name === name)?.frames;
  if (frames === undefined) throw new Error(`fixture ${name} does not exist`);
  return frames.map(fromHex);
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

describe('results serialized by ipyparallel', () => {
  it.each(fixtures.results)('$name ($by)', ({ frames, expected }) => {
    const extra = Uint8Array.of(1, 2, 3);
    const { value, rest } = unpackResult([...frames.map(fromHex), extra]);
    expectTyped(value, expected);
    expect(rest).toHaveLength(1);
    expect(rest[0]).toBe(extra);
  });

  it('come from two versions', () => {
    expect(new Set(fixtures.results.map(({ by }) => by))).toStrictEqual(
      new Set(['ipyparallel 7.1.0', 'ipyparallel 9.2.0']),
    );
  });

  it('share the memory of large bytes with their frame', () => {
    const [pickle] = framesOf('bytes apart');
    const large = Buffer.alloc(70_000, 7);
    const { value } = unpackResult([pickle ?? ascii(''), large]);
    expect(value).toStrictEqual(new Uint8Array(70_000).fill(7));
    expect((value as Uint8Array).buffer).toBe(large.buffer);
  });

  it('are refused if a frame is missing', () => {
    const frames = framesOf('list with bytes');
    for (let count = 0; count < frames.length; count += 1) {
      expect(() => unpackResult(frames.slice(0, count))).toThrow(UnpickleError);
    }
    expect(() => unpackResult([])).toThrow(/the message has 0 buffers, but needs at least one more/);
  });

  it('decode arrays to typed arrays that share the memory of their frame', () => {
    const [pickle] = framesOf('array');
    const frame = Uint8Array.of(0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0);
    const { value } = unpackResult([pickle ?? ascii(''), frame]);
    expect(value).toStrictEqual(new NdArray(new Int16Array([0, 1, 2, 3, 4, 5]), { shape: [2, 3] }));
    expect((value as NdArray<Int16Array>).data.buffer).toBe(frame.buffer);
  });

  it('have the uncanned arguments of a partial', () => {
    const { value } = unpackResult(framesOf('partial with bytes'));
    const [f, ...args] = (value as OpaqueValue).args;
    expect((f as OpaqueValue).name).toBe('__main__.inner_function');
    expect(args).toStrictEqual([ascii('0123456789'), 1]);
  });

  it('name the function of a dependent function', () => {
    const { value } = unpackResult(framesOf('dependent function'));
    const { f } = (value as OpaqueValue).state as { f: OpaqueValue };
    expect(f.kind).toBe('function');
    expect(f.name).toBe('__main__.inner_function');
  });

  it('share one budget among all pickles of a message', () => {
    const frames = framesOf('array of objects');
    expect(() => unpackResult(frames, { limits: { maxOpcodes: 60 } })).toThrow(/maxOpcodes/);
    expect(unpackResult(frames).rest).toHaveLength(0);
  });
});

describe('requests packed by ipyparallel', () => {
  it.each(fixtures.applies)('$name ($by)', ({ name, frames, args, kwargs }) => {
    const message = unpackApplyMessage(frames.map(fromHex));
    expect((message.f as OpaqueValue).name).toBe(name);
    expectTyped(message.args, args);
    expectTyped(message.kwargs, kwargs);
    expect(Object.getPrototypeOf(message.kwargs)).toBe(Object.prototype);
  });

  it('are refused with too many or too few frames, or an invalid info dict', () => {
    const frames = (fixtures.applies[0]?.frames ?? []).map(fromHex);
    for (let count = 0; count < frames.length; count += 1) {
      expect(() => unpackApplyMessage(frames.slice(0, count))).toThrow(UnpickleError);
    }
    expect(() => unpackApplyMessage([...frames, ascii('N.')])).toThrow(/left after the keyword arguments/);
    expect(() => unpackApplyMessage([ascii('N.'), ascii('N.')])).toThrow(/must be a dict with nargs/);
    const info = (nargs: string): Uint8Array =>
      ascii(`(S'nargs'\n${nargs}S'narg_bufs'\nK\x01S'kw_keys'\n(ld.`);
    expect(() => unpackApplyMessage([ascii('N.'), info('J\xff\xff\xff\xff')])).toThrow(
      /nargs .* must be an integer >= 0/,
    );
    expect(() => unpackApplyMessage([ascii('N.'), info('J\xff\xff\xff\x7f'), ascii('N.')])).toThrow(
      /one more/,
    );
  });
});

describe('captured messages', () => {
  const samples: readonly { name: string; frames_hex: string[]; header?: { msg_type: string } }[] =
    JSON.parse(readFileSync(new URL('../../fixtures/wire-samples.json', import.meta.url), 'utf8')).samples;
  const SIGNED_FRAMES = 5;

  function buffersOf(name: string): Uint8Array[] {
    const sample = samples.find((candidate) => candidate.name === name);
    if (sample === undefined) throw new Error(`sample ${name} does not exist`);
    const frames = sample.frames_hex.map((hex) => Buffer.from(hex, 'hex'));
    const delimiter = frames.findIndex((frame) => frame.toString() === '<IDS|MSG>');
    return frames.slice(delimiter + 1 + SIGNED_FRAMES);
  }

  it('decode pow(2, 10) and its result', () => {
    expect(unpackResult(buffersOf('apply_reply (mux)'))).toStrictEqual({ value: 1024, rest: [] });
    const request = unpackApplyMessage(buffersOf('apply_request (mux) pow(2, 10)'));
    expect((request.f as OpaqueValue).name).toBe('builtins.pow');
    expect(request.args).toStrictEqual([2, 10]);
    expect(request.kwargs).toStrictEqual({});
  });

  it('decode a large argument from a separate frame', () => {
    const { args } = unpackApplyMessage(buffersOf('apply_request with a 2000-byte argument'));
    expect(args).toHaveLength(1);
    expect(args[0]).toBeInstanceOf(Uint8Array);
    expect(args[0]).toHaveLength(2000);
    expect(unpackResult(buffersOf('apply_reply (2000-byte argument)')).value).toBe(2000);
  });

  it('decode None to null', () => {
    expect(unpackResult(buffersOf('apply_reply (sleep -> None)'))).toStrictEqual({ value: null, rest: [] });
  });

  it('decode for every apply message', () => {
    const found = samples.filter(({ header }) => header?.msg_type.startsWith('apply_') === true);
    expect(found.length).toBeGreaterThan(10);
    for (const { name, header } of found) {
      const buffers = buffersOf(name);
      if (header?.msg_type === 'apply_request')
        expect(unpackApplyMessage(buffers).args).toBeInstanceOf(Array);
      else if (buffers.length > 0) expect(unpackResult(buffers).rest).toHaveLength(0);
    }
  });
});
