import { OP } from '../opcodes.js';
import { ByteSink } from './byte-sink.js';

/** A protocol that the writer knows. */
export type PickleProtocol = 2 | 3 | 4 | 5;

/** Python's own limit of elements at once. */
export const BATCH = 1000;

const LONGEST_MEMOIZED_KEY = 64;

/** The opcodes of a pickle, as they are written one after the other; it knows nothing of what they mean together. */
export class Writer {
  readonly protocol: PickleProtocol;
  readonly #sink = new ByteSink();
  readonly #globals = new Map<string, number>();
  readonly #keys = new Map<string, number>();
  #memoSize = 0;

  constructor(protocol: PickleProtocol) {
    this.protocol = protocol;
    this.op(OP.PROTO);
    this.#sink.uint8(protocol);
  }

  end(): Buffer {
    this.op(OP.STOP);
    return this.#sink.join();
  }

  op(opcode: number): void {
    this.#sink.uint8(opcode);
  }

  /** Puts what is on top into the memo, and gives the index to get it back by. */
  remember(): number {
    const index = this.#memoSize;
    this.#memoSize += 1;
    if (this.protocol >= 4) this.op(OP.MEMOIZE);
    else if (index < 256) {
      this.op(OP.BINPUT);
      this.#sink.uint8(index);
    } else {
      this.op(OP.LONG_BINPUT);
      this.#sink.uint32(index);
    }
    return index;
  }

  recall(index: number): void {
    if (index < 256) {
      this.op(OP.BINGET);
      this.#sink.uint8(index);
    } else {
      this.op(OP.LONG_BINGET);
      this.#sink.uint32(index);
    }
  }

  none(): void {
    this.op(OP.NONE);
  }

  boolean(value: boolean): void {
    this.op(value ? OP.NEWTRUE : OP.NEWFALSE);
  }

  /** A whole number is an `int` where no other can be meant; all else is a `float`, negative zero too. */
  number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.integer(value);
    else this.float(value);
  }

  float(value: number): void {
    this.op(OP.BINFLOAT);
    this.#sink.float64(value);
  }

  integer(value: number): void {
    if (value >= 0 && value <= 0xff) {
      this.op(OP.BININT1);
      this.#sink.uint8(value);
    } else if (value >= 0 && value <= 0xffff) {
      this.op(OP.BININT2);
      this.#sink.uint16(value);
    } else if (value >= -0x8000_0000 && value <= 0x7fff_ffff) {
      this.op(OP.BININT);
      this.#sink.int32(value);
    } else this.#long(BigInt(value));
  }

  bigint(value: bigint): void {
    const number = Number(value);
    if (Number.isSafeInteger(number)) this.integer(number);
    else this.#long(value);
  }

  /** Little-endian two's complement; the highest bit is the sign. */
  #long(value: bigint): void {
    const magnitude = value < 0n ? ~value : value;
    const digits = magnitude.toString(16);
    const bytes = Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex').reverse();
    const padded = (bytes.at(-1) ?? 0) > 0x7f ? Buffer.concat([bytes, Buffer.of(0)]) : bytes;
    if (value < 0n) for (let i = 0; i < padded.length; i += 1) padded[i] = ~(padded[i] ?? 0);
    if (padded.length < 256) {
      this.op(OP.LONG1);
      this.#sink.uint8(padded.length);
    } else {
      this.op(OP.LONG4);
      this.#sink.uint32(padded.length);
    }
    this.#sink.bytes(padded);
  }

  /** Half surrogates pass, as they do in Python's `str`. */
  text(value: string): void {
    const utf8 = value.isWellFormed() ? undefined : encodeWithSurrogates(value);
    const length = utf8?.length ?? Buffer.byteLength(value);
    if (length < 256 && this.protocol >= 4) {
      this.op(OP.SHORT_BINUNICODE);
      this.#sink.uint8(length);
    } else {
      // A string of JavaScript never needs the eight bytes of BINUNICODE8.
      this.op(OP.BINUNICODE);
      this.#sink.uint32(length);
    }
    if (utf8 === undefined) this.#sink.text(value, length);
    else this.#sink.bytes(utf8);
  }

  /** A text that is likely to come again, as the keys of objects do. */
  key(value: string): void {
    const known = this.#keys.get(value);
    if (known !== undefined) this.recall(known);
    else {
      this.text(value);
      if (value.length <= LONGEST_MEMOIZED_KEY) this.#keys.set(value, this.remember());
    }
  }

  bytes(value: Uint8Array): void {
    if (this.protocol < 3) {
      this.#bytesAsText(value);
      return;
    }
    if (value.length < 256) {
      this.op(OP.SHORT_BINBYTES);
      this.#sink.uint8(value.length);
    } else if (value.length <= 0xffff_ffff) {
      this.op(OP.BINBYTES);
      this.#sink.uint32(value.length);
    } else {
      this.op(OP.BINBYTES8);
      this.#sink.uint64(value.length);
    }
    this.#sink.bytes(value);
  }

  /** Protocol 2 has no bytes: each becomes a character, which `_codecs.encode` turns back. */
  #bytesAsText(value: Uint8Array): void {
    if (value.length === 0) {
      this.call('builtins', 'bytes', () => this.tuple(0));
      return;
    }
    this.call('_codecs', 'encode', () => {
      this.text(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1'));
      this.key('latin1');
      this.tuple(2);
    });
  }

  /** A class or function by its name. */
  global(module: string, qualname: string): void {
    const name = `${module}\n${qualname}\n`;
    const known = this.#globals.get(name);
    if (known !== undefined) {
      this.recall(known);
      return;
    }
    if (this.protocol >= 4) {
      this.key(module);
      this.key(qualname);
      this.op(OP.STACK_GLOBAL);
    } else this.#globalByLines(module, qualname);
    this.#globals.set(name, this.remember());
  }

  /** Protocols before 4 know Python 2's name of the builtins, and nothing of nested classes. */
  #globalByLines(module: string, qualname: string): void {
    const [outer = '', ...inner] = qualname.split('.');
    for (const _ of inner) {
      this.global('builtins', 'getattr');
    }
    this.op(OP.GLOBAL);
    const moduleName = this.protocol < 3 && module === 'builtins' ? '__builtin__' : module;
    this.#sink.bytes(Buffer.from(`${moduleName}\n${outer}\n`));
    for (const name of inner) {
      this.text(name);
      this.tuple(2);
      this.op(OP.REDUCE);
    }
  }

  /** Makes a tuple of so many values on top, three at most. */
  tuple(length: 0 | 1 | 2 | 3): void {
    this.op([OP.EMPTY_TUPLE, OP.TUPLE1, OP.TUPLE2, OP.TUPLE3][length] ?? OP.EMPTY_TUPLE);
  }

  /** Calls what is named with the tuple that `writeArgs` writes. */
  call(module: string, qualname: string, writeArgs: () => void): void {
    this.global(module, qualname);
    writeArgs();
    this.op(OP.REDUCE);
  }
}

/** UTF-8 as Python's `surrogatepass` has it: half a surrogate is three bytes. */
function encodeWithSurrogates(text: string): Buffer {
  const parts = text.split(/([\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff])/);
  return Buffer.concat(
    parts.map((part, i) => {
      if (i % 2 === 0) return Buffer.from(part);
      const code = part.charCodeAt(0);
      return Buffer.of(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f));
    }),
  );
}
