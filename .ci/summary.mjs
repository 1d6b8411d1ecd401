// Closes a run of .ci/run with one line, counted from what ran: the tests in vitest's report, every other step as one.
// Arguments: NAME=EXITCODE for each step.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const total = { passed: 0, failed: 0, skipped: 0 };

function readReport() {
  try {
    return JSON.parse(readFileSync(join(root, '.tmp/test-report.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

function countTests(exitCode) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of readReport()?.testResults ?? []) {
    const before = counts.failed;
    for (const { status } of file.assertionResults) {
      if (status === 'passed' || status === 'failed') counts[status]++;
      else counts.skipped++;
    }
    // A file that could not be loaded has no tests to count.
    if (file.status === 'failed' && counts.failed === before) counts.failed++;
  }
  // Setting up failed, nothing ran, or an error came from outside of any test.
  if (counts.failed === 0 && (exitCode !== 0 || counts.passed === 0)) counts.failed++;
  return counts;
}

for (const outcome of process.argv.slice(2)) {
  const [name, code] = outcome.split('=');
  const counts =
    name === 'test'
      ? countTests(Number(code))
      : { passed: code === '0' ? 1 : 0, failed: code === '0' ? 0 : 1 };
  console.log(`${name}: ${code === '0' ? 'ok' : `failed with exit code ${code}`}`);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped ?? 0;
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
