import { UnpickleError } from './unpickle-error.js';

const NEWLINE = 0x0a;

/** Reads the bytes of a pickle in order. Checks each length against the bytes that are left before allocating for it. */
export class ByteReader {
  readonly #data: Uint8Array;
  readonly #view: DataView;
  #position = 0;

  constructor(data: Uint8Array) {
    // subarray() of a Buffer would return a Buffer.
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
    if (length > left) throw this.error(`truncated: ${length} bytes declared, ${left} left`);
    this.#position = start + length;
    return start;
  }

  error(problem: string): UnpickleError {
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

  /** An eight-byte length of protocol 4 or 5. */
  length64(): number {
    const length = this.#view.getBigUint64(this.#advance(8), true);
    if (length > BigInt(this.#data.length))
      throw this.error(`truncated: ${length} bytes declared, ${this.#data.length - this.#position} left`);
    return Number(length);
  }

  /** A four-byte length, which is signed in protocol 1. */
  length32(): number {
    const length = this.int32();
    if (length < 0) throw this.error(`a length must be >= 0, got ${length}`);
    return length;
  }

  /** A float, the only big-endian value in a pickle. */
  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  /** A view of the next bytes, which shares the pickle's memory. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#data.subarray(start, start + length);
  }

  /** Checks that a frame of protocol 4 fits. Its contents are read like all other bytes. */
  checkFrame(length: number): void {
    const left = this.#data.length - this.#position;
    if (length > left) throw this.error(`truncated: a frame of ${length} bytes declared, ${left} left`);
  }

  /** The bytes up to the next newline, which is skipped. */
  line(): Uint8Array {
    const end = this.#data.indexOf(NEWLINE, this.#position);
    if (end < 0) throw this.error('truncated: a line does not end');
    const line = this.#data.subarray(this.#position, end);
    this.#position = end + 1;
    return line;
  }
}
