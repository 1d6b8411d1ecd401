/** Picks one of the engines that may run a task, by its index. `loads` are in LRU order: the longest unused first. */
export type Scheme = (loads: readonly number[], random: () => number) => number;

const pick = (n: number, random: () => number): number => Math.min(n - 1, Math.floor(random() * n));

/** The schemes of ipyparallel's task scheduler. `pure` and `none` are no choice of ours and not among them. */
export const SCHEMES = {
  /** The lowest load; the longest unused of several. */
  leastload: (loads) => {
    let best = 0;
    for (let i = 1; i < loads.length; i++) {
      if ((loads[i] ?? 0) < (loads[best] ?? 0)) best = i;
    }
    return best;
  },
  /** The longest unused. */
  lru: () => 0,
  plainrandom: (loads, random) => pick(loads.length, random),
  /** The longer unused of two at random. */
  twobin: (loads, random) => Math.min(pick(loads.length, random), pick(loads.length, random)),
  /** The less loaded of two, each drawn by the inverse of its load. */
  weighted: (loads, random) => {
    const weights = loads.map((load) => 1 / (1e-6 + load));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const draw = (): number => {
      let left = random() * total;
      for (let i = 0; i < weights.length; i++) {
        left -= weights[i] ?? 0;
        if (left < 0) return i;
      }
      return weights.length - 1;
    };
    const a = draw();
    const b = draw();
    return (weights[b] ?? 0) > (weights[a] ?? 0) ? b : a;
  },
} as const satisfies { [name: string]: Scheme };

/** The name of a scheme of ours. */
export type SchemeName = keyof typeof SCHEMES;

/** What `--scheme` takes: a scheme of ours, `pure` (zeromq deals out), or `none`. */
export const TASK_SCHEMES = [
  'leastload',
  'lru',
  'plainrandom',
  'weighted',
  'twobin',
  'pure',
  'none',
] as const;
export type TaskScheme = (typeof TASK_SCHEMES)[number];
