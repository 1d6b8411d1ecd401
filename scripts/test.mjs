// npm test: sets the clone up, makes the Python environments where there is a Python, and runs every kind of test.
// Arguments go to vitest: `npm test -- --project unit`, `npm test -- codec`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const report = join(root, '.tmp', 'test-report.json');
const isCI = !['', '0', 'false', undefined].includes(process.env.CI);

function node(args, options = {}) {
  const { status, signal, stderr, error } = spawnSync(process.execPath, args, {
    cwd: root,
    stdio: 'inherit',
    encoding: 'utf8',
    ...options,
  });
  if (error) throw error;
  return { code: status ?? 1, ending: signal ?? `exit code ${status}`, stderr: stderr ?? '' };
}

/** Makes the environments; gives the reason in one line when that is not possible. */
function makePythonEnvs() {
  const { code, ending, stderr } = node(['scripts/python-envs.mjs'], {
    stdio: ['inherit', 'inherit', 'pipe'],
  });
  if (code === 0) return undefined;
  const EXIT_NO_PYTHON = 3;
  const reason = stderr.trim().replace(/^python-envs: /, '') || ending;
  if (code === EXIT_NO_PYTHON) return reason;
  console.error(stderr.trim());
  return `the Python environments could not be made: ${reason.split('\n')[0]}`;
}

/** Builds the MongoDB server of the tests, unless one is named; gives the reason in one line when that is not possible. */
function buildMongoServer() {
  if (process.env.MONGODB_URI) return undefined;
  const { code, ending, stderr } = node(['scripts/ferretdb.mjs'], { stdio: ['inherit', 'inherit', 'pipe'] });
  if (code === 0) return undefined;
  return stderr.trim().replace(/^ferretdb: /, '') || ending;
}

const given = process.argv.slice(2);
const choosesProjects = given.some((argument) => argument.startsWith('--project'));
const projects = choosesProjects ? [] : ['unit', 'integration', 'conformance', 'types'];
const mayNeedPython = !choosesProjects || given.some((argument) => argument.endsWith('interop'));

const mayNeedMongo =
  !choosesProjects || given.some((argument) => /(integration|conformance|interop)$/.test(argument));

const setup = node(['scripts/setup.mjs']);
if (setup.code !== 0) process.exit(setup.code);

const noMongo = mayNeedMongo ? buildMongoServer() : undefined;
if (noMongo !== undefined && isCI) {
  console.error(`test: the tests of MongoDB need a server, and CI is set: ${noMongo}`);
  process.exit(1);
}
if (noMongo !== undefined)
  console.log(
    `test: skipping the tests of MongoDB: ${noMongo.split('\n')[0]}; MONGODB_URI can name a server`,
  );

const missing = mayNeedPython ? makePythonEnvs() : undefined;
if (missing !== undefined && isCI) {
  console.error(`test: the interop tests need Python, and CI is set: ${missing}`);
  process.exit(1);
}
const skipLine = `test: skipping the interop tests against the Python ipyparallel: ${missing}`;
if (missing !== undefined) console.log(skipLine);
else if (!choosesProjects) projects.push('interop');

mkdirSync(dirname(report), { recursive: true });
rmSync(report, { force: true });
const { code } = node([
  'node_modules/vitest/vitest.mjs',
  'run',
  ...projects.flatMap((name) => ['--project', name]),
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
  ...given,
]);
// Once more where it is seen: the first one has scrolled away.
if (missing !== undefined) console.log(skipLine);
process.exit(code);
