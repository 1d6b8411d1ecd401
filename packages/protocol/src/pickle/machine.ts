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
  readonly #memo = new Map<number, unknown>();

  constructor(reader: ByteReader, budget: Budget, outOfBand: readonly Uint8Array[]) {
    this.reader = reader;
    this.budget = budget;
    this.#outOfBand = outOfBand;
  }

  /** Runs to STOP and returns what is then on top. */
  run(handlers: readonly (OpcodeHandler | undefined)[]): unknown {
    for (;;) {
      this.budget.step();
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

  remember(index: number): void {
    const value = this.peek();
    if (!this.#memo.has(index)) {
      this.budget.spend(COST.memo);
      if (this.#memo.size >= this.budget.limits.maxMemoEntries) {
        throw this.reader.fail(
          `more than maxMemoEntries = ${this.budget.limits.maxMemoEntries} memo entries`,
        );
      }
    }
    this.#memo.set(index, value);
  }

  rememberNext(): void {
    this.remember(this.#memo.size);
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
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
