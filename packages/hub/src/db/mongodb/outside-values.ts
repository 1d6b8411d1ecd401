import type { Collection } from 'mongodb';
import type { OutsideValue } from './document.js';
import type { Driver } from './driver.js';

/** A piece of a value: `_id` is the value's id and the piece's number, so that writing it twice changes nothing. */
export interface PartDocument {
  readonly _id: string;
  readonly value: string;
  readonly n: number;
  readonly data: unknown;
}

const PART_SIZE = 4 << 20;
const IDS_AT_ONCE = 1000;

/**
 * Values that do not fit into a task's document, in a collection of their own (`task_records.parts`). They are written
 * before the document that names them, and removed after it: a crash leaves parts without a document, never a document
 * without its parts.
 */
export class OutsideValues {
  readonly #parts: Collection<PartDocument>;
  readonly #driver: Driver;

  constructor(parts: Collection<PartDocument>, driver: Driver) {
    this.#parts = parts;
    this.#driver = driver;
  }

  newId(): string {
    return new this.#driver.ObjectId().toHexString();
  }

  /** Writes a value, or what is appended to one. Repeating it is harmless. */
  async write(id: string, pieces: readonly Uint8Array[], before?: OutsideValue): Promise<OutsideValue> {
    let n = before?.parts ?? 0;
    let bytes = before?.bytes ?? 0;
    for (const data of partsOf(pieces)) {
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
      // Left by an attempt that was interrupted.
      if (!(error instanceof this.#driver.MongoServerError) || error.code !== 11_000) throw error;
      await this.#parts.replaceOne({ _id: part._id }, part);
    }
  }

  /** The bytes of a value; undefined if a part of it is not there. */
  async read({ id, parts }: OutsideValue): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    // Parts that are not named any more have a crash behind them: only those that are named are read.
    for (let at = 0; at < parts; at += IDS_AT_ONCE) {
      const until = Math.min(at + IDS_AT_ONCE, parts);
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

  async remove(values: Iterable<OutsideValue>): Promise<void> {
    for (const { id, parts } of values) {
      for (let at = 0; at < parts; at += IDS_AT_ONCE) {
        const length = Math.min(IDS_AT_ONCE, parts - at);
        const ids = Array.from({ length }, (_, i) => `${id}:${at + i}`);
        const { deletedCount } = await this.#parts.deleteMany({ _id: { $in: ids } });
        // What is not there has been removed before, or never was.
        if (deletedCount === 0) break;
      }
    }
  }
}

/** The pieces laid end to end, cut anew. Small ones are joined, large ones sliced without a copy of the whole. */
function* partsOf(pieces: readonly Uint8Array[]): Generator<Buffer> {
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
