// npm run differential: the differential test in full, 20,000 generated questions to each store, server and stock hub.
// `npm run differential -- 50000` asks more. DIFFERENTIAL_SEED asks the same again, MONGODB_URI names a server.
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [questions = '20000', ...more] = process.argv.slice(2);
if (!/^[1-9]\d*$/.test(questions)) {
  console.error(`differential: the number of questions is a whole number, not ${questions}`);
  process.exit(2);
}
const args = ['scripts/test.mjs', '--project=conformance', '--project=interop', 'differential', ...more];
const { status, error } = spawnSync(process.execPath, args, {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, DIFFERENTIAL: questions },
});
if (error) throw error;
process.exit(status ?? 1);
