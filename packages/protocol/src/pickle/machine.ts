import type { ByteReader } from './byte-reader.js';
import { OP } from './opcodes.js';
import { type Budget, COST } from './pickle-limits.js';

/** What one opcode does to the machine. */
export type OpcodeHandler = (machine: PickleMachine) => void;

/** A set of opcodes; STOP is the machine's own. */
export type OpcodeTable = Readonly<Record<number, OpcodeHandler>>;

/** The stack machine that a pickle is a program of: a stack with marks, a memo, and a cursor. */
export class PickleMachine {
  readonly reader: ByteReader;
  readonly budget: Budget;
  readonly #outOfBand: readonly Uint8Array[];
  #nextBuffer = 0;
  readonly #stack: unknown[] = [];
  readonly #marks: number[] = [];
  /** Entries from 0 on; what is out of order stands apart. */
  readonly #memo: unknown[] = [];
  readonly #sparseMemo = new Map<number, unknown>();

  constructor(reader: ByteReader, budget: Budget, outOfBand: readonly Uint8Array[]) {
    this.reader = reader;
    this.budget = budget;
    this.#outOfBand = outOfBand;
  }

  /** Runs to STOP and returns what is then on top. */
  run(handlers: readonly (OpcodeHandler | undefined)[]): unknown {
    for (;;) {
      this.budget.opcode();
      const opcode = this.reader.uint8();
      if (opcode === OP.STOP) return this.pop();
      const handler = handlers[opcode];
      if (handler === undefined) throw this.reader.fail(`0x${opcode.toString(16)} is no opcode`);
      handler(this);
    }
  }

  push(value: unknown): void {
    this.#stack.push(value);
  }

  /** The number of values above the last mark: what lies below it is out of reach. */
  get #reachable(): number {
    return this.#stack.length - (this.#marks.at(-1) ?? 0);
  }

  pop(): unknown {
    if (this.#reachable === 0) throw this.reader.fail('the stack is empty');
    return this.#stack.pop();
  }

  /** The last `count` values, in the order they were pushed. */
  popMany(count: number): unknown[] {
    if (this.#reachable < count) throw this.reader.fail('the stack is empty');
    return this.#stack.splice(this.#stack.length - count);
  }

  peek(): unknown {
    if (this.#reachable === 0) throw this.reader.fail('the stack is empty');
    return this.#stack.at(-1);
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  /** Everything above the last mark, and the mark itself. */
  popToMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.reader.fail('no mark is set');
    return this.#stack.splice(mark);
  }

  /** POP takes a mark when nothing lies above it. */
  discard(): void {
    if (this.#reachable === 0 && this.#marks.pop() !== undefined) return;
    this.pop();
  }

  get #memoSize(): number {
    return this.#memo.length + this.#sparseMemo.size;
  }

  remember(index: number): void {
    const value = this.peek();
    if (index < this.#memo.length) this.#memo[index] = value;
    else if (this.#sparseMemo.has(index)) this.#sparseMemo.set(index, value);
    else {
      const { maxMemoEntries } = this.budget.limits;
      if (this.#memoSize >= maxMemoEntries) {
        throw this.reader.fail(`more than maxMemoEntries = ${maxMemoEntries} memo entries`);
      }
      const next = index === this.#memo.length;
      this.budget.spend(next ? COST.memo : COST.sparseMemo);
      if (next) this.#memo.push(value);
      else this.#sparseMemo.set(index, value);
    }
  }

  rememberNext(): void {
    this.remember(this.#memoSize);
  }

  recall(index: number): void {
    const value = index < this.#memo.length ? this.#memo[index] : this.#sparseMemo.get(index);
    if (value === undefined) throw this.reader.fail(`the memo has no entry ${index}`);
    this.push(value);
  }

  nextBuffer(): Uint8Array {
    const buffer = this.#outOfBand[this.#nextBuffer];
    if (buffer === undefined) {
      throw this.reader.fail(`out-of-band buffer ${this.#nextBuffer} was not given`);
    }
    this.#nextBuffer += 1;
    return buffer;
  }
}
