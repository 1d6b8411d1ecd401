import { parentPort, workerData } from 'node:worker_threads';
import type { TaskKey } from '@ipyparallel-js/protocol';
import { loadDriver, sqliteCode } from './driver.js';
import { Layout } from './layout.js';
import type { ReaderAnswer, ReaderData, ReaderRequest } from './reader-thread.js';
import { messageOf, TaskReader } from './task-reader.js';

/** About how many bytes a chunk of rows is to have, and how many rows at most. */
const CHUNK_BYTES = 1 << 19;
const CHUNK_ROWS = 512;
const FIRST_ROWS = 64;

interface Cursor {
  readonly rowids: readonly number[];
  readonly keys: readonly TaskKey[];
  at: number;
  rows: number;
}

const port = parentPort;
if (port === null) throw new Error('reader-worker runs as a worker thread only');

const { file, table, columns, timeout, cacheKiB } = workerData as ReaderData;
const open = await loadDriver();
const connection = open(file, { timeout });
connection.exec(`PRAGMA query_only = 1; PRAGMA cache_size = -${cacheKiB}`);
const tell = (answer: ReaderAnswer): void => {
  const cells = answer.rows?.cells.buffer;
  port.postMessage(answer, cells === undefined ? [] : [cells]);
};
const reader = new TaskReader(connection, new Layout(table, columns), (row, problem) =>
  tell({ id: 0, bad: { row, problem } }),
);
const cursors = new Map<number, Cursor>();

function next(id: number): void {
  const cursor = cursors.get(id);
  const ids = cursor?.rowids.slice(cursor.at, cursor.at + cursor.rows) ?? [];
  if (cursor === undefined || ids.length === 0) {
    cursors.delete(id);
    tell({ id });
    return;
  }
  cursor.at += ids.length;
  const rows = reader.rows(ids, cursor.keys);
  const each = rows.cells.byteLength / ids.length;
  cursor.rows = Math.max(1, Math.min(CHUNK_ROWS, Math.floor(CHUNK_BYTES / Math.max(each, 1))));
  tell({ id, rows });
}

async function answer(request: ReaderRequest): Promise<void> {
  const { id } = request;
  switch (request.op) {
    case 'search': {
      const rowids = await reader.matches(request.search);
      cursors.set(id, { rowids, keys: request.keys, at: 0, rows: FIRST_ROWS });
      next(id);
      return;
    }
    case 'next':
      next(id);
      return;
    case 'end':
      cursors.delete(id);
      return;
    case 'page': {
      const page = await reader.page(request.search);
      const own = page.json.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : []));
      port?.postMessage({ id, page } satisfies ReaderAnswer, [...new Set(own)]);
      return;
    }
    case 'count':
      tell({ id, count: await reader.count(request.query) });
      return;
    case 'tasks':
      tell({ id, rows: reader.tasks(request.msgIds, request.keys) });
      return;
    case 'history':
      tell({ id, rows: reader.history() });
      return;
    case 'checkpoint':
      reader.checkpoint();
      tell({ id });
      return;
    case 'close':
      reader.close();
      port?.close();
  }
}

port.on('message', (request: ReaderRequest) => {
  answer(request).catch((error: unknown) => {
    cursors.delete(request.id);
    tell({ id: request.id, failure: { code: sqliteCode(error), message: messageOf(error) } });
  });
});
