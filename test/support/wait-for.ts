export interface WaitForOptions {
  /** In ms; 30,000 by default. */
  timeout?: number;
  /** Time between two checks, in ms; 20 by default. */
  interval?: number;
  /** What is waited for, for the error. */
  what?: string | (() => string);
}

/** Checks again and again until the check gives something else than undefined or false, and gives that. */
export async function waitFor<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
  options: WaitForOptions = {},
): Promise<T> {
  const { timeout = 30_000, interval = 20, what = 'a condition' } = options;
  const deadline = performance.now() + timeout;
  for (;;) {
    const answer = await check();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) {
      throw new Error(`waited ${timeout} ms for ${typeof what === 'string' ? what : what()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, interval));
  }
}
