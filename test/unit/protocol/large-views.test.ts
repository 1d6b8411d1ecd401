import { MalformedMessageError, UsageError } from '@ipyparallel-js/protocol';
import {
  decodeJsCall,
  decodeJsResult,
  encodeJsCall,
  encodeJsResult,
} from '@ipyparallel-js/protocol/internal';
import { describe, expect, test } from 'vitest';

const identity = (x: unknown): unknown => x;

function numbers(n = 9_000): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => i / 3);
}

function sendArgument(value: unknown): { value: unknown; buffers: readonly Buffer[] } {
  const { content, buffers } = encodeJsCall(identity, [value]);
  return { value: decodeJsCall(content, buffers).args[0], buffers };
}

function sendResult(value: unknown): unknown {
  const { content, buffers } = encodeJsResult(value);
  return decodeJsResult(content, buffers);
}

describe('large binary data', () => {
  test.each([
    ['at the root', numbers()],
    ['in lists and objects', { list: [1, { a: numbers(), b: 'text' }], c: numbers(8_500) }],
    [
      'in a Map',
      new Map<unknown, unknown>([
        ['k', numbers()],
        [{ key: 1 }, [numbers()]],
      ]),
    ],
    ['in a Set, packed with the other values', new Set([numbers()])],
    [
      'of every kind',
      [
        new Uint8Array(80_000),
        new Int16Array(40_000),
        new Uint8ClampedArray(80_000),
        new Float32Array(20_000),
        new BigInt64Array(10_000),
        new DataView(new ArrayBuffer(80_000)),
      ],
    ],
    ['an ArrayBuffer', numbers().buffer],
    ['a Buffer', Buffer.alloc(70_000, 7)],
    ['next to small data', [new Uint8Array(10), numbers(), new Float32Array(3)]],
  ])('%s is unchanged after a round trip', (_what, value) => {
    expect(sendArgument(value).value).toEqual(value);
    expect(sendResult(value)).toEqual(value);
  });

  test('is in separate buffers, each once; small data is packed with the other values', () => {
    const data = numbers();
    const view = data.subarray(1, 8_801);
    expect(sendArgument([data, data, view]).buffers.map(({ length }) => length)).toEqual([
      expect.any(Number),
      data.byteLength,
      view.byteLength,
    ]);
    expect(sendArgument(new Float64Array(100)).buffers).toHaveLength(1);
    const [first, second] = sendArgument([data, data]).value as unknown[];
    expect(first).toBe(second);
  });

  test('references and cycles are preserved', () => {
    const shared = { data: numbers() };
    const cyclic: Record<string, unknown> = { shared, again: shared };
    cyclic.self = cyclic;
    const received = sendArgument(cyclic).value as typeof cyclic;
    expect(received.self).toBe(received);
    expect(received.again).toBe(received.shared);
    expect(received.shared).toEqual(shared);
  });

  test('arguments are copied at the call, and the original is unchanged', () => {
    const data = numbers();
    const value = { data };
    const { content, buffers } = encodeJsCall(identity, [value]);
    expect(value.data).toBe(data);
    data.fill(-1);
    expect(decodeJsCall(content, buffers).args[0]).toEqual({ data: numbers() });
  });

  test('aligned data is not copied; other data is copied to be aligned', () => {
    const { content, buffers } = encodeJsResult([numbers()]);
    const [packed = Buffer.alloc(0), large = Buffer.alloc(0)] = buffers;
    const aligned = decodeJsResult(content, [packed, large]) as Float64Array[];
    expect(aligned[0]?.buffer).toBe(large.buffer);
    const odd = Buffer.concat([Buffer.alloc(1), large]).subarray(1);
    expect(decodeJsResult(content, [packed, odd])).toEqual([numbers()]);
  });

  test('functions next to it are refused', () => {
    expect(() => sendArgument([numbers(), () => 1])).toThrow(UsageError);
  });

  test.each([
    ['an extra buffer', (packed: Dict) => packed, 2],
    ['missing locations', () => ({ value: 1 }), 1],
    [
      'a path that does not exist',
      (packed: Dict) => ({ ...packed, places: [{ path: [5, 'x'], kind: 'Buffer', buffer: 0 }] }),
      1,
    ],
    [
      'a path through an inherited property',
      (packed: Dict) => ({ ...packed, places: [{ path: ['__proto__', 'x'], kind: 'Buffer', buffer: 0 }] }),
      1,
    ],
    [
      'an unknown kind',
      (packed: Dict) => ({ ...packed, places: [{ path: [], kind: 'Function', buffer: 0 }] }),
      1,
    ],
    [
      'a missing buffer',
      (packed: Dict) => ({ ...packed, places: [{ path: [], kind: 'Buffer', buffer: 1 }] }),
      1,
    ],
    [
      'a size that does not match the kind',
      (packed: Dict) => ({ ...packed, places: [{ path: [], kind: 'Float64Array', buffer: 0 }] }),
      1,
    ],
  ])('%s is refused', (_what, change, extra) => {
    const made = encodeJsResult(change({ value: [null], places: [] }));
    const large = encodeJsResult(Buffer.alloc(70_001)).buffers[1] ?? Buffer.alloc(0);
    const lone = encodeJsResult(Buffer.alloc(70_001)).content.buffer_digests as string[];
    const content = {
      ...made.content,
      buffer_digests: [
        ...(made.content.buffer_digests as string[]),
        ...Array<string>(extra).fill(lone[1] ?? ''),
      ],
    };
    const buffers = [...made.buffers, ...Array<Buffer>(extra).fill(large)];
    expect(() => decodeJsResult(content, buffers)).toThrow(MalformedMessageError);
  });
});

type Dict = Record<string, unknown>;
