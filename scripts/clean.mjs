// Removes what the build and the tests have made; with --all also node_modules, the Python environments and the MongoDB server.
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { all } = parseArgs({ options: { all: { type: 'boolean', default: false } } }).values;

const made = ['.tmp', 'coverage', 'examples/dist'];
for (const name of readdirSync(join(root, 'packages'))) made.push(`packages/${name}/dist`);
if (all) {
  made.push('node_modules', '.tools', ...readdirSync(root).filter((name) => name.startsWith('.venv-')));
}
for (const path of made) rmSync(join(root, path), { recursive: true, force: true });
