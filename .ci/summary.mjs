// Closes a CI run with one line of counts: the tests of each report, and every other step as one.
// Arguments: NAME=EXITCODE=SECONDS for a step, NAME=EXITCODE=SECONDS=REPORT for a run of tests.
import { countTests, readReport } from '../scripts/test-report.mjs';

const total = { passed: 0, failed: 0, skipped: 0 };
for (const outcome of process.argv.slice(2)) {
  const [name, code, seconds, report] = outcome.split('=');
  const ok = code === '0';
  const counts =
    report === undefined
      ? { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 }
      : countTests(readReport(report), Number(code));
  console.log(`${name}: ${ok ? 'ok' : `failed with exit code ${code}`} after ${seconds} s`);
  for (const key of Object.keys(total)) total[key] += counts[key];
}
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
