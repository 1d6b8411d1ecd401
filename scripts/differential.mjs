// npm run differential: the differential test in full, 20,000 generated queries for each store, server and Python hub.
// `npm run differential -- 50000` sends more. DIFFERENTIAL_SEED repeats a run; MONGODB_URI names a server.
import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [queries = '20000', ...more] = process.argv.slice(2);
if (!/^[1-9]\d*$/.test(queries)) {
  console.error(`differential: the number of queries must be a positive integer, got ${queries}`);
  process.exit(2);
}

let exitCode = 0;
for (const args of [['fast', '--project=conformance'], ['interop']]) {
  const { status, error } = spawnSync(
    process.execPath,
    ['scripts/test.mjs', ...args, 'differential', ...more],
    { cwd: root, stdio: 'inherit', env: { ...process.env, DIFFERENTIAL: queries } },
  );
  if (error) throw error;
  exitCode ||= status ?? 1;
}
process.exit(exitCode);
