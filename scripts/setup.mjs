// Installs dependencies and builds the packages. Prints nothing when everything is up to date.
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
 * Whether the versions of package-lock.json are installed. npm records installed versions in node_modules. File times are
 * not sufficient, because a checkout changes them.
 */
function isInstalled() {
  const locked = readJson('package-lock.json')?.packages ?? {};
  const installed = readJson('node_modules/.package-lock.json')?.packages;
  if (installed === undefined) return false;
  return Object.entries(locked).every(([path, entry]) => {
    if (!path.includes('node_modules/')) return true;
    const found = installed[path];
    // Optional builds for other platforms are not installed.
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && existsSync(join(root, path));
  });
}

function install() {
  console.log('setup: installing dependencies (npm ci)');
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, error } = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: 'inherit' })
    : spawnSync('npm', args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' });
  if (error) fail(`cannot run npm: ${error.message}`);
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
  if (error) fail(`cannot run tsc: ${error.message}`);
  if (status !== 0) fail(`the build failed with exit code ${status}`);
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  fail(`Node 20.19 or newer is required, found ${process.versions.node}`);
if (!isInstalled()) install();
build();
