// Brings a clone to where everything runs: dependencies installed, packages built. Quiet when nothing is to do.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function fail(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(join(root, file), 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Whether everything in package-lock.json is installed in that version. npm notes what it has installed in a lock file
 * of its own; times of change would say too little, because a checkout changes them.
 */
function isInstalled() {
  const wanted = readJson('package-lock.json')?.packages ?? {};
  const installed = readJson('node_modules/.package-lock.json')?.packages;
  if (installed === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.includes('node_modules/')) return true;
    const there = installed[path];
    // Builds for other platforms are optional and stay away.
    if (there === undefined) return entry.optional === true;
    return there.version === entry.version && existsSync(join(root, path));
  });
}

function install() {
  console.log('setup: installing dependencies (npm ci)');
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, error } = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: 'inherit' })
    : spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  if (error) fail(`npm does not run: ${error.message}`);
  if (status !== 0) fail(`npm ci failed with exit code ${status}`);
}

function isBuilt() {
  const packages = readdirSync(join(root, 'packages')).map((name) => join('packages', name));
  return [...packages, 'examples'].every((path) => existsSync(join(root, path, 'dist/.tsbuildinfo')));
}

function build() {
  if (!isBuilt()) console.log('setup: building (tsc -b)');
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const { status, error } = spawnSync(process.execPath, [tsc, '-b'], { cwd: root, stdio: 'inherit' });
  if (error) fail(`tsc does not run: ${error.message}`);
  if (status !== 0) fail(`the build failed with exit code ${status}`);
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(`Node ${process.versions.node} is too old: 20.19 at least`);
if (!isInstalled()) install();
build();
