import { OP } from '../opcodes.js';
import { PyCallable, PyReference } from '../py.js';
import { Place } from './place.js';
import { ValueWriter } from './value-writer.js';
import { writePickle } from './write-pickle.js';
import { Writer } from './writer.js';

const CANNING = 'ipyparallel.serialize.canning';

/** Every Python that ipyparallel 7.1 and later run on reads both; buffers beside the pickle came with 5. */
const PROTOCOL = 4;
const PROTOCOL_WITH_BUFFERS = 5;

/** Shorter data is copied into the pickle: a frame of its own costs more. */
const SMALLEST_BUFFER = 16 * 1024;

/**
 * Encodes a value as ipyparallel's `deserialize_object` reads it: a pickle, and a buffer for each large piece of data
 * in it, however deep, which is not copied. `what` is what an error calls the value. Throws UsageError with the path
 * to what has no counterpart in Python. Mirrors ipyparallel `serialize_object`.
 */
export function packObject(value: unknown, what = 'the value'): Buffer[] {
  if (typeof value !== 'object' || value === null) return [writePickle(value, { what })];
  if (value instanceof PyCallable || value instanceof PyReference) return [packReference(value.expression)];
  const buffers: Buffer[] = [];
  const out = new Writer(PROTOCOL_WITH_BUFFERS);
  // The first buffer is this pickle itself: see packCan.
  out.op(OP.NEXT_BUFFER);
  out.op(OP.POP);
  new ValueWriter(out, new Place(what), (bytes) => {
    if (bytes.length < SMALLEST_BUFFER) return false;
    buffers.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return true;
  }).write(value);
  return packCan(out.end(), buffers);
}

/**
 * A `CannedBytes` is what its `wrap` makes of its first buffer. Ours unpickles it with all the buffers of the can at
 * hand, the first one included. ipyparallel's own way, a bare pickle with canned elements, has room for data in the
 * outermost list or dict alone, and takes that apart as it reads it: dicts come out in the order of their sorted keys
 * (an error where those cannot be compared), what is shared is doubled, what contains itself never ends.
 */
function packCan(pickle: Buffer, apart: readonly Buffer[]): Buffer[] {
  const out = new Writer(PROTOCOL);
  out.op(OP.EMPTY_LIST);
  const list = out.remember();
  out.op(OP.MARK);
  // What is None here comes from the frames that follow, in order.
  if (apart.length === 0) out.bytes(pickle);
  else for (let i = 0; i <= apart.length; i += 1) out.none();
  out.op(OP.APPENDS);
  out.op(OP.POP);
  writeCanned(out, 'CannedBytes', { buffers: () => out.recall(list), wrap: () => writeUnpickler(out, list) });
  return apart.length === 0 ? [out.end()] : [out.end(), pickle, ...apart];
}

/** `functools.partial(pickle.loads, buffers=…)`; its keywords are part of its state. */
function writeUnpickler(out: Writer, buffers: number): void {
  const loads = (): void => out.global('pickle', 'loads');
  out.call('functools', 'partial', () => {
    loads();
    out.tuple(1);
  });
  out.op(OP.MARK);
  loads();
  out.tuple(0);
  out.op(OP.EMPTY_DICT);
  out.key('buffers');
  out.recall(buffers);
  out.op(OP.SETITEM);
  out.none();
  out.op(OP.TUPLE);
  out.op(OP.BUILD);
}

/** What ipyparallel itself sends for a name: the engine evaluates it in its namespace. */
function packReference(expression: string): Buffer {
  const out = new Writer(PROTOCOL);
  writeCanned(out, 'Reference', {
    name: () => out.text(expression),
    buffers: () => out.op(OP.EMPTY_LIST),
  });
  return out.end();
}

/** A canned object: its class, and its attributes by name. */
function writeCanned(out: Writer, name: string, attributes: Readonly<Record<string, () => void>>): void {
  out.global(CANNING, name);
  out.tuple(0);
  out.op(OP.NEWOBJ);
  out.op(OP.EMPTY_DICT);
  out.op(OP.MARK);
  for (const [key, write] of Object.entries(attributes)) {
    out.key(key);
    write();
  }
  out.op(OP.SETITEMS);
  out.op(OP.BUILD);
}
