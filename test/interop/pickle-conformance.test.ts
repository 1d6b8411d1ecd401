// Real Pythons read pickles by writePickle, and readPickle reads pickles by real Pythons.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, isDeepStrictEqual } from 'node:util';
import { type PickleProtocol, readPickle, writePickle } from '@ipyparallel-js/protocol';
import { afterAll, expect, it } from 'vitest';
import { pythonValues, Random, sample } from '../support/generators/python-values.js';
import { describeStock } from '../support/python/describe-stock.js';
import { runPython, stockVersions } from '../support/python/python.js';

const PROTOCOLS: readonly PickleProtocol[] = [2, 3, 4, 5];
const COUNT = Number(process.env.FUZZ ?? 400);

const script = `
  import sys
  exec(sys.argv[2])
  answers = []
  for case in json.load(open(sys.argv[1])):
      value = make(case['described'])
      wrong = [p for p, data in case['pickles'].items() if not same(pickle.loads(bytes.fromhex(data)), value)]
      answers.append({'wrong': wrong, 'pickles': [pickle.dumps(value, p).hex() for p in range(6)]})
  print(json.dumps(answers))
`;

for (const version of stockVersions) {
  describeStock(version, `values and the Python of ipyparallel ${version}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'ippjs-values-'));
    afterAll(() => rmSync(directory, { recursive: true, force: true }));

    it('are equal on both sides in every protocol', async () => {
      const seed = Number(
        process.env.SEED ?? (process.env.FUZZ === undefined ? 1 : Date.now() & 0x7fff_ffff),
      );
      console.log(`values: seed ${seed}, ${COUNT} of them`);
      const random = new Random(seed);
      const samples = Array.from({ length: COUNT }, () => sample(random, 3, true));
      const cases = samples.map(({ value, described }) => ({
        described,
        pickles: Object.fromEntries(
          PROTOCOLS.map((protocol) => [protocol, writePickle(value, { protocol }).toString('hex')]),
        ),
      }));
      const file = join(directory, 'cases.json');
      writeFileSync(file, JSON.stringify(cases));
      const answers = await runPython<{ wrong: string[]; pickles: string[] }[]>(version, script, [
        file,
        pythonValues,
      ]);
      expect(answers).toHaveLength(COUNT);
      for (const [i, { wrong, pickles }] of answers.entries()) {
        const { described, back } = samples[i] ?? {};
        expect(wrong, `seed ${seed}: Python read another value: ${JSON.stringify(described)}`).toStrictEqual(
          [],
        );
        for (const [protocol, hex] of pickles.entries()) {
          const read = readPickle(Buffer.from(hex, 'hex'));
          // The comparison does not use toStrictEqual, which treats a property named "constructor" as the class.
          if (!isDeepStrictEqual(read, back)) {
            expect.fail(`seed ${seed}, protocol ${protocol}: ${inspect(read)} is not ${inspect(back)}`);
          }
        }
      }
    });
  });
}
