import { OP } from '../opcodes.js';
import { PyCallable, PyReference } from '../py.js';
import { Place } from './place.js';
import { ValueWriter } from './value-writer.js';
import { writePickle } from './write-pickle.js';
import { Writer } from './writer.js';

const CANNING = 'ipyparallel.serialize.canning';
const PROTOCOL = 4;

/**
 * Encodes a value as ipyparallel's `deserialize_object` reads it: a pickle, and a buffer for each large piece of data
 * in it, which is not copied. `what` is what an error calls the value. Throws UsageError with the path to what has no
 * counterpart in Python. Mirrors ipyparallel `serialize_object`.
 */
export function packObject(value: unknown, what = 'the value'): Buffer[] {
  if (value instanceof PyCallable || value instanceof PyReference) return [packReference(value.expression)];
  if (Array.isArray(value) || (typeof value === 'object' && value !== null))
    return [packContainer(value, what)];
  return [writePickle(value, { what })];
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

/** What ipyparallel itself sends for a name: the engine evaluates it in its namespace. */
function packReference(expression: string): Buffer {
  const out = new Writer(PROTOCOL);
  writeCanned(out, 'Reference', {
    name: () => out.text(expression),
    buffers: () => out.op(OP.EMPTY_LIST),
  });
  return out.end();
}

/**
 * ipyparallel would take a bare container apart as it reads it: dicts come out in the order of their sorted keys (an
 * error where those cannot be compared), what is shared is doubled, what contains itself never ends. In a
 * `CannedObject` it is handed over as it is.
 */
function packContainer(value: object, what: string): Buffer {
  const out = new Writer(PROTOCOL);
  writeCanned(out, 'CannedObject', {
    keys: () => out.op(OP.EMPTY_LIST),
    hook: () => out.none(),
    buffers: () => out.op(OP.EMPTY_LIST),
    obj: () => new ValueWriter(out, new Place(what)).write(value),
  });
  return out.end();
}
