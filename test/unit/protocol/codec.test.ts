import { readFileSync } from 'node:fs';
import {
  createSigner,
  isMessageOf,
  MalformedMessageError,
  packerFor,
  ReplayError,
  ReplayHistory,
  Session,
  SignatureError,
  splitFrames,
  UnsupportedPackerError,
} from '@ipyparallel-js/protocol';
import { describe, expect, it } from 'vitest';

interface Sample {
  readonly name: string;
  readonly frames_hex: readonly string[];
  readonly header?: Record<string, unknown>;
  readonly parent_header?: Record<string, unknown>;
  readonly metadata?: Record<string, unknown>;
  readonly content?: Record<string, unknown>;
  readonly buffers?: readonly unknown[];
  readonly signature?: string;
}

const fixture: { key: string; signature_scheme: string; samples: Sample[] } = JSON.parse(
  readFileSync(new URL('../../fixtures/wire-samples.json', import.meta.url), 'utf8'),
);
const messages = fixture.samples.filter((sample) => sample.header !== undefined);
const framesOf = (sample: Sample): Buffer[] => sample.frames_hex.map((hex) => Buffer.from(hex, 'hex'));
const session = new Session({ key: fixture.key, now: () => new Date() });

function tampered(frames: readonly Buffer[], index: number, bytes: Buffer): Buffer[] {
  return frames.map((frame, i) => (i === index ? bytes : frame));
}

describe('captured messages', () => {
  it('are complete', () => {
    expect(messages.length).toBe(118);
  });

  it.each(messages.map((sample, i) => [i, sample.name, sample] as const))(
    '%i %s decodes',
    (_i, _name, sample) => {
      const message = session.decode(framesOf(sample), new ReplayHistory());
      expect(message.header).toEqual(sample.header);
      expect(message.parent_header).toEqual(sample.parent_header);
      expect(message.metadata).toEqual(sample.metadata);
      expect(message.content).toEqual(sample.content);
      expect(message.buffers.length).toBe(sample.buffers?.length);
    },
  );

  it('have the signatures that the library computes', () => {
    const signer = createSigner(fixture.key, fixture.signature_scheme);
    for (const sample of messages) {
      const { body } = splitFrames(framesOf(sample));
      expect(signer.sign(body.slice(1, 5)).toString('latin1')).toBe(body[0]?.toString('latin1'));
    }
  });

  it('have a content typed by msg_type', () => {
    const sample = messages.find((s) => s.name === 'reply to resubmit_request');
    const message = session.decode(framesOf(sample as Sample));
    if (!isMessageOf(message, 'resubmit_reply') || message.content.status !== 'ok')
      throw new Error('not that reply');
    expect(Object.values(message.content.resubmitted)).toHaveLength(1);
  });
});

describe('decoding', () => {
  const frames = framesOf(messages[0] as Sample);

  it('rejects a changed byte in any signed frame, and a changed signature', () => {
    for (const index of [1, 2, 3, 4, 5]) {
      const changed = Buffer.from(frames[index] as Buffer);
      changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
      expect(() => session.decode(tampered(frames, index, changed))).toThrow(SignatureError);
    }
    expect(() => session.decode(tampered(frames, 1, Buffer.alloc(0)))).toThrow(SignatureError);
  });

  it('rejects a replay, and stores no signature that failed to verify', () => {
    const history = new ReplayHistory();
    expect(() => session.decode(tampered(frames, 5, Buffer.from('{"a":1}')), history)).toThrow(
      SignatureError,
    );
    expect(history.length).toBe(0);
    session.decode(frames, history);
    expect(() => session.decode(frames, history)).toThrow(ReplayError);
    session.decode(frames, new ReplayHistory());
  });

  it('removes the oldest signature first', () => {
    const history = new ReplayHistory(2);
    expect([history.remember('a'), history.remember('b'), history.remember('c')]).toEqual([true, true, true]);
    expect(history.remember('c')).toBe(false);
    expect(history.remember('a')).toBe(true);
    expect(history.remember('')).toBe(true);
    expect(history.remember('')).toBe(true);
  });

  it('rejects too few frames, a missing delimiter, and frames that are not dicts', () => {
    expect(() => session.decode([])).toThrow(MalformedMessageError);
    expect(() => session.decode([Buffer.from('x')])).toThrow(MalformedMessageError);
    for (let n = 1; n < frames.length; n++) {
      expect(() => session.decode(frames.slice(0, n))).toThrow(MalformedMessageError);
    }
    const open = new Session({ key: '', now: () => new Date() });
    for (const bad of ['[]', '"x"', '{', 'null', '{"msg_id":1}', '['.repeat(100_000)]) {
      expect(() => open.decode(tampered(frames, 2, Buffer.from(bad)))).toThrow(MalformedMessageError);
      expect(() =>
        open.decode(tampered(frames, 5, bad === '{"msg_id":1}' ? Buffer.from('1') : Buffer.from(bad))),
      ).toThrow(MalformedMessageError);
    }
  });

  it('keeps a __proto__ key as data', () => {
    const open = new Session({ key: '', now: () => new Date() });
    const message = open.decode(tampered(frames, 5, Buffer.from('{"__proto__":{"polluted":true}}')));
    expect(Object.hasOwn(message.content, '__proto__')).toBe(true);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('decodes an encoded message with its identities and buffers', () => {
    const message = session.message(
      'db_request',
      { query: { a: 'ü☃😀' }, keys: null },
      { buffers: [Buffer.from([0, 255])] },
    );
    const back = session.decode(session.encode(message, ['target']));
    expect(back.idents.map(String)).toEqual(['target']);
    expect(back.content).toEqual(message.content);
    expect(back.buffers).toEqual([Buffer.from([0, 255])]);
    expect(back.header).toEqual(message.header);
  });
});

describe('packers', () => {
  it('have the names of connection files', () => {
    for (const name of ['json', 'orjson']) expect(packerFor(name).name).toBe('json');
    expect(packerFor('orjson', 'json').name).toBe('json');
    expect(packerFor('msgpack').name).toBe('msgpack');
    expect(packerFor('msgpack.packb', 'msgpack.unpackb').name).toBe('msgpack');
    expect(() => packerFor('pickle')).toThrow(/run any code/);
    expect(() => packerFor('xml')).toThrow(UnsupportedPackerError);
    expect(() => packerFor('json', 'msgpack')).toThrow(/must be the same format/);
  });

  it('write the same values in both formats', () => {
    const value = {
      date: new Date(1_234),
      small: 7,
      big: 1_700_000_000_000,
      negative: -5_000_000_000,
      half: 0.5,
      nothing: null,
      missing: undefined,
      list: [undefined, 1],
      text: '☃',
    };
    const expected = JSON.parse(JSON.stringify(value));
    for (const name of ['json', 'msgpack']) {
      const packer = packerFor(name);
      expect(packer.unpack(packer.pack(value))).toEqual(expected);
    }
    // An integer over 32 bits must be an int64 on the wire, not a float.
    expect(packerFor('msgpack').pack(1_700_000_000_000)[0]).toBe(0xd3);
  });

  it('reject msgpack extensions and deep nesting', () => {
    const packer = packerFor('msgpack');
    expect(() => packer.unpack(Buffer.from([0xd6, 0xff, 0, 0, 0, 1]))).toThrow(MalformedMessageError);
    expect(() => packer.unpack(Buffer.alloc(100_000, 0x91))).toThrow(MalformedMessageError);
    expect(() => packer.unpack(Buffer.from([0xc1]))).toThrow(MalformedMessageError);
  });
});
