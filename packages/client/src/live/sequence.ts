import { createHash } from 'node:crypto';
import { toWireQuery } from '@ipyparallel-js/protocol/internal';
import type { RecordQuery } from '../hub/record-query.js';
import type { WatchSequence } from './watch-event.js';

/** A position in the change log of one run of a hub. */
export interface HubPosition {
  readonly epoch: string;
  readonly seq: number;
  /** Set within an update: the update covers the positions after `base`, up to `upTo`. */
  readonly within?: { readonly base: number; readonly upTo: number };
}

/** The parts of a sequence. */
export interface ParsedSequence {
  /** The id of the feed that issued the sequence, and the position in that feed. */
  readonly feed: string;
  readonly number: number;
  /** The digest of the query to which the sequence belongs. */
  readonly digest: string;
  /** The position at the hub, if the source had one. */
  readonly position: HubPosition | undefined;
}

export function formatSequence({ feed, number, digest, position }: ParsedSequence): WatchSequence {
  const within = position?.within === undefined ? '' : `:${position.within.base}:${position.within.upTo}`;
  const at = position === undefined ? '' : `:${position.epoch}:${position.seq}${within}`;
  return `${feed}:${number}:${digest}${at}`;
}

/** Parses a sequence. @returns undefined for text of another format */
export function parseSequence(text: WatchSequence): ParsedSequence | undefined {
  const [feed, number, digest, epoch, ...numbers] = text.split(':');
  if (feed === undefined || digest === undefined) return undefined;
  const parts = { feed, number: Number(number), digest };
  if (epoch === undefined) return { ...parts, position: undefined };
  const [seq, base, upTo, ...more] = numbers.map(Number);
  if (![seq ?? Number.NaN, base ?? 0, upTo ?? 0].every(Number.isSafeInteger) || more.length > 0)
    return undefined;
  const within = base === undefined || upTo === undefined ? {} : { within: { base, upTo } };
  return { ...parts, position: { epoch, seq: seq ?? 0, ...within } };
}

/** The digest of a query's condition and keys. A position is valid for queries with the same digest only. */
export function digestOf({ node, keys }: RecordQuery): string {
  const text = JSON.stringify([toWireQuery(node), keys ?? null], (_, value: unknown) =>
    typeof value === 'bigint' ? `#${value}` : value,
  );
  return createHash('sha256').update(text).digest('base64url').slice(0, 16);
}
