import { readPickle } from '@ipyparallel-js/protocol';

// The opcodes of a pickled list of bytes, which is all that ipyparallel's SQLiteDB writes.
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

/** Buffers as ipyparallel's SQLiteDB keeps them: a pickled list of bytes, by a protocol that every Python 3.4 reads. */
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

/** Reads what Python or {@link encodeBuffers} wrote; views of `data`. @throws when it is no list of bytes */
export function decodeBuffers(data: Buffer): Uint8Array[] {
  return readPlain(data) ?? readAny(data);
}

/** The list, if the pickle is as today's Pythons write it. */
function readPlain(data: Buffer): Uint8Array[] | undefined {
  const list: Uint8Array[] = [];
  // The list itself is remembered first, so places in the memo are one ahead of those in the list.
  const memo: (Uint8Array | undefined)[] = [];
  let last: Uint8Array | undefined;
  let at = 0;
  let lists = 0;
  const take = (size: number, length: number): boolean => {
    const end = at + size + length;
    if (!Number.isSafeInteger(end) || end > data.length) return false;
    last = data.subarray(at + size, end);
    list.push(last);
    at = end;
    return true;
  };
  const again = (index: number): boolean => {
    const known = memo[index];
    if (known === undefined) return false;
    list.push(known);
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
        // A list inside the list is for the careful way.
        if (++lists > 1) return undefined;
        break;
      case MARK:
      case APPEND:
      case APPENDS:
        break;
      case MEMOIZE:
        memo.push(last);
        break;
      case SHORT_BINBYTES:
        if (at + 1 > data.length || !take(1, data.readUInt8(at))) return undefined;
        break;
      case BINBYTES:
        if (at + 4 > data.length || !take(4, data.readUInt32LE(at))) return undefined;
        break;
      case BINBYTES8:
        if (at + 8 > data.length || !take(8, Number(data.readBigUInt64LE(at)))) return undefined;
        break;
      case BINGET:
        if (at + 1 > data.length || !again(data.readUInt8(at))) return undefined;
        at += 1;
        break;
      case LONG_BINGET:
        if (at + 4 > data.length || !again(data.readUInt32LE(at))) return undefined;
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

function readAny(data: Buffer): Uint8Array[] {
  const value = readPickle(data);
  if (!Array.isArray(value) || !value.every((item) => item instanceof Uint8Array))
    throw new Error('the pickle is no list of bytes');
  return value;
}
