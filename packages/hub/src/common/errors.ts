import type { Dict } from '@ipyparallel-js/protocol';

/** A failure that is sent to a peer. Python peers read `ename` and `evalue`, so they have the form of Python errors. */
export class ReportedError extends Error {
  readonly ename: string;

  constructor(ename: string, evalue: string) {
    super(evalue);
    this.name = 'ReportedError';
    this.ename = ename;
  }

  /** The content of the error reply. */
  get content(): Dict {
    return errorContent(this.ename, this.message);
  }
}

/** Python's `repr` of a string. */
export function pyRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

/** A KeyError. Its text is the repr of its argument, as in Python. */
export function keyError(message: string): ReportedError {
  return new ReportedError('KeyError', pyRepr(message));
}

/**
 * The content of an error reply. `engine_info` is empty, because clients would look up the engine of an error that
 * names one.
 */
export function errorContent(ename: string, evalue: string): Dict {
  const line = evalue === '' ? ename : `${ename}: ${evalue}`;
  return { status: 'error', ename, evalue, traceback: [line], engine_info: {} };
}

/** The message of an error, or the text of any other thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
