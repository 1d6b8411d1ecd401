import { readPickle } from '@ipyparallel-js/protocol';

// Opcodes of a pickled list of bytes, which is the only form that ipyparallel's SQLiteDB writes.
const PROTO = 0x80;
const FRAME = 0x95;
const MEMOIZE = 0x94;
const EMPTY_LIST = 0x5d;
const MARK = 0x28;
const APPEND = 0x61;
const APPENDS = 0x65;
const STOP = 0x2e;
const SHORT_BINBYTES = 0x43;
const BINBYTES = 0x42;
const BINBYTES8 = 0x8e;
const BINGET = 0x68;
const LONG_BINGET = 0x6a;

/** Encodes buffers as ipyparallel's SQLiteDB stores them: a list of bytes, pickled with protocol 4. */
export function encodeBuffers(buffers: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = [Uint8Array.of(PROTO, 4, EMPTY_LIST, MARK)];
  for (const buffer of buffers) parts.push(bytesHeader(buffer.byteLength), buffer);
  parts.push(Uint8Array.of(APPENDS, STOP));
  return Buffer.concat(parts);
}

function bytesHeader(length: number): Uint8Array {
  if (length < 0x100) return Uint8Array.of(SHORT_BINBYTES, length);
  const header = Buffer.alloc(length <= 0xffffffff ? 5 : 9);
  if (length <= 0xffffffff) {
    header[0] = BINBYTES;
    header.writeUInt32LE(length, 1);
  } else {
    header[0] = BINBYTES8;
    header.writeBigUInt64LE(BigInt(length), 1);
  }
  return header;
}

/**
 * Decodes buffers that Python or {@link encodeBuffers} wrote. The buffers are views of `data`.
 * @throws Error when `data` is not a pickled list of bytes
 */
export function decodeBuffers(data: Buffer): Uint8Array[] {
  return decodeCommonForm(data) ?? decodeAnyPickle(data);
}

/** Decodes the opcodes that current Pythons write; returns undefined for any other pickle. */
function decodeCommonForm(data: Buffer): Uint8Array[] | undefined {
  const list: Uint8Array[] = [];
  // The list itself has memo index 0, so the memo index of a buffer is its list index + 1.
  const memo: (Uint8Array | undefined)[] = [];
  let last: Uint8Array | undefined;
  let at = 0;
  let listCount = 0;
  const readBuffer = (size: number, length: number): boolean => {
    const end = at + size + length;
    if (!Number.isSafeInteger(end) || end > data.length) return false;
    last = data.subarray(at + size, end);
    list.push(last);
    at = end;
    return true;
  };
  const readMemo = (index: number): boolean => {
    const buffer = memo[index];
    if (buffer === undefined) return false;
    list.push(buffer);
    return true;
  };
  while (at < data.length) {
    const opcode = data[at++];
    switch (opcode) {
      case PROTO:
        at += 1;
        break;
      case FRAME:
        at += 8;
        break;
      case EMPTY_LIST:
        // The general unpickler handles nested lists.
        if (++listCount > 1) return undefined;
        break;
      case MARK:
      case APPEND:
      case APPENDS:
        break;
      case MEMOIZE:
        memo.push(last);
        break;
      case SHORT_BINBYTES:
        if (at + 1 > data.length || !readBuffer(1, data.readUInt8(at))) return undefined;
        break;
      case BINBYTES:
        if (at + 4 > data.length || !readBuffer(4, data.readUInt32LE(at))) return undefined;
        break;
      case BINBYTES8:
        if (at + 8 > data.length || !readBuffer(8, Number(data.readBigUInt64LE(at)))) return undefined;
        break;
      case BINGET:
        if (at + 1 > data.length || !readMemo(data.readUInt8(at))) return undefined;
        at += 1;
        break;
      case LONG_BINGET:
        if (at + 4 > data.length || !readMemo(data.readUInt32LE(at))) return undefined;
        at += 4;
        break;
      case STOP:
        return at === data.length ? list : undefined;
      default:
        return undefined;
    }
  }
  return undefined;
}

function decodeAnyPickle(data: Buffer): Uint8Array[] {
  const value = readPickle(data);
  if (!Array.isArray(value) || !value.every((item) => item instanceof Uint8Array))
    throw new Error('the pickle is not a list of bytes');
  return value;
}
