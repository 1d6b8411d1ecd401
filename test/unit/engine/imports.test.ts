import { rewriteDynamicImports } from '@ipyparallel-js/engine/internal';
import { expect, test } from 'vitest';

test.each([
  ['await import("fs")', 'await __import("fs")'],
  ['(await import("a"), import("b"))', '(await __import("a"), __import("b"))'],
  ['import(`x`).then((m) => import(m.next))', '__import(`x`).then((m) => __import(m.next))'],
  ['import((await import("a")).next)', '__import((await __import("a")).next)'],
  [
    'async () => { const m = await import("./m.mjs"); return m }',
    'async () => { const m = await __import("./m.mjs"); return m }',
  ],
  ['import /* why */ ("a")', '__import /* why */ ("a")'],
])('dynamic imports become calls: %s', (code, expected) => {
  expect(rewriteDynamicImports(code)).toBe(expected);
});

test.each([
  '"import(1)"',
  '// import("x")\n1',
  'const important = 1; important',
  'obj.import',
  'import fs from "fs"',
  '/import(x)/.test("")',
  'let q = import(;',
  '`import("a")`',
  '',
])('other code is unchanged: %s', (code) => {
  expect(rewriteDynamicImports(code)).toBe(code);
});
