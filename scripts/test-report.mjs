// Reads vitest's JSON reports: counts the tests, and finds the slowest files.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

/** The parsed report, or undefined when there is none: vitest has not run, or was killed. */
export function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Counts the tests of a report; a run that failed without a failed test counts as one failure. */
export function countTests(report, exitCode) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report?.testResults ?? []) {
    const before = counts.failed;
    for (const { status } of file.assertionResults) {
      if (status === 'passed' || status === 'failed') counts[status]++;
      else counts.skipped++;
    }
    // A file that could not be loaded has no tests to count.
    if (file.status === 'failed' && counts.failed === before) counts.failed++;
  }
  // The set-up failed, nothing ran, or an error came from outside any test.
  if (counts.failed === 0 && (exitCode !== 0 || counts.passed === 0)) counts.failed++;
  return counts;
}

/** The slowest test files with their seconds, the slowest first. */
export function slowestFiles(report, root, count = 10) {
  return (report?.testResults ?? [])
    .map(({ name, startTime, endTime }) => ({
      file: relative(root, name),
      seconds: (endTime - startTime) / 1000,
    }))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, count);
}
