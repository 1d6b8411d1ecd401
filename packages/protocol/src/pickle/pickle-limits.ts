import { getHeapStatistics } from 'node:v8';
import { UnpickleError } from './unpickle-error.js';

/** How much one pickle may ask of us. What is past a limit throws {@link UnpickleError}. */
export interface PickleLimits {
  /** Nesting of the decoded value; a list in a list is 2. Default 1000. */
  readonly maxDepth: number;
  /** Opcodes, about one per element (a datetime in a named zone counts as 40). Default 25 million. */
  readonly maxOpcodes: number;
  /** Entries of the memo, which shared references go through. Default 10 million. */
  readonly maxMemoEntries: number;
  /** Estimated memory of the decoded value, in bytes. Default 1 GiB, or half of what V8 may use where that is less. */
  readonly maxMemory: number;
  /** Size of one integer, in bytes of its binary form. Default 128 KiB. */
  readonly maxIntegerBytes: number;
}

const DEFAULTS: PickleLimits = {
  maxDepth: 1000,
  maxOpcodes: 25_000_000,
  maxMemoEntries: 10_000_000,
  maxMemory: Math.min(1024 * 1024 * 1024, Math.floor(getHeapStatistics().heap_size_limit / 2)),
  maxIntegerBytes: 128 * 1024,
};

/** Estimated cost of what a pickle builds, in bytes: what it takes at the most while it is built and finished. */
export const COST = { container: 320, element: 24, entry: 160, memo: 64 } as const;

/** Counts what one pickle has used, and throws at a limit. */
export class Budget {
  readonly limits: PickleLimits;
  #opcodes = 0;
  #memory = 0;

  constructor(limits?: Partial<PickleLimits>) {
    this.limits = { ...DEFAULTS, ...limits };
  }

  /** One opcode, or work that takes as long as so many. */
  step(count = 1): void {
    this.#opcodes += count;
    if (this.#opcodes > this.limits.maxOpcodes) {
      throw new UnpickleError(`more than maxOpcodes = ${this.limits.maxOpcodes} opcodes`);
    }
  }

  /** Called before the memory is allocated. */
  spend(bytes: number): void {
    this.#memory += bytes;
    if (this.#memory > this.limits.maxMemory) {
      throw new UnpickleError(`the value needs more than maxMemory = ${this.limits.maxMemory} bytes`);
    }
  }

  checkInteger(bytes: number): void {
    if (bytes > this.limits.maxIntegerBytes) {
      throw new UnpickleError(
        `an integer of ${Math.ceil(bytes)} bytes is past maxIntegerBytes = ${this.limits.maxIntegerBytes}`,
      );
    }
  }

  checkDepth(depth: number): void {
    if (depth > this.limits.maxDepth) {
      throw new UnpickleError(`the value is nested deeper than maxDepth = ${this.limits.maxDepth}`);
    }
  }
}
