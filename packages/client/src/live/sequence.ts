import { createHash } from 'node:crypto';
import { toWireQuery } from '@ipyparallel-js/protocol/internal';
import type { RecordQuery } from '../hub/record-query.js';
import type { Place } from './live-feed.js';
import type { WatchSequence } from './watch-event.js';

/** What a sequence says. */
export interface ParsedSequence {
  /** The feed that gave it, and the place in that. */
  readonly feed: string;
  readonly number: number;
  /** The question that it belongs to. */
  readonly digest: string;
  /** The place at the hub, where there was one. */
  readonly place: Place | undefined;
}

export function formatSequence({ feed, number, digest, place }: ParsedSequence): WatchSequence {
  const within = place?.within === undefined ? '' : `:${place.within.base}:${place.within.upTo}`;
  const at = place === undefined ? '' : `:${place.epoch}:${place.seq}${within}`;
  return `${feed}:${number}:${digest}${at}`;
}

/** Undefined where it is none of ours. */
export function parseSequence(text: WatchSequence): ParsedSequence | undefined {
  const [feed, number, digest, epoch, ...numbers] = text.split(':');
  if (feed === undefined || digest === undefined) return undefined;
  const known = { feed, number: Number(number), digest };
  if (epoch === undefined) return { ...known, place: undefined };
  const [seq, base, upTo, ...more] = numbers.map(Number);
  if (![seq ?? Number.NaN, base ?? 0, upTo ?? 0].every(Number.isSafeInteger) || more.length > 0)
    return undefined;
  const within = base === undefined || upTo === undefined ? {} : { within: { base, upTo } };
  return { ...known, place: { epoch, seq: seq ?? 0, ...within } };
}

/** Another question, or other keys, have another one. */
export function digestOf({ node, keys }: RecordQuery): string {
  const text = JSON.stringify([toWireQuery(node), keys ?? null], (_, value: unknown) =>
    typeof value === 'bigint' ? `#${value}` : value,
  );
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}
