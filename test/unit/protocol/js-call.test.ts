import { pathToFileURL } from 'node:url';
import { capture, fromModule, task, UsageError } from '@ipyparallel-js/client';
import { MalformedMessageError, readPickle } from '@ipyparallel-js/protocol';
import {
  decodeJsCall,
  decodeTaskData,
  encodeJsCall,
  encodeTaskData,
} from '@ipyparallel-js/protocol/internal';
import { describe, expect, test } from 'vitest';

const double = (x: number): number => x * 2;

describe('captures', () => {
  test('values, functions and the running task are distinguished; shared functions are sent once', () => {
    const helper = capture((x: number) => double(x), { double });
    const fn = capture(
      function scale(x: number) {
        return helper(x) + k;
      },
      { helper, double, k: 3, task },
    );
    const { content, buffers } = encodeJsCall(fn, [1]);
    expect(content).toMatchObject({
      language: 'javascript',
      name: 'scale',
      captures: { helper: 1, double: 0, k: 'value', task: 'task' },
      functions: [{ name: 'double' }, { captures: { double: 0 } }],
    });
    const call = decodeJsCall(content, buffers);
    expect(call.functions).toHaveLength(3);
    expect(call.values).toEqual([{}, {}, { k: 3 }]);
    expect(call.args).toEqual([1]);
  });

  test('a local call calls the function; capture can add to its captures', () => {
    const fn = capture(double, { a: 1 });
    expect(fn(4)).toBe(8);
    expect(fn.name).toBe('double');
    const { content } = encodeJsCall(capture(fn, { b: 2, a: 3 }), []);
    expect(content).toMatchObject({ captures: { a: 'value', b: 'value' } });
    expect(content).not.toHaveProperty('functions');
  });

  test('values are read at the call, not at the capture', () => {
    const list = [1];
    const fn = capture(() => list, { list });
    list.push(2);
    const { content, buffers } = encodeJsCall(fn, []);
    expect(decodeJsCall(content, buffers).values).toEqual([{ list: [1, 2] }]);
  });

  test.each([['a-b'], ['class'], ['1x'], ['x = evil()'], ['']])('%j is not a valid captured name', (name) => {
    expect(() => capture(double, { [name]: 1 })).toThrow(UsageError);
  });

  test('functions and values that cannot be sent are refused', () => {
    const self = { fn: double };
    expect(() => capture(double, self)).toThrow(/captures itself as "fn".*function fn\(…\)/);
    expect(() => capture(5 as unknown as () => void, {})).toThrow(UsageError);
    expect(() => encodeJsCall(capture(double, { max: Math.max }), [])).toThrow(/"max" has no source/);
    expect(() => encodeJsCall(capture(double, { deep: { double } }), [])).toThrow(
      /captured values cannot be sent/,
    );
    expect(() => capture(fromModule('x', 'y'), { k: 1 })).toThrow(/cannot bind names to "y"/);
  });

  test.each([
    ['a forward reference', { functions: [{ source: '1', name: '', captures: { f: 0 } }] }],
    ['a reference to itself', { captures: { f: 0 } }],
    ['a reference that is not an integer', { functions: [{ source: '1', name: '' }], captures: { f: 0.5 } }],
    ['functions that are not a list', { functions: 'x' }],
    ['too many functions', { functions: Array(1001).fill({ source: '1' }) }],
    ['a function that is not a dict', { functions: [7] }],
    ['captures that are not a dict', { captures: [1] }],
    ['missing captured values', { captured_values: true }],
  ])('%s is refused', (_what, change) => {
    const { content, buffers } = encodeJsCall(double, [1]);
    expect(() => decodeJsCall({ ...content, ...change }, buffers)).toThrow(MalformedMessageError);
  });
});

describe('fromModule', () => {
  const wire = (fn: (...args: never[]) => unknown) => encodeJsCall(fn, []).content;

  test('the client resolves a path to a URL; a package name is sent unchanged', () => {
    const work = new URL('./work.js', import.meta.url);
    expect(wire(fromModule(work, 'resize'))).toMatchObject({ module: work.href, name: 'resize' });
    expect(wire(fromModule('./work.js', 'resize', import.meta.url))).toMatchObject({ module: work.href });
    expect(wire(fromModule('../a b.js', 'x', '/srv/app/main.js'))).toMatchObject({
      module: 'file:///srv/a%20b.js',
    });
    const here = pathToFileURL(`${process.cwd()}/work.js`).href;
    expect(wire(fromModule('./work.js', 'resize'))).toMatchObject({ module: here });
    expect(wire(fromModule('/srv/work.js', 'resize'))).toMatchObject({ module: 'file:///srv/work.js' });
    for (const name of ['node:os', 'lodash-es', '@scope/name/part'])
      expect(wire(fromModule(name, 'x'))).toMatchObject({ module: name });
    expect(wire(fromModule('lodash-es', 'x'))).not.toHaveProperty('source');
  });

  test('a local call imports the module locally', async () => {
    const basename = fromModule<typeof import('node:path').basename>('node:path', 'basename');
    expect(await basename('/a/b')).toBe('b');
    await expect(fromModule('node:path', 'nothing')()).rejects.toThrow(/exports no function "nothing"/);
  });

  test('modules that no engine can import are refused', () => {
    expect(() => fromModule('https://example.org/x.js', 'x')).toThrow(
      /can import files, packages, data: and node: only, got https/,
    );
    expect(() => fromModule('', 'x')).toThrow(UsageError);
    expect(() => fromModule('x', '')).toThrow(UsageError);
    expect(() => fromModule('./x.js', 'x', 'nonsense')).toThrow(UsageError);
  });
});

describe('published data', () => {
  test('is unchanged after a round trip, and Python reads the values it supports', () => {
    const data = { progress: 0.5, map: new Map([[1, 2]]), list: [1, 'two', null], big: new Float64Array(3) };
    const { content, buffers } = encodeTaskData(data);
    expect(content).toMatchObject({ language: 'javascript', keys: ['progress', 'map', 'list', 'big'] });
    expect(decodeTaskData(content, buffers)).toEqual(data);
    expect(readPickle(buffers[0] ?? Buffer.alloc(0))).toEqual({ progress: 0.5, list: [1, 'two', null] });
  });

  test('an altered buffer is refused', () => {
    const { content, buffers } = encodeTaskData({ a: 1 });
    for (const altered of [0, 1]) {
      const changed = buffers.map((buffer, i) => (i === altered ? Buffer.from('x') : buffer));
      expect(() => decodeTaskData(content, changed)).toThrow(MalformedMessageError);
    }
    expect(() => decodeTaskData({ ...content, buffer_digests: [] }, [])).toThrow(MalformedMessageError);
    expect(() => decodeTaskData({}, [])).toThrow();
  });

  test('task does nothing outside an engine', () => {
    expect(task.msgId).toBe('');
    expect(task.signal.aborted).toBe(false);
    task.progress(0.5);
    task.publish({ a: 1 });
  });
});

declare const k: number;
