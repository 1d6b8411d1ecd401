// Creates the virtual environments in which the interop tests run the Python ipyparallel.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const environments = JSON.parse(readFileSync(join(root, 'test/support/python/environments.json'), 'utf8'));
const versions = Object.keys(environments).sort(compareVersions);

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** scripts/test.mjs prints the output of a failed installation, but not of a missing Python. */
const EXIT_NO_PYTHON = 3;

const help = `Usage: node scripts/python-envs.mjs [--only VERSION]... [--force]

Creates ${versions.map((version) => `.venv-ipp-${version}`).join(', ')} in the repository root, each with
that ipyparallel and the dependencies pinned in test/support/python/constraints-VERSION.txt.
Environments that are up to date stay unchanged.

  --only VERSION  create only this one (${versions.join(', ')}); may be repeated
  --force         recreate environments that are up to date
  --help          print this text

Uses the Python named by PYTHON, otherwise the first usable of python3.11, python3, python3.12, python3.13, python3.10.
pip's configuration decides where packages come from.
Exit codes: 0 created, 1 installation failed, 2 usage, 3 no usable Python.`;

class EnvironmentError extends Error {
  constructor(message, exitCode) {
    super(message);
    this.exitCode = exitCode;
  }
}

function printStatus(line) {
  console.log(`python-envs: ${line}`);
}

function directoryOf(version) {
  return join(root, `.venv-ipp-${version}`);
}

function constraintsOf(version) {
  return join(root, 'test/support/python', `constraints-${version}.txt`);
}

function pythonIn(directory) {
  return process.platform === 'win32' ? join(directory, 'Scripts/python.exe') : join(directory, 'bin/python');
}

function fingerprint(version) {
  return createHash('sha256')
    .update(JSON.stringify(environments[version]))
    .update(readFileSync(constraintsOf(version)))
    .digest('hex');
}

function stampFile(version) {
  return join(directoryOf(version), '.stamp');
}

function isUpToDate(version) {
  if (!existsSync(stampFile(version)) || !existsSync(pythonIn(directoryOf(version)))) return false;
  return readFileSync(stampFile(version), 'utf8').trim() === fingerprint(version);
}

/** Compares versions such as "3.9" and "3.13" as numbers. */
function compareVersions(a, b) {
  const [aMajor = 0, aMinor = 0] = a.split('.').map(Number);
  const [bMajor = 0, bMinor = 0] = b.split('.').map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}

/** Returns the version and modules of a candidate, or the reason why it cannot be used. */
function probe(command) {
  const code =
    'import json, sys, importlib.util as u;' +
    'print(json.dumps({"version": "%d.%d.%d" % sys.version_info[:3], "executable": sys.executable,' +
    ' "missing": [m for m in ("venv", "ensurepip") if u.find_spec(m) is None]}))';
  const { error, status, stdout, stderr } = spawnSync(command, ['-I', '-c', code], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (error) return { command, problem: error.code === 'ENOENT' ? 'not found' : error.message };
  if (status !== 0)
    return { command, problem: `does not run (${firstLine(stderr) || `exit code ${status}`})` };
  try {
    return { command, ...JSON.parse(stdout) };
  } catch {
    return { command, problem: 'does not behave like Python 3' };
  }
}

function firstLine(text) {
  return text.trim().split('\n')[0] ?? '';
}

/** Returns the first Python that can create the environments of all these versions. */
function findPython(wanted) {
  const oldest = wanted
    .map((version) => environments[version].python[0])
    .sort(compareVersions)
    .at(-1);
  const newest = wanted
    .map((version) => environments[version].python[1])
    .sort(compareVersions)
    .at(0);
  const named = process.env.PYTHON;
  const candidates = named ? [named] : ['python3.11', 'python3', 'python3.12', 'python3.13', 'python3.10'];
  const problems = [];
  for (const command of candidates) {
    const found = probe(command);
    if (!found.problem && compareVersions(found.version, oldest) < 0) {
      found.problem = `is ${found.version}, older than ${oldest}`;
    } else if (!found.problem && compareVersions(found.version, newest) > 0) {
      found.problem = `is ${found.version}, newer than ${newest}`;
    } else if (!found.problem && found.missing.length > 0) {
      found.problem =
        `lacks its ${found.missing.join(' and ')} module` +
        ' (Debian and Ubuntu: apt install python3-venv; elsewhere: a Python from python.org or pyenv has it)';
    }
    if (!found.problem) return found;
    problems.push(`${command} ${found.problem}`);
  }
  // "not found" is reported only if no candidate has another problem.
  const notable = problems.filter((problem) => !problem.endsWith('not found'));
  const reasons = (notable.length > 0 ? notable : problems).join('; ');
  throw new EnvironmentError(
    `the test environments need a Python from ${oldest} to ${newest} with venv: ${reasons}` +
      `${named ? '' : '; set PYTHON to name another one'}`,
    EXIT_NO_PYTHON,
  );
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ ok: code === 0, ending: signal ?? `exit code ${code}`, output }),
    );
  });
}

async function step(version, what, command, args) {
  const { ok, ending, output } = await run(command, args);
  if (ok) return;
  const tail = output.trim().split('\n').slice(-15).join('\n  ');
  throw new EnvironmentError(`${version}: ${what} failed (${ending}):\n  ${tail}`, EXIT_FAILED);
}

async function createEnvironment(version, python) {
  const began = performance.now();
  const directory = directoryOf(version);
  const environment = environments[version];
  rmSync(directory, { recursive: true, force: true });
  printStatus(`${version}: installing ipyparallel into .venv-ipp-${version}, Python ${python.version}`);
  await step(version, 'python -m venv', python.executable, ['-m', 'venv', directory]);
  await step(version, 'pip install', pythonIn(directory), [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--no-input',
    '--constraint',
    constraintsOf(version),
    ...environment.packages,
  ]);
  writeFileSync(stampFile(version), `${fingerprint(version)}\n`);
  printStatus(`${version}: ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Prevents two test runs from creating the same environment at the same time. */
async function withLock(work) {
  const lock = join(root, '.venv-ipp-lock');
  mkdirSync(lock, { recursive: true });
  const file = join(lock, 'pid');
  let reported = false;
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    // 0: the owner has created the file but not written its pid, or has just removed the file.
    if (owner > 0 && !isAlive(owner)) rmSync(file, { force: true });
    else if (owner > 0 && !reported) {
      printStatus(`waiting for process ${owner}, which is creating the environments`);
      reported = true;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const release = () => rmSync(lock, { recursive: true, force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

async function main() {
  let options;
  try {
    options = parseArgs({
      options: {
        only: { type: 'string', multiple: true },
        force: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new EnvironmentError(`${error.message}\n\n${help}`, EXIT_USAGE);
  }
  if (options.help) {
    console.log(help);
    return;
  }
  const wanted = options.only ?? versions;
  const unknown = wanted.find((version) => !versions.includes(version));
  if (unknown !== undefined) {
    throw new EnvironmentError(`--only must be one of ${versions.join(', ')}, got ${unknown}`, EXIT_USAGE);
  }
  const missing = () => wanted.filter((version) => options.force || !isUpToDate(version));
  if (missing().length === 0) return;
  await withLock(async () => {
    // Another run may have created them while this one waited.
    const outdated = missing();
    if (outdated.length === 0) return;
    const python = findPython(outdated);
    const outcomes = await Promise.allSettled(outdated.map((version) => createEnvironment(version, python)));
    const failures = outcomes
      .filter((outcome) => outcome.status === 'rejected')
      .map((outcome) => outcome.reason);
    for (const failure of failures.slice(1)) console.error(`python-envs: ${failure.message}`);
    if (failures.length > 0) throw failures[0];
  });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof EnvironmentError)) throw error;
  console.error(`python-envs: ${error.message}`);
  process.exitCode = error.exitCode;
}
