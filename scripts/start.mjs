// npm start: installs and builds what is missing, then shows the main job. `npm start -- --help` lists its options.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const scripts = dirname(fileURLToPath(import.meta.url));
const { status } = spawnSync(process.execPath, [join(scripts, 'setup.mjs')], { stdio: 'inherit' });
// The status is null when a signal such as Ctrl-C has ended the setup.
if (status !== 0) process.exit(status ?? 130);
await import('../examples/dist/main-job.js');
