// A service that watches a query: it prints each event, resumes after a given one, and a test may kill it at any time.
import { Client, type TaskQuery, type WatchSequence } from '@ipyparallel-js/client';

interface Settings {
  readonly connection: Record<string, unknown>;
  readonly query: TaskQuery;
  readonly keys: readonly string[] | null;
  readonly after?: WatchSequence;
}

const { connection, query, keys, after } = JSON.parse(process.argv[2] ?? '') as Settings;
const rc = await Client.connect({ connectionFile: connection });
const dbQuery = keys === null ? rc.dbQuery(query) : rc.dbQuery(query, keys as ['msg_id']);
const watch = dbQuery.watch(after === undefined ? {} : { after });
const print = (event: unknown): void => console.log(JSON.stringify(event));
watch.subscribe({ next: print, error: (error: unknown) => print({ error: String(error) }) });
