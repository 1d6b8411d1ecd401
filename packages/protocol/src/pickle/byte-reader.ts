import { UnpickleError } from './unpickle-error.js';

const NEWLINE = 0x0a;

/** Reads a pickle's bytes in order; a length is checked against what is left before anything is made of it. */
export class ByteReader {
  readonly #data: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(data: Uint8Array) {
    // A view of a Buffer would be a Buffer.
    this.#data = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  /** Moves past `length` bytes and returns where they began. */
  #advance(length: number): number {
    const start = this.#position;
    const left = this.#data.length - start;
    if (length > left) throw this.fail(`truncated: ${length} bytes are declared, ${left} are left`);
    this.#position = start + length;
    return start;
  }

  fail(problem: string): UnpickleError {
    return new UnpickleError(problem, { offset: this.#position });
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** The eight-byte lengths of protocols 4 and 5. */
  length64(): number {
    const length = this.#view.getBigUint64(this.#advance(8), true);
    if (length > BigInt(this.#data.length)) throw this.fail(`truncated: ${length} bytes are declared`);
    return Number(length);
  }

  /** A length of four bytes, signed in protocol 1. */
  length32(): number {
    const length = this.int32();
    if (length < 0) throw this.fail(`a negative length, ${length}`);
    return length;
  }

  /** Floats are the one big-endian thing in a pickle. */
  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  /** A view on the next bytes; it shares the pickle's memory. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#data.subarray(start, start + length);
  }

  /** Checks that a frame of protocol 4 fits; its contents are read as what follows. */
  checkFrame(length: number): void {
    const left = this.#data.length - this.#position;
    if (length > left) throw this.fail(`truncated: a frame of ${length} bytes, ${left} are left`);
  }

  /** The bytes up to the next newline, which is passed over. */
  line(): Uint8Array {
    const end = this.#data.indexOf(NEWLINE, this.#position);
    if (end < 0) throw this.fail('truncated: a line without an end');
    const line = this.#data.subarray(this.#position, end);
    this.#position = end + 1;
    return line;
  }
}
