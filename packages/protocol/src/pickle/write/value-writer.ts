import { isDict } from '../../common/dict.js';
import { nameOfTypedArray, type TypedArray } from '../numpy/dtype.js';
import { encodeElements } from '../numpy/element-bytes.js';
import { NdArray, requireDtype } from '../numpy/nd-array.js';
import { encodeRecords, type FieldDescription } from '../numpy/structure-bytes.js';
import { StructuredArray } from '../numpy/structured-array.js';
import { OP } from '../opcodes.js';
import { DataFrame, Index, Series } from '../pandas/frames.js';
import { isTuple, tuple } from '../values/tuple.js';
import { writeInstance } from './instance-writer.js';
import { BATCH, type OpcodeWriter } from './opcode-writer.js';
import type { ValuePath } from './value-path.js';

/** Accepts bytes as an out-of-band buffer, or returns false to leave them in the pickle. */
export type OutOfBandSink = (bytes: Uint8Array) => boolean;

/** Writes JavaScript values as their Python counterparts. */
export class ValueWriter {
  readonly out: OpcodeWriter;
  readonly path: ValuePath;
  readonly #sendOutOfBand: OutOfBandSink;
  readonly #memo = new Map<object, number>();
  /** Memo indexes of objects written as keys, in which an array is a tuple and a Set a frozenset. */
  readonly #keyMemo = new Map<object, number>();

  constructor(out: OpcodeWriter, path: ValuePath, sendOutOfBand: OutOfBandSink = () => false) {
    this.out = out;
    this.path = path;
    this.#sendOutOfBand = sendOutOfBand;
  }

  write(value: unknown): void {
    if (this.#writePrimitive(value)) return;
    const known = this.#memo.get(value as object);
    if (known === undefined) this.#writeObject(value as object);
    else this.out.pushFromMemo(known);
  }

  /** Writes a key of a dict or an element of a set, which must be hashable. */
  #writeKey(value: unknown): void {
    if (typeof value === 'string') this.out.key(value);
    else if (!this.#writePrimitive(value)) {
      const known = this.#keyMemo.get(value as object);
      if (known === undefined) this.#writeKeyObject(value as object);
      else this.out.pushFromMemo(known);
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
        throw this.path.error('it is undefined; use null for None');
      case 'function':
        throw this.path.error(
          `it is a JavaScript function${value.name === '' ? '' : `, ${value.name}`}; use py\`lambda …\` or py('module.name')`,
        );
      default:
        throw this.path.error(`it is a ${typeof value}, which has no Python counterpart`);
    }
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
    else if (isDict(value) || value instanceof Map)
      throw this.path.error('a dict cannot be a key or set element in Python');
    else this.#writeLeaf(value);
  }

  #writeLeaf(value: object): void {
    if (value instanceof Uint8Array) this.#writeBytes(value);
    else if (value instanceof ArrayBuffer) this.#writeBytes(new Uint8Array(value));
    else if (value instanceof NdArray) this.#writeArray(value);
    else if (value instanceof StructuredArray) this.#writeRecords(value);
    else if (nameOfTypedArray(value) !== undefined) this.#writeArray(new NdArray(value as TypedArray));
    else if (value instanceof DataFrame) this.#writeFrame(value);
    else if (value instanceof Series) {
      this.#writeCall('pandas', 'Series', [value.data, value.index, null, value.name]);
    } else if (value instanceof Index) this.#writeIndex(value);
    else if (!writeInstance(this.out, value, this.path)) throw this.path.error(unsupportedReason(value));
    this.#memo.set(value, this.out.memoize());
  }

  #writeList(list: readonly unknown[]): void {
    const { out } = this;
    out.op(OP.EMPTY_LIST);
    this.#memo.set(list, out.memoize());
    for (let start = 0; start < list.length; start += BATCH) {
      out.op(OP.MARK);
      const end = Math.min(start + BATCH, list.length);
      for (let i = start; i < end; i += 1) {
        this.path.enter(i);
        this.write(list[i]);
        this.path.leave();
      }
      out.op(OP.APPENDS);
    }
  }

  #writeTuple(items: readonly unknown[], memo: Map<object, number>, write: (item: unknown) => void): void {
    const { out } = this;
    const { length } = items;
    if (length > 3) out.op(OP.MARK);
    items.forEach((item, i) => {
      this.path.enter(i);
      write(item);
      this.path.leave();
    });
    // If a list in the tuple contains the tuple itself, the tuple has already been written and is in the memo.
    const known = memo.get(items);
    if (known !== undefined) {
      if (length > 3) out.op(OP.POP_MARK);
      else for (let i = 0; i < length; i += 1) out.op(OP.POP);
      out.pushFromMemo(known);
      return;
    }
    if (length > 3) out.op(OP.TUPLE);
    else out.tuple(length as 0 | 1 | 2 | 3);
    memo.set(items, out.memoize());
  }

  #writeDict(dict: object, size: number, entries: Iterable<readonly [unknown, unknown]>): void {
    const { out } = this;
    out.op(OP.EMPTY_DICT);
    this.#memo.set(dict, out.memoize());
    let count = 0;
    for (const [key, value] of entries) {
      if (count % BATCH === 0) out.op(OP.MARK);
      this.path.enter(key);
      this.#writeKey(key);
      this.write(value);
      this.path.leave();
      count += 1;
      if (count % BATCH === 0 || count === size) out.op(OP.SETITEMS);
    }
  }

  #writeSet(set: ReadonlySet<unknown>): void {
    const { out } = this;
    if (out.protocol < 4) {
      out.call('builtins', 'set', () => this.#writeElements(set));
      this.#memo.set(set, out.memoize());
      return;
    }
    out.op(OP.EMPTY_SET);
    this.#memo.set(set, out.memoize());
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
    this.#keyMemo.set(set, out.memoize());
  }

  #writeItems(set: ReadonlySet<unknown>): void {
    for (const item of set) {
      this.path.enter(item);
      this.#writeKey(item);
      this.path.leave();
    }
  }

  /** Writes the argument tuple of a call: one list of the elements. */
  #writeElements(set: ReadonlySet<unknown>): void {
    const { out } = this;
    out.op(OP.EMPTY_LIST);
    out.op(OP.MARK);
    this.#writeItems(set);
    out.op(OP.APPENDS);
    out.tuple(1);
  }

  #writeBytes(bytes: Uint8Array): void {
    const { out } = this;
    if (!this.#sendOutOfBand(bytes)) out.bytes(bytes);
    else {
      // An out-of-band buffer is a memoryview in Python.
      out.call('builtins', 'bytes', () => {
        out.op(OP.NEXT_BUFFER);
        out.tuple(1);
      });
    }
  }

  /** Writes `numpy.ndarray(shape, dtype, buffer, 0, None, order)`: a read-only array on the received bytes. */
  #writeArray(array: NdArray): void {
    const { out } = this;
    const dtype = requireDtype(array.dtype);
    if (dtype.storage.kind === 'object') this.#writeObjectArray(array);
    else {
      const { bytes, code } = encodeElements(array.data, dtype);
      this.#writeNdarray(array.shape, () => out.key(code), bytes, array.fortranOrder ? 'F' : 'C');
    }
  }

  #writeNdarray(shape: readonly number[], writeDtype: () => void, bytes: Uint8Array, order: 'C' | 'F'): void {
    const { out } = this;
    out.call('numpy', 'ndarray', () => {
      out.op(OP.MARK);
      this.#writeShape(shape);
      writeDtype();
      if (this.#sendOutOfBand(bytes)) {
        out.op(OP.NEXT_BUFFER);
        out.op(OP.READONLY_BUFFER);
      } else out.bytes(bytes);
      out.integer(0);
      out.none();
      out.key(order);
      out.op(OP.TUPLE);
    });
  }

  #writeRecords(array: StructuredArray): void {
    const records = encodeRecords(array);
    if (records === undefined) throw this.path.error('a StructuredArray with object fields cannot be sent');
    const { bytes, fields } = records;
    const writeDtype = (): void =>
      this.out.call('numpy', 'dtype', () => {
        this.#writeFields(fields);
        this.out.tuple(1);
      });
    this.#writeNdarray(array.shape, writeDtype, bytes, 'C');
  }

  /** Writes `[(name, type, shape), …]`. */
  #writeFields(fields: readonly FieldDescription[]): void {
    const { out } = this;
    out.op(OP.EMPTY_LIST);
    out.op(OP.MARK);
    for (const { name, code, shape } of fields) {
      out.key(name);
      if (typeof code === 'string') out.key(code);
      else this.#writeFields(code);
      this.#writeShape(shape);
      out.tuple(3);
    }
    out.op(OP.APPENDS);
  }

  /** Writes `pandas.DataFrame({label: column, …}, index)`. */
  #writeFrame(frame: DataFrame): void {
    const columns = new Map(frame.columns.map((label, i) => [label, frame.data[i]]));
    if (columns.size < frame.columns.length) throw this.path.error('its column labels must be unique');
    this.#writeCall('pandas', 'DataFrame', [columns, frame.index]);
  }

  /** Writes `pandas.Index(data, None, False, name)`, or for several levels `MultiIndex.from_tuples` with a list of names. */
  #writeIndex({ data, name }: Index): void {
    const levels = !(data instanceof NdArray) && data.length > 0 && data.every(Array.isArray);
    const items = levels ? data.map((item) => tuple(...item)) : data;
    if (levels && Array.isArray(name)) {
      this.out.global('pandas', 'MultiIndex.from_tuples');
      this.#writeArguments([items, null, [...name]]);
    } else this.#writeCall('pandas', 'Index', [items, null, false, name]);
  }

  #writeCall(module: string, qualname: string, args: readonly unknown[]): void {
    this.out.global(module, qualname);
    this.#writeArguments(args);
  }

  /** Writes the arguments and the call. */
  #writeArguments(args: readonly unknown[]): void {
    const { out } = this;
    out.op(OP.MARK);
    for (const arg of args) this.write(arg);
    out.op(OP.TUPLE);
    out.op(OP.REDUCE);
  }

  /** Makes an empty array and sets its state, `(1, shape, dtype, fortranOrder, elements)`, with elements in C order. */
  #writeObjectArray(array: NdArray): void {
    const { out } = this;
    out.call('numpy', 'ndarray', () => {
      this.#writeShape([0]);
      out.key('O');
      out.tuple(2);
    });
    out.op(OP.MARK);
    out.integer(1);
    this.#writeShape(array.shape);
    out.call('numpy', 'dtype', () => {
      out.key('O');
      out.tuple(1);
    });
    out.boolean(array.fortranOrder);
    this.write(array.fortranOrder ? array.elements() : array.data);
    out.op(OP.TUPLE);
    out.op(OP.BUILD);
  }

  #writeShape(shape: readonly number[]): void {
    const { out } = this;
    out.op(OP.MARK);
    for (const length of shape) out.integer(length);
    out.op(OP.TUPLE);
  }
}

function unsupportedReason(value: object): string {
  if (value instanceof Promise) return 'it is a Promise; await it first';
  const name = value.constructor?.name;
  return `it is an instance of ${name === undefined || name === '' ? 'an unnamed class' : name}, which has no Python counterpart`;
}
