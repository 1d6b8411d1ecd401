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

/** Whether a text key with this text is found by this pattern. */
function globbed(pattern: string): (text: unknown) => boolean {
  const matches = recordPredicate(parseQuery({ stdout: { $glob: pattern } }));
  return (stdout) => matches({ stdout });
}

describe('$glob is fnmatch', () => {
  it.each(fixture.patterns)('$pattern', ({ pattern, matches }) => {
    expect(fixture.texts.filter(globbed(pattern))).toEqual(matches);
  });

  it('never matches null, a missing key or what is no text', () => {
    const matches = globbed('*');
    expect([null, undefined, 5, true, {}].map(matches)).toEqual([false, false, false, false, false]);
  });

  it('matches texts in lists on a path, as every other test does', () => {
    const matches = recordPredicate(parseQuery({ 'content.tags': { $glob: 'b*' } }));
    expect(matches({ content: { tags: ['a', 'bc'] } })).toBe(true);
    expect(matches({ content: { tags: ['a', 'cb'] } })).toBe(false);
    expect(matches({ content: { tags: [['bc']] } })).toBe(false);
  });

  it('takes a time that grows with pattern times text, not with their powers', () => {
    const matches = globbed(`${'*a'.repeat(200)}*b`);
    const started = performance.now();
    expect(matches('a'.repeat(20_000))).toBe(false);
    expect(matches(`${'a'.repeat(20_000)}b`)).toBe(true);
    // The powers would take longer than the universe has been there for.
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});
