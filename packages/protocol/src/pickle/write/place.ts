import { UsageError } from '../../common/errors.js';

const MAX_DEPTH = 500;
const PLAIN_NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/** Where in a value the writer is, so that an error can name it. */
export class Place {
  readonly #root: string;
  readonly #steps: unknown[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  /** @throws UsageError past 500 levels, as in an array that was made a tuple and contains itself */
  enter(step: unknown): void {
    if (this.#steps.length >= MAX_DEPTH) {
      throw new UsageError(
        `${this.#root} cannot be sent to Python: nested deeper than ${MAX_DEPTH} levels, or a tuple or key that contains itself`,
      );
    }
    this.#steps.push(step);
  }

  leave(): void {
    this.#steps.pop();
  }

  fail(problem: string): UsageError {
    return new UsageError(`${this} cannot be sent to Python: ${problem}`);
  }

  toString(): string {
    return this.#root + this.#steps.map(describeStep).join('');
  }
}

function describeStep(step: unknown): string {
  if (typeof step === 'number') return `[${step}]`;
  if (typeof step === 'string') return PLAIN_NAME.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
  return `[${String(step)}]`;
}
