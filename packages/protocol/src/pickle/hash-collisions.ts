import type { Budget } from './pickle-limits.js';

// Maps and Sets are hash tables in V8. V8 hashes numbers without a secret, so an attacker can choose numbers that all fall
// into one bucket, where each new key is compared with all previous ones. Only the lowest 64 bits of a BigInt are hashed.
// Strings are hashed with a secret, so they need no charge.

/** Fewer keys are cheap even if they all collide. */
const MIN_KEYS = 1000;
const MAX_BUCKETS = 65_536;
/** A bucket holds up to this many keys by chance, at an average of four keys per bucket. */
const CHANCE_COLLISIONS = 64;

const MASK_64 = 0xffff_ffff_ffff_ffffn;
const float = new DataView(new ArrayBuffer(8));

/** Charges the comparisons that colliding keys cause in a hash table. */
export function chargeHashCollisions(keys: readonly unknown[], budget: Budget): void {
  if (keys.length < MIN_KEYS) return;
  const buckets = Math.min(2 ** Math.floor(Math.log2(keys.length / 4)), MAX_BUCKETS);
  const counts = new Uint32Array(buckets);
  const expected = CHANCE_COLLISIONS + 4 * Math.ceil(keys.length / buckets);
  for (const key of keys) {
    const hash = hashOf(key);
    if (hash === undefined) continue;
    const bucket = hash & (buckets - 1);
    const previousCount = counts[bucket] ?? 0;
    counts[bucket] = previousCount + 1;
    if (previousCount > expected) budget.countSteps(previousCount);
  }
}

/** The lowest 30 bits of V8's hash; undefined for keys that V8 hashes with a secret. */
function hashOf(key: unknown): number | undefined {
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
