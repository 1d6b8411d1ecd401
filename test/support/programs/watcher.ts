// A service that follows a query: it says each event, resumes where it is told, and is killed whenever a test likes.
import { Client, type TaskQuery, type WatchSequence } from '@ipyparallel-js/client';

interface Orders {
  readonly connection: Record<string, unknown>;
  readonly query: TaskQuery;
  readonly keys: readonly string[] | null;
  readonly after?: WatchSequence;
}

const { connection, query, keys, after } = JSON.parse(process.argv[2] ?? '') as Orders;
const rc = await Client.connect({ connectionFile: connection });
const asked = keys === null ? rc.dbQuery(query) : rc.dbQuery(query, keys as ['msg_id']);
const watch = asked.watch(after === undefined ? {} : { after });
const say = (event: unknown): void => console.log(JSON.stringify(event));
watch.subscribe({ next: say, error: (error: unknown) => say({ error: String(error) }) });
