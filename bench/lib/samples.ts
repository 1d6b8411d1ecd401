/** The samples of one measurement, in ms. */
export interface Samples {
  readonly name: string;
  readonly ms: readonly number[];
}

/** Returns the `p`-quantile of the samples, with `p` from 0 to 1. */
export function quantile(samples: Samples, p: number): number {
  const sorted = [...samples.ms].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? Number.NaN;
}

/** Runs an action `warmUp` times, then measures it `times` times. */
export async function sample(
  name: string,
  times: number,
  action: () => Promise<unknown>,
  warmUp = Math.ceil(times / 10),
): Promise<Samples> {
  for (let i = 0; i < warmUp; i++) await action();
  const ms: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await action();
    ms.push(performance.now() - start);
  }
  return { name, ms };
}

/** Joins the samples of several rounds. Rounds alternate, so other load on the machine affects all measurements alike. */
export function joinRounds(rounds: readonly Samples[]): Samples {
  return { name: rounds[0]?.name ?? '', ms: rounds.flatMap(({ ms }) => ms) };
}

/** Prints a table of medians, 95th percentiles, and the ratio of each median to that of the first row, the lower bound. */
export function printTable(title: string, unit: string, rows: readonly Samples[]): void {
  const [limit] = rows;
  if (limit === undefined) return;
  console.log(`\n${title}`);
  const width = Math.max(...rows.map(({ name }) => name.length));
  console.log(
    `${''.padEnd(width)}  ${'median'.padStart(10)}  ${'p95'.padStart(10)}  ${'ratio'.padStart(7)}   (${unit})`,
  );
  for (const row of rows) {
    const median = quantile(row, 0.5);
    const ratio = (median / quantile(limit, 0.5)).toFixed(2);
    console.log(
      `${row.name.padEnd(width)}  ${median.toFixed(3).padStart(10)}  ${quantile(row, 0.95).toFixed(3).padStart(10)}  ${ratio.padStart(7)}`,
    );
  }
}
