/** How much an engine says, from nothing but failures to everything. */
export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

const RANK: Readonly<Record<LogLevel, number>> = { error: 40, warn: 30, info: 20, debug: 10 };

/** Where an engine's log lines go. */
export type LogSink = (level: LogLevel, line: string) => void;

/** A log that drops what is below its level. */
export class Logger {
  readonly #sink: LogSink;
  readonly #least: number;
  readonly #said = new Set<string>();

  constructor(level: LogLevel, sink: LogSink) {
    this.#sink = sink;
    this.#least = RANK[level];
  }

  error(line: string): void {
    this.#write('error', line);
  }

  warn(line: string): void {
    this.#write('warn', line);
  }

  info(line: string): void {
    this.#write('info', line);
  }

  debug(line: string): void {
    this.#write('debug', line);
  }

  /** Warns the first time that this topic comes up, and is silent about it afterwards. */
  warnOnce(topic: string, line: string): void {
    if (this.#said.has(topic)) return;
    this.#said.add(topic);
    this.warn(`${line} (said once; later ones are only counted)`);
  }

  #write(level: LogLevel, line: string): void {
    if (RANK[level] >= this.#least) this.#sink(level, line);
  }
}

/** Writes to standard error: time, level, line. */
export const stderrSink: LogSink = (level, line) => {
  process.stderr.write(`${new Date().toISOString()} [engine] ${level}: ${line}\n`);
};

/**
 * A level by its name or by Python's number (10 debug, 20 info, 30 warning, 40 and above error).
 * Undefined when it is neither.
 */
export function parseLogLevel(text: string): LogLevel | undefined {
  const name = text.toLowerCase();
  if (name === 'warning') return 'warn';
  if (name === 'critical') return 'error';
  if (Object.hasOwn(RANK, name)) return name as LogLevel;
  if (!/^\d+$/.test(name)) return undefined;
  const rank = Number(name);
  if (rank <= 10) return 'debug';
  if (rank <= 20) return 'info';
  return rank <= 30 ? 'warn' : 'error';
}
