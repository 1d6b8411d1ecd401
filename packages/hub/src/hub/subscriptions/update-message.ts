import type { Dict } from '@ipyparallel-js/protocol';
import type { Reply } from '../requests/reply.js';
import type { Feed } from './feed.js';
import type { FeedChange } from './feed-history.js';

const JSON_COMMA = Buffer.from(',');

/** Makes a `subscription_update` or a `subscription_sync_reply` of changes that were packed once for all subscribers. */
export function updateMessage(
  head: Dict & { readonly seq: number },
  feed: Feed,
  changes: readonly FeedChange[],
): Reply {
  const sets = changes.flatMap(({ buffers }) => buffers ?? []);
  const lengths = (key: 'buffers' | 'result_buffers'): number[] | null =>
    feed.bufferColumns.includes(key) ? sets.map((set) => set[key].length) : null;
  const lens = { buffer_lens: lengths('buffers'), result_buffer_lens: lengths('result_buffers') };
  const buffers = sets.flatMap((set) => [...set.buffers, ...set.result_buffers]);
  const content: Dict = { ...head, changes: changes.map(({ change }) => change), ...lens };
  if (changes.some(({ packed }) => packed === undefined)) return { content, buffers };
  const parts: Uint8Array[] = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"changes":[`, 'utf8')];
  changes.forEach(({ packed }, i) => {
    if (i > 0) parts.push(JSON_COMMA);
    if (packed !== undefined) parts.push(packed);
  });
  parts.push(Buffer.from(`],${JSON.stringify(lens).slice(1)}`, 'utf8'));
  return { content: {}, packedContent: Buffer.concat(parts), buffers };
}
