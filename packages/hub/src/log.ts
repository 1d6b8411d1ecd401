/** How much a controller says: each level includes those before it. */
export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug';

const LEVELS: readonly LogLevel[] = ['silent', 'error', 'warn', 'info', 'debug'];

/** Where a controller's lines go. */
export interface Logger {
  error(message: string, cause?: unknown): void;
  warn(message: string, cause?: unknown): void;
  info(message: string): void;
  debug(message: string): void;
}

/** A logger of one line per event: time, level, name, message. `write` takes each finished line. */
export function createLogger(name: string, level: LogLevel, write: (line: string) => void): Logger {
  const rank = LEVELS.indexOf(level);
  const at = (wanted: LogLevel) => {
    if (LEVELS.indexOf(wanted) > rank) return () => {};
    const label = wanted.toUpperCase();
    return (message: string, cause?: unknown) => {
      const why = cause === undefined ? '' : `: ${describeError(cause, wanted === 'error')}`;
      // What peers send ends in these lines too: no line breaks or control characters from them.
      const text = `${message}${why}`.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
      write(`${new Date().toISOString()} ${label} [${name}] ${text}\n`);
    };
  };
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}

function describeError(cause: unknown, stack: boolean): string {
  if (!(cause instanceof Error)) return String(cause);
  return stack && cause.stack !== undefined ? cause.stack : `${cause.name}: ${cause.message}`;
}

const MAX_REASONS = 100;

/** What was refused, by reason; the first of a reason is logged, then one line a minute while more come. */
export class Refusals {
  readonly #counts = new Map<string, { total: number; loggedAt: number }>();
  readonly #log: Logger;
  readonly #now: () => number;

  constructor(log: Logger, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  count(what: string, detail = ''): void {
    // A stranger must not be able to make this list as long as he likes.
    const reason = this.#counts.has(what) || this.#counts.size < MAX_REASONS ? what : 'other reasons';
    const entry = this.#counts.get(reason);
    const now = this.#now();
    if (entry === undefined) {
      this.#counts.set(reason, { total: 1, loggedAt: now });
      this.#log.warn(`refused: ${reason}${detail === '' ? '' : ` (${detail})`}; more of it is only counted`);
      return;
    }
    entry.total++;
    if (now - entry.loggedAt > 60_000) {
      entry.loggedAt = now;
      this.#log.warn(`refused: ${reason}, ${entry.total} times by now`);
    }
  }

  /** How often each reason occurred. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].map(([reason, { total }]) => [reason, total]));
  }
}
