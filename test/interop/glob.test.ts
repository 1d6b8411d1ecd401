import { parseQuery, recordPredicate } from '@ipyparallel-js/protocol/internal';
import { expect, it } from 'vitest';
import { describeStock } from '../support/python/describe-stock.js';
import { runPython } from '../support/python/python.js';

interface Sample {
  readonly pattern: string;
  readonly text: string;
  readonly matches: boolean;
}

const script = `
  import sys, json, random, fnmatch
  random.seed(sys.argv[1])
  alphabet = ['a', 'b', 'c', '-', '!', '^', ']', '[', '*', '?', '.', '\\\\', '\\n', '\\u00e9', '\\U0001F600']
  def some(most, letters):
      return ''.join(random.choice(letters) for _ in range(random.randint(0, most)))
  def sample():
      pattern = some(9, alphabet + ['[', ']', '-', '*'])
      text = some(4, alphabet) if random.random() < 0.7 else pattern
      return dict(pattern=pattern, text=text, matches=fnmatch.fnmatchcase(text, pattern))
  print(json.dumps([sample() for _ in range(20000)]))
`;

describeStock('9', '$glob and fnmatch of a real Python', () => {
  it('match the same of 20,000 random patterns and texts', async () => {
    const seed = process.env['SEED'] ?? '1';
    const samples = await runPython<Sample[]>('9', script, [seed]);
    const wrong = samples.filter(
      ({ pattern, text, matches }) =>
        recordPredicate(parseQuery({ stdout: { $glob: pattern } }))({ stdout: text }) !== matches,
    );
    expect(wrong.slice(0, 20), `seed ${seed}`).toEqual([]);
    expect(samples.filter(({ matches }) => matches).length).toBeGreaterThan(1_000);
  });
});
