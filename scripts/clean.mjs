// Removes the files of builds and tests; with --all also node_modules, the Python environments and the MongoDB server.
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { all } = parseArgs({ options: { all: { type: 'boolean', default: false } } }).values;

const paths = ['.tmp', 'coverage', 'examples/dist'];
for (const name of readdirSync(join(root, 'packages'))) paths.push(`packages/${name}/dist`);
if (all) {
  paths.push('node_modules', '.tools', ...readdirSync(root).filter((name) => name.startsWith('.venv-')));
}
for (const path of paths) rmSync(join(root, path), { recursive: true, force: true });
