import { OP } from '../opcodes.js';
import { PyCallable, PyReference } from '../py.js';
import { OpcodeWriter } from './opcode-writer.js';
import { ValuePath } from './value-path.js';
import { ValueWriter } from './value-writer.js';
import { writePickle } from './write-pickle.js';

const CANNING = 'ipyparallel.serialize.canning';

/** Every Python that ipyparallel 7.1 and later support reads both protocols. Only protocol 5 has out-of-band buffers. */
const PROTOCOL = 4;
const PROTOCOL_WITH_BUFFERS = 5;

/** Smaller data is copied into the pickle, which is cheaper than a separate frame. */
const MIN_BUFFER_SIZE = 16 * 1024;

/**
 * Encodes a value for ipyparallel's `deserialize_object`. Large data at any depth is not copied. `what` names the value in
 * error messages. Mirrors `serialize_object` of ipyparallel.
 * @returns a pickle, and a buffer for each piece of large data
 * @throws {UsageError} when a part of the value has no Python counterpart; the message has the path to the part
 */
export function packObject(value: unknown, what = 'the value'): Buffer[] {
  if (typeof value !== 'object' || value === null) return [writePickle(value, { what })];
  if (value instanceof PyCallable || value instanceof PyReference) return [packReference(value.expression)];
  const buffers: Buffer[] = [];
  const out = new OpcodeWriter(PROTOCOL_WITH_BUFFERS);
  // Skip the first buffer, which is this pickle itself: see packCan.
  out.op(OP.NEXT_BUFFER);
  out.op(OP.POP);
  new ValueWriter(out, new ValuePath(what), (bytes) => {
    if (bytes.length < MIN_BUFFER_SIZE) return false;
    buffers.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return true;
  }).write(value);
  return packCan(out.end(), buffers);
}

/**
 * Writes a `CannedBytes`, which ipyparallel uncans by calling its `wrap` on the first buffer. Here `wrap` unpickles that
 * buffer with all buffers of the object available, the first one included. ipyparallel's own encoding, a plain pickle with
 * canned elements, separates data only in the outermost list or dict, and rebuilds that container: dicts are sorted by key
 * (an error if keys do not compare), shared values are duplicated, and cycles never end.
 */
function packCan(pickle: Buffer, outOfBand: readonly Buffer[]): Buffer[] {
  const out = new OpcodeWriter(PROTOCOL);
  out.op(OP.EMPTY_LIST);
  const list = out.memoize();
  out.op(OP.MARK);
  // Each None stands for one of the frames that follow, in order.
  if (outOfBand.length === 0) out.bytes(pickle);
  else for (let i = 0; i <= outOfBand.length; i += 1) out.none();
  out.op(OP.APPENDS);
  out.op(OP.POP);
  writeCanned(out, 'CannedBytes', {
    buffers: () => out.pushFromMemo(list),
    wrap: () => writeUnpickler(out, list),
  });
  return outOfBand.length === 0 ? [out.end()] : [out.end(), pickle, ...outOfBand];
}

/** Writes `functools.partial(pickle.loads, buffers=…)`. The keywords of a partial are part of its state. */
function writeUnpickler(out: OpcodeWriter, buffers: number): void {
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
  out.pushFromMemo(buffers);
  out.op(OP.SETITEM);
  out.none();
  out.op(OP.TUPLE);
  out.op(OP.BUILD);
}

/** Writes ipyparallel's `Reference`, whose name the engine evaluates in its namespace. */
function packReference(expression: string): Buffer {
  const out = new OpcodeWriter(PROTOCOL);
  writeCanned(out, 'Reference', {
    name: () => out.text(expression),
    buffers: () => out.op(OP.EMPTY_LIST),
  });
  return out.end();
}

/** Writes a canned object: its class and its attributes by name. */
function writeCanned(
  out: OpcodeWriter,
  name: string,
  attributes: Readonly<Record<string, () => void>>,
): void {
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
