import type { Client } from '@ipyparallel-js/client';
import type { TaskQuery, TaskSort } from '@ipyparallel-js/protocol';
import type { PagedQuery } from './subject.js';

/** Returns the ids with which a client replies to a query. */
export async function runOnClient(client: Client, { query, sort, ...page }: PagedQuery): Promise<string[]> {
  const records = await client.dbQuery(query as TaskQuery, {
    keys: ['msg_id'],
    ...(sort === undefined ? {} : { sort: sort as TaskSort }),
    ...page,
  });
  return records.map(({ msg_id }) => msg_id);
}
