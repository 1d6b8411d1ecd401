import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { quantile, type Samples } from './samples.js';

/** Prints a Markdown table, as in the README. */
export function printMarkdown(
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (row[i] ?? '').padEnd(width) : (row[i] ?? '').padStart(width))).join(' | ')} |`;
  console.log(`\n### ${title}\n`);
  console.log(line(head));
  console.log(
    `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`,
  );
  for (const row of rows) console.log(line(row));
}

/** Prints a line that describes the machine. */
export function printMachine(more: readonly string[]): void {
  const model = cpus()[0]?.model ?? 'unknown processor';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GB`;
  console.log(
    [
      `${availableParallelism()} cores (${model}), ${memory}, ${process.platform}`,
      `Node ${process.versions.node}`,
      ...more,
      new Date().toISOString().slice(0, 10),
      `load average ${loadavg()[0]?.toFixed(1)}`,
    ].join(' · '),
  );
}

export const median = (samples: Samples): number => quantile(samples, 0.5);

/** Formats milliseconds with three significant digits or more. */
export function ms(value: number): string {
  if (Number.isNaN(value)) return '–';
  return `${value < 10 ? value.toFixed(2) : value < 1000 ? value.toFixed(1) : Math.round(value).toLocaleString('en')} ms`;
}

export function times(value: number): string {
  return Number.isNaN(value) ? '–' : `${value < 10 ? value.toFixed(2) : value.toFixed(1)}×`;
}

export function megabytes(bytes: number): string {
  return Number.isNaN(bytes) ? '–' : `${Math.round(bytes / 1e6)} MB`;
}

export function perSecond(count: number, milliseconds: number): string {
  return `${Math.round((count / milliseconds) * 1000).toLocaleString('en')}/s`;
}
