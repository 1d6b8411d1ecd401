import { describeFailure } from '@ipyparallel-js/engine/internal';
import { expect, test } from 'vitest';

test('an error is described by its name, message and stack', () => {
  const error = new TypeError('bad');
  error.stack =
    'TypeError: bad\n    at f (execute-1.js:1:2)\n    at execute-1.js:3:1\n    at Session.post (node:inspector:136:22)\n    at main (file:///x.js:1:1)';
  expect(describeFailure(error)).toEqual({
    ename: 'TypeError',
    evalue: 'bad',
    traceback: ['TypeError: bad', '    at f (execute-1.js:1:2)', '    at execute-1.js:3:1'],
  });
});

test('an error without user frames gets the location of the script', () => {
  const error = new SyntaxError('Unexpected token');
  error.stack = 'SyntaxError: Unexpected token\n    at Session.post (node:inspector:136:22)';
  expect(describeFailure(error, 'execute-2.js:1:9').traceback).toEqual([
    'SyntaxError: Unexpected token',
    '    at execute-2.js:1:9',
  ]);
});

test('the traceback includes causes', () => {
  const error = new Error('outer', { cause: new RangeError('inner') });
  expect(describeFailure(error).traceback).toContain('Caused by: RangeError: inner');
  expect(describeFailure(new Error('outer', { cause: 'text' })).traceback).toContain("Caused by: 'text'");
});

test.each([
  [42, '42'],
  ['text', "'text'"],
  [null, 'null'],
  [undefined, 'undefined'],
  [{ why: 1 }, '{ why: 1 }'],
])('other values are described by inspect(): %s', (thrown, evalue) => {
  expect(describeFailure(thrown)).toEqual({ ename: 'Thrown', evalue, traceback: [`Thrown: ${evalue}`] });
});

test('a value with throwing getters or cycles is described', () => {
  const hostile = new Error('x');
  Object.defineProperty(hostile, 'message', {
    get: () => {
      throw new Error('no');
    },
  });
  expect(describeFailure(hostile).ename).toBe('Thrown');
  const cyclic = new Error('x');
  cyclic.cause = cyclic;
  expect(describeFailure(cyclic).traceback.length).toBeLessThan(100);
});
