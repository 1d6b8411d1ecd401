export interface WaitForOptions {
  /** In ms; 30,000 by default. */
  timeout?: number;
  /** Time between two checks, in ms; 20 by default. */
  interval?: number;
  /** The condition in words, for the error. */
  what?: string | (() => string);
}

/** Repeats the check until it returns something other than undefined or false, and returns that. */
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
