// Builds FerretDB, a server that speaks MongoDB's protocol over SQLite, for the tests of the MongoDB store.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'test/support/ferretdb');
const directory = join(root, '.tools/ferretdb');
const program = join(directory, process.platform === 'win32' ? 'ferretdb.exe' : 'ferretdb');
const stamp = join(directory, '.stamp');

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** scripts/test.mjs prints the output of a failed build, but not of a missing Go. */
const EXIT_NO_GO = 3;

const help = `Usage: node scripts/ferretdb.mjs [--force]

Builds .tools/ferretdb/ferretdb from the program and the pinned modules in test/support/ferretdb, with SQLite as its
only backend, unless it is up to date.

  --force  rebuild a server that is up to date
  --help   print this text

Needs Go 1.24 or newer; GO can name the program. Go's configuration decides where modules come from.
Exit codes: 0 built, 1 the build failed, 2 usage, 3 no usable Go.`;

function fingerprint() {
  const hash = createHash('sha256');
  for (const name of ['go.mod', 'go.sum', 'main.go']) hash.update(readFileSync(join(source, name)));
  return hash.digest('hex');
}

function isUpToDate() {
  return existsSync(program) && existsSync(stamp) && readFileSync(stamp, 'utf8').trim() === fingerprint();
}

function exitWith(code, message) {
  console.error(`ferretdb: ${message}`);
  process.exit(code);
}

function requireGo(go) {
  const { error, stdout, status } = spawnSync(go, ['env', 'GOVERSION'], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (error || status !== 0)
    exitWith(
      EXIT_NO_GO,
      `building the server needs Go, and cannot run ${go} (${error?.code ?? `exit code ${status}`})`,
    );
  const [, major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(stdout.trim()) ?? []).map(Number);
  if (major < 1 || (major === 1 && minor < 24))
    exitWith(EXIT_NO_GO, `Go 1.24 or newer is required, found ${stdout.trim()}`);
}

function build() {
  const go = process.env.GO || 'go';
  requireGo(go);
  const began = performance.now();
  console.log('ferretdb: building into .tools/ferretdb (a minute or two)');
  mkdirSync(directory, { recursive: true });
  // Two simultaneous builds write different files, and the last to finish replaces the program.
  const draft = `${program}.${process.pid}`;
  const args = ['build', '-trimpath', '-ldflags=-s -w', '-tags=ferretdb_no_postgresql', '-o', draft, '.'];
  const { status, stderr } = spawnSync(go, args, {
    cwd: source,
    encoding: 'utf8',
    env: { ...process.env, GOFLAGS: '-mod=readonly', CGO_ENABLED: '0' },
  });
  if (status !== 0) {
    rmSync(draft, { force: true });
    exitWith(EXIT_FAILED, `go build failed:\n  ${(stderr ?? '').trim().split('\n').slice(-15).join('\n  ')}`);
  }
  renameSync(draft, program);
  writeFileSync(stamp, `${fingerprint()}\n`);
  console.log(`ferretdb: ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

let options;
try {
  options = parseArgs({
    options: { force: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  }).values;
} catch (error) {
  exitWith(EXIT_USAGE, `${error.message}\n\n${help}`);
}
if (options.help) console.log(help);
else if (options.force || !isUpToDate()) build();
