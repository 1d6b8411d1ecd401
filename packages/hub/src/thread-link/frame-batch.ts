/** A multipart message between the two threads, with the number of the call that it stands for. */
export interface TaggedFrames<K extends number = number> {
  readonly kind: K;
  readonly frames: readonly Uint8Array[];
}

/**
 * Packs messages into one ArrayBuffer, which a MessagePort can transfer instead of cloning each frame.
 * Layout of a message: kind, number of frames, length of each frame (all uint32), then the bytes of the frames.
 */
export function packBatch(items: readonly TaggedFrames[]): ArrayBuffer {
  let size = 0;
  for (const { frames } of items) {
    size += 8 + 4 * frames.length;
    for (const frame of frames) size += frame.byteLength;
  }
  const packed = new ArrayBuffer(size);
  const bytes = Buffer.from(packed);
  let at = 0;
  for (const { kind, frames } of items) {
    at = bytes.writeUInt32LE(kind, at);
    at = bytes.writeUInt32LE(frames.length, at);
    for (const frame of frames) at = bytes.writeUInt32LE(frame.byteLength, at);
    for (const frame of frames) {
      bytes.set(frame, at);
      at += frame.byteLength;
    }
  }
  return packed;
}

/** Unpacks a batch. The frames are views of it: copy a frame that is stored, or the complete batch stays in memory. */
export function* unpackBatch(packed: ArrayBuffer): Generator<{ kind: number; frames: Buffer[] }> {
  const bytes = Buffer.from(packed);
  let at = 0;
  while (at < bytes.length) {
    const kind = bytes.readUInt32LE(at);
    const count = bytes.readUInt32LE(at + 4);
    let start = at + 8 + 4 * count;
    const frames: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      const length = bytes.readUInt32LE(at + 8 + 4 * i);
      frames.push(bytes.subarray(start, start + length));
      start += length;
    }
    yield { kind, frames };
    at = start;
  }
}
