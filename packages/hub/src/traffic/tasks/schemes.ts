/** Chooses an engine for a task. @returns the index in `loads`, which is ordered from least to most recently used */
export type Scheme = (loads: readonly number[], random: () => number) => number;

const pick = (n: number, random: () => number): number => Math.min(n - 1, Math.floor(random() * n));

/** The schemes of ipyparallel's task scheduler, except `pure` and `none`, which work without a choice. */
export const SCHEMES = {
  /** The lowest load; among equal loads the least recently used. */
  leastload: (loads) => {
    let best = 0;
    for (let i = 1; i < loads.length; i++) {
      if ((loads[i] ?? 0) < (loads[best] ?? 0)) best = i;
    }
    return best;
  },
  /** The least recently used. */
  lru: () => 0,
  plainrandom: (loads, random) => pick(loads.length, random),
  /** The less recently used of two random engines. */
  twobin: (loads, random) => Math.min(pick(loads.length, random), pick(loads.length, random)),
  /** The less loaded of two random engines, with probabilities by the inverse of the load. */
  weighted: (loads, random) => {
    const weights = loads.map((load) => 1 / (1e-6 + load));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const draw = (): number => {
      let remaining = random() * total;
      for (let i = 0; i < weights.length; i++) {
        remaining -= weights[i] ?? 0;
        if (remaining < 0) return i;
      }
      return weights.length - 1;
    };
    const a = draw();
    const b = draw();
    return (weights[b] ?? 0) > (weights[a] ?? 0) ? b : a;
  },
} as const satisfies { [name: string]: Scheme };

/** The name of a scheme in {@link SCHEMES}. */
export type SchemeName = keyof typeof SCHEMES;

/** The values of `--scheme`: a scheme of {@link SCHEMES}, `pure` (ZeroMQ distributes tasks), or `none`. */
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
