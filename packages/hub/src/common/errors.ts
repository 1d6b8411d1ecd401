import type { Dict } from '@ipyparallel-js/protocol';

/** A failure that a peer is told of: `ename` and `evalue` as Python writes them, for Python reads them. */
export class ReportedError extends Error {
  readonly ename: string;

  constructor(ename: string, evalue: string) {
    super(evalue);
    this.name = 'ReportedError';
    this.ename = ename;
  }

  /** As the content of a reply. */
  get content(): Dict {
    return errorContent(this.ename, this.message);
  }
}

/** Python's `repr` of a text. */
export function pyRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

/** A KeyError, whose text in Python is the repr of its argument. */
export function keyError(message: string): ReportedError {
  return new ReportedError('KeyError', pyRepr(message));
}

/**
 * The content of a failed reply. `engine_info` is empty on purpose: clients look up the engine of an error that has
 * some of it.
 */
export function errorContent(ename: string, evalue: string): Dict {
  const line = evalue === '' ? ename : `${ename}: ${evalue}`;
  return { status: 'error', ename, evalue, traceback: [line], engine_info: {} };
}
