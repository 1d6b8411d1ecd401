/** How much a process logs; each level includes the levels before it. */
export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug';

const LEVELS: readonly LogLevel[] = ['silent', 'error', 'warn', 'info', 'debug'];

/** Receives log lines; a line has no line break. */
export type LogSink = (level: Exclude<LogLevel, 'silent'>, line: string) => void;

/** Logs messages up to its level and drops the rest. */
export interface Logger {
  error(message: string, cause?: unknown): void;
  warn(message: string, cause?: unknown): void;
  info(message: string): void;
  debug(message: string): void;
}

/**
 * Creates a logger that writes one line per message. Control characters become spaces, because messages quote text from
 * peers, which could forge lines otherwise.
 */
export function createLogger(level: LogLevel, sink: LogSink): Logger {
  const maxRank = LEVELS.indexOf(level);
  const writerFor = (lineLevel: Exclude<LogLevel, 'silent'>) => {
    if (LEVELS.indexOf(lineLevel) > maxRank) return () => undefined;
    return (message: string, cause?: unknown) => {
      const reason = cause === undefined ? '' : `: ${describe(cause, lineLevel === 'error')}`;
      sink(lineLevel, `${message}${reason}`.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' '));
    };
  };
  return {
    error: writerFor('error'),
    warn: writerFor('warn'),
    info: writerFor('info'),
    debug: writerFor('debug'),
  };
}

/** Creates a sink that writes time, level, name and line to standard error. Write errors are ignored. */
export function stderrSink(name: string): LogSink {
  return (level, line) => {
    process.stderr.write(
      `${new Date().toISOString()} ${level.toUpperCase()} [${name}] ${line}\n`,
      () => undefined,
    );
  };
}

/**
 * Parses the name of a level, or Python's number: up to 10 is `debug`, up to 20 `info`, up to 30 `warn`, above `error`.
 * @returns undefined when the text is neither
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
