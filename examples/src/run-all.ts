// Runs every example as a separate program, on a temporary cluster or on the cluster of the command line.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Cluster } from '@ipyparallel-js/cluster';
import Table from 'cli-table3';
import pc from 'picocolors';

const examples = [
  'incomplete-tasks',
  'mine-of-the-last-hour',
  'others-before-the-last-hour',
  'result-headers-of-engines-3-and-4',
  'result-by-id',
  'poll-until-done',
  'watch-tasks',
  'select-and-resubmit',
  'select-and-purge',
  'progress-of-tasks',
  'views',
];
const TIMEOUT_MS = 60_000;

interface Run {
  readonly ok: boolean;
  readonly seconds: number;
  readonly output: string;
}

function run(example: string, args: readonly string[]): Promise<Run> {
  const start = performance.now();
  const file = fileURLToPath(new URL(`./${example}.js`, import.meta.url));
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIMEOUT_MS,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (signal !== null) output += `ended by ${signal}\n`;
      resolve({ ok: code === 0, seconds: (performance.now() - start) / 1000, output });
    });
  });
}

/** Arguments that select a running cluster. Without them this starts five engines, because an example uses engines 3 and 4. */
const clusterArgs = process.argv.slice(2);
await using cluster = clusterArgs.length > 0 ? undefined : await Cluster.start({ n: 5 });
const args = cluster === undefined ? clusterArgs : ['--connection-file', cluster.connectionFile];

const table = new Table({
  head: ['example', 'outcome', 'seconds'],
  style: { head: [], border: [], compact: true },
});
let failures = 0;
for (const example of examples) {
  const { ok, seconds, output } = await run(example, args);
  table.push([
    example,
    ok ? pc.green('ok') : pc.red('failed'),
    { content: seconds.toFixed(1), hAlign: 'right' },
  ]);
  if (ok) continue;
  failures++;
  console.error(`${example}:\n${output}`);
}
console.log(table.toString());
console.log(
  failures === 0 ? `${examples.length} examples ok` : `${failures} of ${examples.length} examples failed`,
);
process.exitCode = failures === 0 ? 0 : 1;
