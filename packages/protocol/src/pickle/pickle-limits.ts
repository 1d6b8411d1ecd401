import { getHeapStatistics } from 'node:v8';
import { UnpickleError } from './unpickle-error.js';

/** Limits on reading one pickle. Exceeding one throws {@link UnpickleError}. */
export interface PickleLimits {
  /** Maximum nesting of the decoded value; a list in a list is 2. 1000 by default. */
  readonly maxDepth: number;
  /** Maximum number of opcodes, about one per element; a datetime in a named zone counts as 40. 25 million by default. */
  readonly maxOpcodes: number;
  /** Maximum number of memo entries, which shared references use; 10 million by default. */
  readonly maxMemoEntries: number;
  /**
   * Maximum peak memory of reading, in bytes, as an upper estimate. By default 32 MiB plus 320 bytes per byte of the
   * pickle and its buffers, but at most 1 GiB or half of V8's heap limit.
   */
  readonly maxMemory: number;
  /**
   * Maximum number of values with shared parts counted at each use, as in a walk or a print-out; an `OpaqueValue` counts
   * as one. 100 million by default.
   */
  readonly maxExpanded: number;
  /** Maximum size of one integer, in bytes of its binary form; 128 KiB by default. */
  readonly maxIntegerBytes: number;
}

const MAX_MEMORY = Math.min(1024 * 1024 * 1024, Math.floor(getHeapStatistics().heap_size_limit / 2));
const MIN_MEMORY = 32 * 1024 * 1024;
/** Enough, by {@link MEMORY_COSTS}, for any pickle that Python writes; its densest value, an instance without attributes, takes five bytes. */
const MEMORY_PER_BYTE = 320;

const DEFAULTS: PickleLimits = {
  maxDepth: 1000,
  maxOpcodes: 25_000_000,
  maxMemoEntries: 10_000_000,
  maxMemory: MAX_MEMORY,
  maxExpanded: 100_000_000,
  maxIntegerBytes: 128 * 1024,
};

/**
 * Peak memory per item in bytes, measured with a million of each, from opcode to resolved value. The cost of a value is
 * the sum of its own entry, the entry for its slot in a container, and the opcode that made it.
 */
export const MEMORY_COSTS = {
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

/** Counts the steps and the memory that reading uses, and throws when a limit is exceeded. */
export class Budget {
  readonly limits: PickleLimits;
  readonly #scalesWithInput: boolean;
  #maxMemory: number;
  #input = 0;
  #opcodes = 0;
  #memory = 0;

  constructor(limits?: Partial<PickleLimits>) {
    this.limits = { ...DEFAULTS, ...limits };
    this.#scalesWithInput = limits?.maxMemory === undefined;
    this.#maxMemory = this.#scalesWithInput ? Math.min(MIN_MEMORY, MAX_MEMORY) : this.limits.maxMemory;
  }

  /** Records received bytes; the default memory limit grows with them. */
  addInput(bytes: number): void {
    this.#input += bytes;
    if (this.#scalesWithInput)
      this.#maxMemory = Math.min(MIN_MEMORY + MEMORY_PER_BYTE * this.#input, MAX_MEMORY);
  }

  /** Counts one opcode. Its handler charges for the value it makes. */
  countOpcode(): void {
    this.countSteps();
    this.spend(MEMORY_COSTS.opcode);
  }

  /** Counts work that takes as long as `count` opcodes. */
  countSteps(count = 1): void {
    this.#opcodes += count;
    if (this.#opcodes > this.limits.maxOpcodes) {
      throw new UnpickleError(`the pickle has more than maxOpcodes = ${this.limits.maxOpcodes} opcodes`);
    }
  }

  /** Charges memory; call it before allocating. */
  spend(bytes: number): void {
    this.#memory += bytes;
    if (this.#memory > this.#maxMemory) {
      const inputSize = this.#scalesWithInput ? ` for ${this.#input} received bytes` : '';
      throw new UnpickleError(`the value needs more than maxMemory = ${this.#maxMemory} bytes${inputSize}`);
    }
  }

  checkInteger(bytes: number): void {
    if (bytes > this.limits.maxIntegerBytes) {
      throw new UnpickleError(
        `an integer has ${Math.ceil(bytes)} bytes, more than maxIntegerBytes = ${this.limits.maxIntegerBytes}`,
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
        `the value has more than maxExpanded = ${this.limits.maxExpanded} values when shared parts are counted at each use`,
      );
    }
  }
}
