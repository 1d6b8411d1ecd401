import type { ByteReader } from './byte-reader.js';
import { OP } from './opcodes.js';
import { type Budget, MEMORY_COSTS } from './pickle-limits.js';

/** Executes one opcode on the machine. */
export type OpcodeHandler = (machine: PickleMachine) => void;

/** Handlers by opcode. The machine itself handles STOP. */
export type OpcodeTable = Readonly<Record<number, OpcodeHandler>>;

/** The stack machine that executes the opcodes of a pickle: a stack with marks, a memo, and a cursor. */
export class PickleMachine {
  readonly reader: ByteReader;
  readonly budget: Budget;
  readonly #outOfBand: readonly Uint8Array[];
  #nextBuffer = 0;
  readonly #stack: unknown[] = [];
  readonly #marks: number[] = [];
  /** Entries whose indexes are consecutive from 0; `#sparseMemo` holds all others. */
  readonly #memo: unknown[] = [];
  readonly #sparseMemo = new Map<number, unknown>();

  constructor(reader: ByteReader, budget: Budget, outOfBand: readonly Uint8Array[]) {
    this.reader = reader;
    this.budget = budget;
    this.#outOfBand = outOfBand;
  }

  /** Runs to STOP and returns the top of the stack. */
  run(handlers: readonly (OpcodeHandler | undefined)[]): unknown {
    for (;;) {
      this.budget.countOpcode();
      const opcode = this.reader.uint8();
      if (opcode === OP.STOP) return this.pop();
      const handler = handlers[opcode];
      if (handler === undefined) throw this.reader.error(`unknown opcode 0x${opcode.toString(16)}`);
      handler(this);
    }
  }

  push(value: unknown): void {
    this.#stack.push(value);
  }

  /** The number of values above the last mark; opcodes cannot pop values below it. */
  get #reachable(): number {
    return this.#stack.length - (this.#marks.at(-1) ?? 0);
  }

  pop(): unknown {
    if (this.#reachable === 0) throw this.reader.error('the stack is empty');
    return this.#stack.pop();
  }

  /** Pops `count` values and returns them in the order they were pushed. */
  popMany(count: number): unknown[] {
    if (this.#reachable < count) throw this.reader.error('the stack is empty');
    return this.#stack.splice(this.#stack.length - count);
  }

  peek(): unknown {
    if (this.#reachable === 0) throw this.reader.error('the stack is empty');
    return this.#stack.at(-1);
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** Removes the last mark and returns the values above it. */
  popToMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.reader.error('no mark is set');
    return this.#stack.splice(mark);
  }

  /** POP removes the last mark if no value lies above it. */
  popValueOrMark(): void {
    if (this.#reachable === 0 && this.#marks.pop() !== undefined) return;
    this.pop();
  }

  get #memoSize(): number {
    return this.#memo.length + this.#sparseMemo.size;
  }

  memoize(index: number): void {
    const value = this.peek();
    if (index < this.#memo.length) this.#memo[index] = value;
    else if (this.#sparseMemo.has(index)) this.#sparseMemo.set(index, value);
    else {
      const { maxMemoEntries } = this.budget.limits;
      if (this.#memoSize >= maxMemoEntries) {
        throw this.reader.error(`the pickle has more than maxMemoEntries = ${maxMemoEntries} memo entries`);
      }
      const next = index === this.#memo.length;
      this.budget.spend(next ? MEMORY_COSTS.memo : MEMORY_COSTS.sparseMemo);
      if (next) this.#memo.push(value);
      else this.#sparseMemo.set(index, value);
    }
  }

  memoizeNext(): void {
    this.memoize(this.#memoSize);
  }

  pushFromMemo(index: number): void {
    const value = index < this.#memo.length ? this.#memo[index] : this.#sparseMemo.get(index);
    if (value === undefined) throw this.reader.error(`the memo has no entry ${index}`);
    this.push(value);
  }

  nextBuffer(): Uint8Array {
    const buffer = this.#outOfBand[this.#nextBuffer];
    if (buffer === undefined) {
      throw this.reader.error(`out-of-band buffer ${this.#nextBuffer} is missing`);
    }
    this.#nextBuffer += 1;
    return buffer;
  }
}
