import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { LoadCounts } from './load.js';

/** Memory in use, in MiB. */
export interface MemorySample {
  readonly seconds: number;
  /** This process's heap after a garbage collection. */
  readonly heap: number;
  readonly external: number;
  readonly rss: number;
  /** The heap and external memory of all threads of the controller after a collection; 0 for Python's. */
  readonly hub: number;
  /** Resident memory of the controller, and of the engines together. */
  readonly controller: number;
  readonly engines: number;
}

type Measure = Exclude<keyof MemorySample, 'seconds'>;

/** How much a measure may grow from the first to the last quarter after the warm-up, in MiB. */
const BOUNDS: { readonly [M in Measure]: number } = {
  heap: 8,
  external: 8,
  rss: 60,
  hub: 30,
  controller: 120,
  engines: 60,
};
/** In runs shorter than `seconds`, bounded caches still fill, so the bounds are larger by `factor`. */
const SHORT_RUN = { seconds: 180, factor: 4 };
/** The share of the run to which no bound applies, because caches fill. */
const WARM_UP_SHARE = 0.4;
const MIB = 2 ** 20;
const measures = Object.keys(BOUNDS) as Measure[];

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Records memory use over time. */
export class MemoryCurve {
  static readonly head = row([
    'seconds',
    'heap',
    'external',
    'rss',
    'hub',
    'controller',
    'engines',
    'results',
    'events',
    'records',
  ]);

  readonly samples: MemorySample[] = [];
  readonly #controllerPid: number;
  readonly #enginePids: readonly number[];
  readonly #heaps: string;

  /** `heaps` is the directory of heap-reporter.mjs. */
  constructor(controllerPid: number, enginePids: readonly number[], heaps: string) {
    this.#heaps = heaps;
    this.#controllerPid = controllerPid;
    this.#enginePids = enginePids;
  }

  /** Takes a sample and returns the line to print. */
  async sample(seconds: number, counts: LoadCounts): Promise<string> {
    collect();
    const { heapUsed, external, rss } = process.memoryUsage();
    const engines = await Promise.all(this.#enginePids.map(residentMemory));
    const sample = {
      seconds,
      heap: heapUsed / MIB,
      external: external / MIB,
      rss: rss / MIB,
      hub: await this.#heapsOf(this.#controllerPid),
      controller: await residentMemory(this.#controllerPid),
      engines: engines.reduce((sum, one) => sum + one, 0),
    };
    this.samples.push(sample);
    const { heap, hub, controller } = sample;
    const numbers = [seconds, heap, sample.external, sample.rss, hub, controller, sample.engines];
    return row([
      ...numbers.map((value) => value.toFixed(1)),
      ...[counts.results, counts.events, counts.watched].map(String),
    ]);
  }

  async #heapsOf(pid: number): Promise<number> {
    const files = (await readdir(this.#heaps)).filter((name) => name.startsWith(`${pid}-`));
    const sizes = await Promise.all(files.map((name) => readFile(join(this.#heaps, name), 'utf8')));
    return sizes.reduce((sum, size) => sum + Number(size), 0) / MIB;
  }
}

/** Returns a description of each measure that grew beyond its bound. */
export function findExceeded(samples: readonly MemorySample[], duration: number): string[] {
  const measuredSamples = samples.slice(Math.ceil(samples.length * WARM_UP_SHARE));
  const quarter = Math.floor(measuredSamples.length / 4);
  if (quarter === 0) return [`at least 7 samples are required, got ${samples.length}`];
  return measures.flatMap((measure) => {
    const bound = boundOf(measure, duration);
    const before = median(measuredSamples.slice(0, quarter).map((sample) => sample[measure]));
    const after = median(measuredSamples.slice(-quarter).map((sample) => sample[measure]));
    if (after - before <= bound) return [];
    return `${measure} grew from ${before.toFixed(1)} to ${after.toFixed(1)} MiB, which exceeds the bound of ${bound} MiB`;
  });
}

export function describeBounds(duration: number): string {
  const bounds = measures.map((measure) => `${measure} ${boundOf(measure, duration)}`);
  return `bounds of growth from the first to the last quarter after a warm-up of ${WARM_UP_SHARE * 100} %, in MiB: ${bounds.join(', ')}`;
}

function boundOf(measure: Measure, duration: number): number {
  return BOUNDS[measure] * (duration < SHORT_RUN.seconds ? SHORT_RUN.factor : 1);
}

function row(cells: readonly string[]): string {
  return cells.map((cell) => cell.padStart(11)).join('');
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Returns the resident memory of a process in MiB on Linux; 0 on other systems. */
async function residentMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
}
