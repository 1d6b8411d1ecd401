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
  /**
   * Memory that reading takes at its peak, in bytes, estimated from above. Default 32 MiB and 320 bytes for each byte
   * of the pickle and of its buffers, but never more than 1 GiB or half of what V8 may use.
   */
  readonly maxMemory: number;
  /**
   * Values there are when what is shared is counted each time it is met, as who walks or prints the value does;
   * an `OpaqueValue` counts as one. Default 100 million.
   */
  readonly maxExpanded: number;
  /** Size of one integer, in bytes of its binary form. Default 128 KiB. */
  readonly maxIntegerBytes: number;
}

const MOST_MEMORY = Math.min(1024 * 1024 * 1024, Math.floor(getHeapStatistics().heap_size_limit / 2));
const LEAST_MEMORY = 32 * 1024 * 1024;
/** What Python itself writes never costs more by {@link COST}: an instance without attributes is five bytes. */
const MEMORY_PER_BYTE = 320;

const DEFAULTS: PickleLimits = {
  maxDepth: 1000,
  maxOpcodes: 25_000_000,
  maxMemoEntries: 10_000_000,
  maxMemory: MOST_MEMORY,
  maxExpanded: 100_000_000,
  maxIntegerBytes: 128 * 1024,
};

/**
 * Cost of what a pickle builds, in bytes: what it takes at the most while it is built and finished, as measured with a
 * million of each. A value takes the sum of what it is, what it is in, and the opcode that made it.
 */
export const COST = {
  opcode: 24,
  number: 16,
  text: 32,
  bytes: 360,
  container: 240,
  global: 480,
  instance: 720,
  element: 24,
  entry: 160,
  keyed: 160,
  exactTime: 160,
  memo: 24,
  sparseMemo: 80,
} as const;

/** Counts what one pickle has used, and throws at a limit. */
export class Budget {
  readonly limits: PickleLimits;
  readonly #growing: boolean;
  #maxMemory: number;
  #input = 0;
  #opcodes = 0;
  #memory = 0;

  constructor(limits?: Partial<PickleLimits>) {
    this.limits = { ...DEFAULTS, ...limits };
    this.#growing = limits?.maxMemory === undefined;
    this.#maxMemory = this.#growing ? Math.min(LEAST_MEMORY, MOST_MEMORY) : this.limits.maxMemory;
  }

  /** So many bytes came in from outside: the more there are, the more may be made of them. */
  feed(bytes: number): void {
    this.#input += bytes;
    if (this.#growing) this.#maxMemory = Math.min(LEAST_MEMORY + MEMORY_PER_BYTE * this.#input, MOST_MEMORY);
  }

  /** One opcode; what it makes it pays for itself. */
  opcode(): void {
    this.step();
    this.spend(COST.opcode);
  }

  /** Work that takes as long as so many opcodes. */
  step(count = 1): void {
    this.#opcodes += count;
    if (this.#opcodes > this.limits.maxOpcodes) {
      throw new UnpickleError(`more than maxOpcodes = ${this.limits.maxOpcodes} opcodes`);
    }
  }

  /** Called before the memory is allocated. */
  spend(bytes: number): void {
    this.#memory += bytes;
    if (this.#memory > this.#maxMemory) {
      const because = this.#growing ? `, for ${this.#input} bytes that came in` : '';
      throw new UnpickleError(`the value needs more than maxMemory = ${this.#maxMemory} bytes${because}`);
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

  checkExpanded(values: number): void {
    if (values > this.limits.maxExpanded) {
      throw new UnpickleError(
        `the value shares parts so often that written out it has more than maxExpanded = ${this.limits.maxExpanded} values`,
      );
    }
  }
}
