import { OP } from '../opcodes.js';
import { ByteSink } from './byte-sink.js';

/** A pickle protocol that can be written. */
export type PickleProtocol = 2 | 3 | 4 | 5;

/** Maximum number of elements per APPENDS or SETITEMS, as in Python's pickler. */
export const BATCH = 1000;

const MAX_MEMOIZED_KEY = 64;

/** Writes the opcodes of a pickle and assigns memo indexes. Callers are responsible for a valid sequence of opcodes. */
export class OpcodeWriter {
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

  /** Stores the top of the stack in the memo and returns its index. */
  memoize(): number {
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

  pushFromMemo(index: number): void {
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

  /** Writes a safe integer as an `int`, and any other number, including -0, as a `float`. */
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
    } else this.#writeLong(BigInt(value));
  }

  bigint(value: bigint): void {
    const number = Number(value);
    if (Number.isSafeInteger(number)) this.integer(number);
    else this.#writeLong(value);
  }

  /** Writes little-endian two's complement, in which the highest bit is the sign. */
  #writeLong(value: bigint): void {
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

  /** Writes text. Lone surrogates are allowed, as in Python's `str`. */
  text(value: string): void {
    const utf8 = value.isWellFormed() ? undefined : encodeWithSurrogates(value);
    const length = utf8?.length ?? Buffer.byteLength(value);
    if (length < 256 && this.protocol >= 4) {
      this.op(OP.SHORT_BINUNICODE);
      this.#sink.uint8(length);
    } else {
      // A JavaScript string is never long enough for BINUNICODE8.
      this.op(OP.BINUNICODE);
      this.#sink.uint32(length);
    }
    if (utf8 === undefined) this.#sink.text(value, length);
    else this.#sink.bytes(utf8);
  }

  /** Writes text that is likely to repeat, such as object keys, and memoizes it. */
  key(value: string): void {
    const known = this.#keys.get(value);
    if (known !== undefined) this.pushFromMemo(known);
    else {
      this.text(value);
      if (value.length <= MAX_MEMOIZED_KEY) this.#keys.set(value, this.memoize());
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

  /** Protocol 2 has no bytes opcode: each byte becomes a character, which `_codecs.encode` converts back. */
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

  /** Writes a class or function by its name. */
  global(module: string, qualname: string): void {
    const name = `${module}\n${qualname}\n`;
    const known = this.#globals.get(name);
    if (known !== undefined) {
      this.pushFromMemo(known);
      return;
    }
    if (this.protocol >= 4) {
      this.key(module);
      this.key(qualname);
      this.op(OP.STACK_GLOBAL);
    } else this.#globalByLines(module, qualname);
    this.#globals.set(name, this.memoize());
  }

  /** Protocol 2 uses Python 2's name of the builtins. Protocols before 4 cannot name nested classes directly. */
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

  /** Makes a tuple of the top `length` values. */
  tuple(length: 0 | 1 | 2 | 3): void {
    this.op([OP.EMPTY_TUPLE, OP.TUPLE1, OP.TUPLE2, OP.TUPLE3][length] ?? OP.EMPTY_TUPLE);
  }

  /** Writes a call of a class or function; `writeArgs` must write one tuple. */
  call(module: string, qualname: string, writeArgs: () => void): void {
    this.global(module, qualname);
    writeArgs();
    this.op(OP.REDUCE);
  }
}

/** Encodes UTF-8 as Python's `surrogatepass` does: a lone surrogate takes three bytes. */
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
