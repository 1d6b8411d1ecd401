import type { Collection } from 'mongodb';
import type { Driver } from './driver.js';
import type { ExternalValue } from './task-document.js';

/** A part of a value. Its `_id` is the id of the value and the number of the part, so that writes are idempotent. */
export interface PartDocument {
  readonly _id: string;
  readonly value: string;
  readonly n: number;
  readonly data: unknown;
}

const PART_SIZE = 4 << 20;
const MAX_IDS = 1000;

/**
 * Stores values that do not fit into the document of a task in the collection `task_records.parts`. Values are written
 * before the document that refers to them, and removed after it. A crash may leave parts without a document, but never a
 * document without its parts.
 */
export class ExternalValues {
  readonly #parts: Collection<PartDocument>;
  readonly #driver: Driver;

  constructor(parts: Collection<PartDocument>, driver: Driver) {
    this.#parts = parts;
    this.#driver = driver;
  }

  newId(): string {
    return new this.#driver.ObjectId().toHexString();
  }

  /** Writes a value, or appends to the value `existing`. Idempotent. */
  async write(id: string, pieces: readonly Uint8Array[], existing?: ExternalValue): Promise<ExternalValue> {
    let n = existing?.parts ?? 0;
    let bytes = existing?.bytes ?? 0;
    for (const data of divideIntoParts(pieces)) {
      await this.#writePart({ _id: `${id}:${n}`, value: id, n, data });
      n++;
      bytes += data.byteLength;
    }
    return { id, parts: n, bytes };
  }

  async #writePart(part: PartDocument): Promise<void> {
    try {
      await this.#parts.insertOne(part);
    } catch (error) {
      // An interrupted attempt has left this part.
      if (!(error instanceof this.#driver.MongoServerError) || error.code !== 11_000) throw error;
      await this.#parts.replaceOne({ _id: part._id }, part);
    }
  }

  /** Reads the bytes of a value; returns undefined if a part is missing. */
  async read({ id, parts }: ExternalValue): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    // Read only the parts that the reference counts: a crash may have left more of them.
    for (let at = 0; at < parts; at += MAX_IDS) {
      const until = Math.min(at + MAX_IDS, parts);
      const ids = Array.from({ length: until - at }, (_, i) => `${id}:${at + i}`);
      const found = new Map<string, Buffer>();
      for await (const { _id, data } of this.#parts.find({ _id: { $in: ids } }, { batchSize: 4 })) {
        if (data instanceof Uint8Array)
          found.set(_id, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
      }
      for (const part of ids) {
        const piece = found.get(part);
        if (piece === undefined) return undefined;
        pieces.push(piece);
      }
    }
    return Buffer.concat(pieces);
  }

  async remove(values: Iterable<ExternalValue>): Promise<void> {
    for (const { id, parts } of values) {
      for (let at = 0; at < parts; at += MAX_IDS) {
        const length = Math.min(MAX_IDS, parts - at);
        const ids = Array.from({ length }, (_, i) => `${id}:${at + i}`);
        const { deletedCount } = await this.#parts.deleteMany({ _id: { $in: ids } });
        // No part was found, so the rest was removed before or never written.
        if (deletedCount === 0) break;
      }
    }
  }
}

/** Divides the concatenated pieces into parts of equal size. Slices large pieces without copying them completely. */
function* divideIntoParts(pieces: readonly Uint8Array[]): Generator<Buffer> {
  let pending: Uint8Array[] = [];
  let size = 0;
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.byteLength) {
      const slice = piece.subarray(at, at + PART_SIZE - size);
      pending.push(slice);
      at += slice.byteLength;
      size += slice.byteLength;
      if (size === PART_SIZE) {
        yield Buffer.concat(pending);
        pending = [];
        size = 0;
      }
    }
  }
  if (size > 0) yield Buffer.concat(pending);
}
