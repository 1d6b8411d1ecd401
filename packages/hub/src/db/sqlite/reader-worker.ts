import { parentPort, workerData } from 'node:worker_threads';
import type { TaskKey } from '@ipyparallel-js/protocol';
import { messageOf } from '../../common/errors.js';
import { loadDriver, sqliteCode } from './driver.js';
import { JsonPageReader } from './json-page-reader.js';
import { Layout } from './layout.js';
import type { ReaderData, ReaderReply, ReaderRequest } from './reader-pool.js';
import { TaskReader } from './task-reader.js';

/** Target size of a chunk of rows in bytes, and limits of its number of rows. */
const CHUNK_BYTES = 1 << 19;
const MAX_ROWS = 512;
const FIRST_ROWS = 64;

interface Cursor {
  readonly rowids: readonly number[];
  readonly keys: readonly TaskKey[];
  /** Index of the next rowid to read. */
  position: number;
  /** Number of rows of the next chunk. */
  chunkRows: number;
}

const port = parentPort;
if (port === null) throw new Error('reader-worker must run in a worker thread');

const { file, table, columns, timeout, cacheKiB } = workerData as ReaderData;
const open = await loadDriver();
const connection = open(file, { timeout });
connection.exec(`PRAGMA query_only = 1; PRAGMA cache_size = -${cacheKiB}`);
const post = (reply: ReaderReply): void => {
  const cells = reply.rows?.cells.buffer;
  port.postMessage(reply, cells === undefined ? [] : [cells]);
};
const layout = new Layout(table, columns);
const onUnreadableRow = (row: string, problem: string): void => post({ id: 0, unreadable: { row, problem } });
const reader = new TaskReader(connection, layout, onUnreadableRow);
const pageReader = new JsonPageReader(connection, layout, reader, onUnreadableRow);
const cursors = new Map<number, Cursor>();

function postChunk(id: number): void {
  const cursor = cursors.get(id);
  const ids = cursor?.rowids.slice(cursor.position, cursor.position + cursor.chunkRows) ?? [];
  if (cursor === undefined || ids.length === 0) {
    cursors.delete(id);
    post({ id });
    return;
  }
  cursor.position += ids.length;
  const rows = reader.readRows(ids, cursor.keys);
  const rowBytes = rows.cells.byteLength / ids.length;
  cursor.chunkRows = Math.max(1, Math.min(MAX_ROWS, Math.floor(CHUNK_BYTES / Math.max(rowBytes, 1))));
  post({ id, rows });
}

async function handleRequest(request: ReaderRequest): Promise<void> {
  const { id } = request;
  switch (request.op) {
    case 'search': {
      const rowids = await reader.findRowids(request.search);
      cursors.set(id, { rowids, keys: request.keys, position: 0, chunkRows: FIRST_ROWS });
      postChunk(id);
      return;
    }
    case 'next':
      postChunk(id);
      return;
    case 'end':
      cursors.delete(id);
      return;
    case 'page': {
      const page = await pageReader.readPage(request.search);
      const transferable = page.json.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : []));
      port?.postMessage({ id, page } satisfies ReaderReply, [...new Set(transferable)]);
      return;
    }
    case 'count':
      post({ id, count: await reader.count(request.query) });
      return;
    case 'tasks':
      post({ id, rows: reader.readTasks(request.msgIds, request.keys) });
      return;
    case 'history':
      post({ id, rows: reader.readHistory() });
      return;
    case 'checkpoint':
      reader.checkpoint();
      post({ id });
      return;
    case 'close':
      reader.close();
      port?.close();
  }
}

port.on('message', (request: ReaderRequest) => {
  handleRequest(request).catch((error: unknown) => {
    cursors.delete(request.id);
    post({ id: request.id, failure: { code: sqliteCode(error), message: messageOf(error) } });
  });
});
