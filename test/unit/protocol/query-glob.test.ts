import { readFileSync } from 'node:fs';
import { parseQuery, recordPredicate } from '@ipyparallel-js/protocol/internal';
import { describe, expect, it } from 'vitest';

interface GlobFixture {
  readonly texts: readonly string[];
  readonly patterns: readonly { readonly pattern: string; readonly matches: readonly string[] }[];
}

const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/globs.json', import.meta.url), 'utf8'),
) as GlobFixture;

/** Whether the pattern matches a text key with this text. */
function globbed(pattern: string): (text: unknown) => boolean {
  const matches = recordPredicate(parseQuery({ stdout: { $glob: pattern } }));
  return (stdout) => matches({ stdout });
}

describe('$glob is fnmatch', () => {
  it.each(fixture.patterns)('$pattern', ({ pattern, matches }) => {
    expect(fixture.texts.filter(globbed(pattern))).toEqual(matches);
  });

  it('never matches null, a missing key or a value that is not a string', () => {
    const matches = globbed('*');
    expect([null, undefined, 5, true, {}].map(matches)).toEqual([false, false, false, false, false]);
  });

  it('matches strings in lists at a path, like every other operator', () => {
    const matches = recordPredicate(parseQuery({ 'content.tags': { $glob: 'b*' } }));
    expect(matches({ content: { tags: ['a', 'bc'] } })).toBe(true);
    expect(matches({ content: { tags: ['a', 'cb'] } })).toBe(false);
    expect(matches({ content: { tags: [['bc']] } })).toBe(false);
  });

  it('takes time proportional to pattern length × text length, not exponential time', () => {
    const matches = globbed(`${'*a'.repeat(200)}*b`);
    const started = performance.now();
    expect(matches('a'.repeat(20_000))).toBe(false);
    expect(matches(`${'a'.repeat(20_000)}b`)).toBe(true);
    // Exponential matching would not end in the lifetime of the universe.
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});
