// Runs the tests. The first argument selects the suites:
//   fast     (npm test)              unit, integration, conformance and type tests, which need only Node and npm
//   interop  (npm run test:interop)  the rest, which need Python, a MongoDB-compatible server, OpenSSH and prlimit
//   all      (npm run test:all)      both
// Further arguments go to vitest: `npm test -- codec`, `npm test -- --project unit`, `npm run test:interop -- paging`.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readReport, slowestFiles } from './test-report.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const isCI = !['', '0', 'false', undefined].includes(process.env.CI);

/** `budget` is in minutes, on two cores. A run that takes longer prints a line but does not fail. */
const suites = {
  fast: {
    command: 'npm test',
    projects: ['unit', 'integration', 'conformance', 'types'],
    report: join(root, '.tmp/test-report.json'),
    budget: 5,
  },
  interop: {
    command: 'npm run test:interop',
    projects: ['interop'],
    report: join(root, '.tmp/interop-report.json'),
    budget: 25,
  },
};

const EXIT_USAGE = 2;

function fail(message, code = 1) {
  console.error(`test: ${message}`);
  process.exit(code);
}

function formatDuration(seconds) {
  const rounded = Math.round(seconds);
  return rounded < 60 ? `${rounded} s` : `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
}

/** Runs a script that prepares the tests. Resolves to undefined, or to the reason in one line when the script fails. */
function prepare(script) {
  const child = spawn(process.execPath, [`scripts/${script}.mjs`], {
    cwd: root,
    stdio: ['inherit', 'inherit', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(undefined);
      const EXIT_NO_PROGRAM = 3;
      if (code !== EXIT_NO_PROGRAM) console.error(errors.trim());
      const reason = errors.trim().split('\n')[0]?.replace(`${script}: `, '');
      resolve(reason || `${script} ended with ${signal ?? `exit code ${code}`}`);
    });
  });
}

/** Prepares the Python environments and the MongoDB-compatible server; without CI, their absence is only reported. */
async function prepareInterop() {
  const [noPython, noMongo] = await Promise.all([
    prepare('python-envs'),
    process.env.MONGODB_URI ? undefined : prepare('ferretdb'),
  ]);
  const missing = [
    noPython && `test: the tests against Python ipyparallel are skipped: ${noPython}`,
    noMongo && `test: the tests of MongoDB are skipped: ${noMongo}; MONGODB_URI can name a server`,
  ].filter(Boolean);
  if (missing.length > 0 && isCI) fail(`CI is set, so no test may be skipped:\n${missing.join('\n')}`);
  return missing;
}

function runVitest({ projects, report }, args) {
  mkdirSync(dirname(report), { recursive: true });
  rmSync(report, { force: true });
  const chosen = args.some((argument) => argument.startsWith('--project')) ? [] : projects;
  const { status, error } = spawnSync(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      ...chosen.flatMap((name) => ['--project', name]),
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...args,
    ],
    { cwd: root, stdio: 'inherit' },
  );
  if (error) throw error;
  return status ?? 1;
}

/** Runs one of the two suites, and prints its slowest files and whether it kept within its budget. */
async function run(name, args) {
  const suite = suites[name];
  const missing = name === 'interop' ? await prepareInterop() : [];
  for (const line of missing) console.log(line);
  const began = performance.now();
  const code = runVitest(suite, args);
  const seconds = (performance.now() - began) / 1000;
  if (args.length === 0) {
    console.log('test: the slowest files:');
    for (const { file, seconds: taken } of slowestFiles(readReport(suite.report), root))
      console.log(`  ${taken.toFixed(1).padStart(6)} s  ${file}`);
    const verdict = seconds <= suite.budget * 60 ? 'within' : 'OVER';
    console.log(
      `test: ${suite.command} ran for ${formatDuration(seconds)}, ${verdict} its budget of ${suite.budget} min`,
    );
  }
  // Print these lines again, because the first ones have scrolled away.
  for (const line of missing) console.log(line);
  return code;
}

const [which, ...args] = process.argv.slice(2);
if (which !== 'all' && !(which in suites))
  fail(`the first argument must be fast, interop or all, got ${which}`, EXIT_USAGE);
if (which === 'fast' && args.some((argument) => /^(--project=)?interop$/.test(argument)))
  fail('npm test does not run the interop tests; use npm run test:interop', EXIT_USAGE);

const setup = spawnSync(process.execPath, ['scripts/setup.mjs'], { cwd: root, stdio: 'inherit' });
if (setup.status !== 0) process.exit(setup.status ?? 1);

let exitCode = 0;
for (const name of which === 'all' ? ['fast', 'interop'] : [which]) {
  const code = await run(name, args);
  if (exitCode === 0) exitCode = code;
}
if (which === 'fast' && !isCI)
  console.log(
    'test: not run: the interop tests (Python ipyparallel, MongoDB, OpenSSH); npm run test:interop runs them',
  );
process.exit(exitCode);
