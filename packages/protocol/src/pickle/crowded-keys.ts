import type { Budget } from './pickle-limits.js';

// The keys of a Map and the elements of a Set lie in V8's hash table, and the hash of a number is no secret: who knows it
// can make numbers that all lie in one place, where each new one is compared with all before it. Of a BigInt the lowest 64
// bits alone decide. Texts are hashed with a secret.

/** Fewer can lie as they will. */
const FEWEST = 1000;
const MOST_PLACES = 65_536;
/** So many in one place come by chance where there are four of them to a place. */
const BY_CHANCE = 64;

const MASK_64 = 0xffff_ffff_ffff_ffffn;
const float = new DataView(new ArrayBuffer(8));

/** Pays for the comparisons that keys in one place of a hash table cost. */
export function chargeCrowdedKeys(keys: readonly unknown[], budget: Budget): void {
  if (keys.length < FEWEST) return;
  const places = Math.min(2 ** Math.floor(Math.log2(keys.length / 4)), MOST_PLACES);
  const counts = new Uint32Array(places);
  const expected = BY_CHANCE + 4 * Math.ceil(keys.length / places);
  for (const key of keys) {
    const hash = hashOf(key);
    if (hash === undefined) continue;
    const place = hash & (places - 1);
    const before = counts[place] ?? 0;
    counts[place] = before + 1;
    if (before > expected) budget.step(before);
  }
}

/** As V8 has it, its lowest 30 bits; undefined for what it hashes with a secret. */
export function hashOf(key: unknown): number | undefined {
  if (typeof key === 'bigint') return hashOf64(BigInt.asUintN(64, key < 0n ? -key : key));
  if (typeof key !== 'number') return undefined;
  if ((key | 0) === key) return hashOf32(key);
  float.setFloat64(0, key);
  return hashOf64(float.getBigUint64(0));
}

function hashOf32(key: number): number {
  let hash = (~key + (key << 15)) | 0;
  hash ^= hash >>> 12;
  hash = (hash + (hash << 2)) | 0;
  hash ^= hash >>> 4;
  hash = Math.imul(hash, 2057);
  hash ^= hash >>> 16;
  return hash & 0x3fff_ffff;
}

function hashOf64(key: bigint): number {
  let hash = (~key + (key << 18n)) & MASK_64;
  hash ^= hash >> 31n;
  hash = (hash * 21n) & MASK_64;
  hash ^= hash >> 11n;
  hash = (hash + (hash << 6n)) & MASK_64;
  hash ^= hash >> 22n;
  return Number(hash & 0x3fff_ffffn);
}
