import { ProtocolError } from '../common/errors.js';

/** A pickle is malformed, refused or exceeds a limit. No code of it was run. */
export class UnpickleError extends ProtocolError {
  /** Byte offset in the pickle at which reading stopped; undefined if the error has no single position. */
  readonly offset: number | undefined;
  /** The problem, without the offset. */
  readonly problem: string;

  constructor(problem: string, options?: ErrorOptions & { offset?: number }) {
    const where = options?.offset === undefined ? '' : ` at byte ${options.offset}`;
    super(`cannot read pickle${where}: ${problem}`, { ...options, code: 'UNPICKLE' });
    this.problem = problem;
    this.offset = options?.offset;
  }
}
