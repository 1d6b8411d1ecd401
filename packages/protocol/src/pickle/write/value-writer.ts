import { isDict } from '../../dict.js';
import { OP } from '../opcodes.js';
import { PyCallable, PyReference } from '../py.js';
import { isTuple } from '../values/tuple.js';
import type { Place } from './place.js';
import { BATCH, type Writer } from './writer.js';

const LATEST_DATE = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const EARLIEST_DATE = new Date(0).setUTCFullYear(1, 0, 1);

/** Writes JavaScript values as what they are in Python. */
export class ValueWriter {
  readonly out: Writer;
  readonly place: Place;
  readonly #memo = new Map<object, number>();
  /** The same objects as keys, where an array is a tuple and a Set a frozenset. */
  readonly #keyMemo = new Map<object, number>();

  constructor(out: Writer, place: Place) {
    this.out = out;
    this.place = place;
  }

  write(value: unknown): void {
    if (!this.#writePrimitive(value))
      this.#writeShared(value as object, this.#memo, () => this.#writeObject(value as object));
  }

  /** A key of a dict, or an element of a set: it must be hashable. */
  #writeKey(value: unknown): void {
    if (typeof value === 'string') this.out.key(value);
    else if (!this.#writePrimitive(value)) {
      this.#writeShared(value as object, this.#keyMemo, () => this.#writeKeyObject(value as object));
    }
  }

  #writePrimitive(value: unknown): boolean {
    switch (typeof value) {
      case 'string':
        this.out.text(value);
        return true;
      case 'number':
        this.out.number(value);
        return true;
      case 'boolean':
        this.out.boolean(value);
        return true;
      case 'bigint':
        this.out.bigint(value);
        return true;
      case 'object':
        if (value !== null) return false;
        this.out.none();
        return true;
      case 'undefined':
        throw this.place.fail('it is undefined; Python has None, which is null');
      case 'function':
        throw this.place.fail(
          `it is the JavaScript function ${JSON.stringify(value.name)}; a Python one is written py\`lambda …\` or py('module.name')`,
        );
      default:
        throw this.place.fail(`it is a ${typeof value}`);
    }
  }

  #writeShared(value: object, memo: Map<object, number>, write: () => void): void {
    const known = memo.get(value);
    if (known !== undefined) this.out.recall(known);
    else write();
  }

  #writeObject(value: object): void {
    if (Array.isArray(value)) {
      if (isTuple(value)) this.#writeTuple(value, this.#memo, (item) => this.write(item));
      else this.#writeList(value);
    } else if (isDict(value)) this.#writeDict(value, Object.keys(value).length, Object.entries(value));
    else if (value instanceof Map) this.#writeDict(value, value.size, value);
    else if (value instanceof Set) this.#writeSet(value);
    else this.#writeLeaf(value);
  }

  #writeKeyObject(value: object): void {
    if (Array.isArray(value)) this.#writeTuple(value, this.#keyMemo, (item) => this.#writeKey(item));
    else if (value instanceof Set) this.#writeFrozenSet(value);
    else if (isDict(value) || value instanceof Map) throw this.place.fail('a dict is no key in Python');
    else this.#writeLeaf(value);
  }

  #writeLeaf(value: object): void {
    if (value instanceof Date) this.#writeDate(value);
    else if (value instanceof PyCallable || value instanceof PyReference)
      this.#writeReference(value.expression);
    else if (value instanceof Uint8Array || value instanceof ArrayBuffer) this.#writeBytes(value);
    else throw this.place.fail(refusal(value));
    this.#memo.set(value, this.out.remember());
  }

  #within(step: unknown, write: () => void): void {
    this.place.enter(step);
    write();
    this.place.leave();
  }

  #writeList(list: readonly unknown[]): void {
    const { out } = this;
    out.op(OP.EMPTY_LIST);
    this.#memo.set(list, out.remember());
    for (let start = 0; start < list.length; start += BATCH) {
      out.op(OP.MARK);
      const end = Math.min(start + BATCH, list.length);
      for (let i = start; i < end; i += 1) this.#within(i, () => this.write(list[i]));
      out.op(OP.APPENDS);
    }
  }

  #writeTuple(items: readonly unknown[], memo: Map<object, number>, write: (item: unknown) => void): void {
    const { out } = this;
    const { length } = items;
    if (length > 3) out.op(OP.MARK);
    items.forEach((item, i) => {
      this.#within(i, () => write(item));
    });
    // A list inside may have led back here, and made it on the way.
    const made = memo.get(items);
    if (made !== undefined) {
      if (length > 3) out.op(OP.POP_MARK);
      else for (let i = 0; i < length; i += 1) out.op(OP.POP);
      out.recall(made);
      return;
    }
    if (length > 3) out.op(OP.TUPLE);
    else out.tuple(length as 0 | 1 | 2 | 3);
    memo.set(items, out.remember());
  }

  #writeDict(dict: object, size: number, entries: Iterable<readonly [unknown, unknown]>): void {
    const { out } = this;
    out.op(OP.EMPTY_DICT);
    this.#memo.set(dict, out.remember());
    let count = 0;
    for (const [key, value] of entries) {
      if (count % BATCH === 0) out.op(OP.MARK);
      this.#within(key, () => {
        this.#writeKey(key);
        this.write(value);
      });
      count += 1;
      if (count % BATCH === 0 || count === size) out.op(OP.SETITEMS);
    }
  }

  #writeSet(set: ReadonlySet<unknown>): void {
    const { out } = this;
    if (out.protocol < 4) {
      out.call('builtins', 'set', () => this.#writeElements(set));
      this.#memo.set(set, out.remember());
      return;
    }
    out.op(OP.EMPTY_SET);
    this.#memo.set(set, out.remember());
    if (set.size === 0) return;
    out.op(OP.MARK);
    this.#writeItems(set);
    out.op(OP.ADDITEMS);
  }

  #writeFrozenSet(set: ReadonlySet<unknown>): void {
    const { out } = this;
    if (out.protocol < 4) out.call('builtins', 'frozenset', () => this.#writeElements(set));
    else {
      out.op(OP.MARK);
      this.#writeItems(set);
      out.op(OP.FROZENSET);
    }
    this.#keyMemo.set(set, out.remember());
  }

  #writeItems(set: ReadonlySet<unknown>): void {
    for (const item of set) this.#within(item, () => this.#writeKey(item));
  }

  /** The one argument of a call: a list of the elements. */
  #writeElements(set: ReadonlySet<unknown>): void {
    const { out } = this;
    out.op(OP.EMPTY_LIST);
    out.op(OP.MARK);
    this.#writeItems(set);
    out.op(OP.APPENDS);
    out.tuple(1);
  }

  /** A datetime of UTC: two bytes for the year, one for each field, three for the microseconds. */
  #writeDate(date: Date): void {
    const ms = date.getTime();
    if (!(ms >= EARLIEST_DATE && ms <= LATEST_DATE)) {
      throw this.place.fail(
        `Python has the years 1 to 9999, and this date is ${Number.isNaN(ms) ? 'invalid' : date.toISOString()}`,
      );
    }
    const { out } = this;
    const fields = Buffer.alloc(10);
    fields.writeUInt16BE(date.getUTCFullYear(), 0);
    fields.set(
      [
        date.getUTCMonth() + 1,
        date.getUTCDate(),
        date.getUTCHours(),
        date.getUTCMinutes(),
        date.getUTCSeconds(),
      ],
      2,
    );
    fields.writeUIntBE(date.getUTCMilliseconds() * 1000, 7, 3);
    out.call('datetime', 'datetime', () => {
      out.bytes(fields);
      this.#writeUtc();
      out.tuple(2);
    });
  }

  #writeUtc(): void {
    const { out } = this;
    out.call('datetime', 'timezone', () => {
      out.call('datetime', 'timedelta', () => {
        for (let i = 0; i < 3; i += 1) out.integer(0);
        out.tuple(3);
      });
      out.tuple(1);
    });
  }

  /** Evaluated where the pickle is read; the engine's namespace is that of its main module. */
  #writeReference(expression: string): void {
    const { out } = this;
    out.call('builtins', 'eval', () => {
      out.text(expression);
      out.global('__main__', '__dict__');
      out.tuple(2);
    });
  }

  #writeBytes(value: Uint8Array | ArrayBuffer): void {
    this.out.bytes(value instanceof ArrayBuffer ? new Uint8Array(value) : value);
  }
}

function refusal(value: object): string {
  if (value instanceof Promise) return 'it is a promise; await it first';
  const name = value.constructor?.name;
  return `it is ${name === undefined || name === '' ? 'an object of a class' : `a ${name}`}, which has no counterpart there`;
}
