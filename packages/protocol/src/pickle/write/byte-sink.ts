const FIRST_CHUNK = 1024;
const MAX_CHUNK = 256 * 1024;
/** Longer byte arrays are not copied until `join`. */
const COPY_LIMIT = 4096;

/** Collects the bytes of a pickle. */
export class ByteSink {
  readonly #chunks: Uint8Array[] = [];
  #chunk = Buffer.allocUnsafe(FIRST_CHUNK);
  /** End of the part of the chunk that is already in `#done`. */
  #storedLength = 0;
  /** End of the written part of the chunk. */
  #writtenLength = 0;

  #reserve(length: number): number {
    const at = this.#writtenLength;
    if (at + length <= this.#chunk.length) {
      this.#writtenLength = at + length;
      return at;
    }
    this.#storeChunk();
    this.#chunk = Buffer.allocUnsafe(Math.max(Math.min(2 * this.#chunk.length, MAX_CHUNK), length));
    this.#storedLength = 0;
    this.#writtenLength = length;
    return 0;
  }

  #storeChunk(): void {
    if (this.#writtenLength > this.#storedLength)
      this.#chunks.push(this.#chunk.subarray(this.#storedLength, this.#writtenLength));
    this.#storedLength = this.#writtenLength;
  }

  uint8(value: number): void {
    const at = this.#reserve(1);
    this.#chunk[at] = value;
  }

  uint16(value: number): void {
    const at = this.#reserve(2);
    this.#chunk.writeUInt16LE(value, at);
  }

  uint32(value: number): void {
    const at = this.#reserve(4);
    this.#chunk.writeUInt32LE(value, at);
  }

  int32(value: number): void {
    const at = this.#reserve(4);
    this.#chunk.writeInt32LE(value, at);
  }

  uint64(value: number): void {
    const at = this.#reserve(8);
    this.#chunk.writeBigUInt64LE(BigInt(value), at);
  }

  float64(value: number): void {
    const at = this.#reserve(8);
    this.#chunk.writeDoubleBE(value, at);
  }

  /** Writes well-formed text as UTF-8; `length` is its size in bytes. */
  text(value: string, length: number): void {
    if (length > COPY_LIMIT) {
      this.bytes(Buffer.from(value));
      return;
    }
    const at = this.#reserve(length);
    this.#chunk.write(value, at);
  }

  bytes(value: Uint8Array): void {
    if (value.length > COPY_LIMIT) {
      this.#storeChunk();
      this.#chunks.push(value);
      return;
    }
    const at = this.#reserve(value.length);
    this.#chunk.set(value, at);
  }

  /** Returns all bytes in one buffer. */
  join(): Buffer {
    this.#storeChunk();
    return Buffer.concat(this.#chunks);
  }
}
