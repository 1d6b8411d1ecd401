import { UsageError } from '../../common/errors.js';

const MAX_DEPTH = 500;
const PLAIN_NAME = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

/** Path from the root value to the part being written, for error messages. */
export class ValuePath {
  readonly #root: string;
  readonly #steps: unknown[] = [];

  constructor(root: string) {
    this.#root = root;
  }

  /** @throws {UsageError} when the path exceeds 500 levels, for example in a tuple that contains itself */
  enter(step: unknown): void {
    if (this.#steps.length >= MAX_DEPTH) {
      throw new UsageError(
        `${this.#root} cannot be sent to Python: it is nested deeper than ${MAX_DEPTH} levels, or a tuple or key in it contains itself`,
      );
    }
    this.#steps.push(step);
  }

  leave(): void {
    this.#steps.pop();
  }

  error(problem: string): UsageError {
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
