/** How much a process says: each level includes those before it. */
export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug';

const LEVELS: readonly LogLevel[] = ['silent', 'error', 'warn', 'info', 'debug'];

/** Where log lines go; a line has no line break. */
export type LogSink = (level: Exclude<LogLevel, 'silent'>, line: string) => void;

/** A log that drops what is below its level. */
export interface Logger {
  error(message: string, cause?: unknown): void;
  warn(message: string, cause?: unknown): void;
  info(message: string): void;
  debug(message: string): void;
}

/** A logger of one line per event. What peers send ends in lines too: control characters become blanks. */
export function createLogger(level: LogLevel, sink: LogSink): Logger {
  const rank = LEVELS.indexOf(level);
  const at = (wanted: Exclude<LogLevel, 'silent'>) => {
    if (LEVELS.indexOf(wanted) > rank) return () => undefined;
    return (message: string, cause?: unknown) => {
      const why = cause === undefined ? '' : `: ${describe(cause, wanted === 'error')}`;
      sink(wanted, `${message}${why}`.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' '));
    };
  };
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}

/** Writes to standard error: time, level, name, line. Whoever read it may be gone: that is no failure. */
export function stderrSink(name: string): LogSink {
  return (level, line) => {
    process.stderr.write(
      `${new Date().toISOString()} ${level.toUpperCase()} [${name}] ${line}\n`,
      () => undefined,
    );
  };
}

/**
 * A level by its name or by Python's number (10 debug, 20 info, 30 warning, 40 error, more is silent).
 * Undefined when it is neither.
 */
export function parseLogLevel(text: string): LogLevel | undefined {
  const name = text.toLowerCase();
  if (name === 'warning') return 'warn';
  if (name === 'critical') return 'error';
  const level = LEVELS.find((known) => known === name);
  if (level !== undefined || !/^\d+$/.test(name)) return level;
  const rank = Number(name);
  if (rank <= 10) return 'debug';
  if (rank <= 20) return 'info';
  return rank <= 30 ? 'warn' : 'error';
}

function describe(cause: unknown, stack: boolean): string {
  if (!(cause instanceof Error)) return String(cause);
  return stack && cause.stack !== undefined ? cause.stack : `${cause.name}: ${cause.message}`;
}
