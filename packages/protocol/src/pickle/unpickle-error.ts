import { ProtocolError } from '../common/errors.js';

/** A pickle that is broken, refused or past its limits. Nothing of it was run. */
export class UnpickleError extends ProtocolError {
  /** Where in the pickle reading stopped, in bytes; undefined when the fault has no one place. */
  readonly offset: number | undefined;
  /** What is wrong, without the place. */
  readonly problem: string;

  constructor(problem: string, options?: ErrorOptions & { offset?: number }) {
    const where = options?.offset === undefined ? '' : ` at byte ${options.offset}`;
    super(`cannot read pickle${where}: ${problem}`, { ...options, code: 'UNPICKLE' });
    this.problem = problem;
    this.offset = options?.offset;
  }
}
