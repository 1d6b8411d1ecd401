import type { Client } from '@ipyparallel-js/client';
import type { TaskQuery, TaskSort } from '@ipyparallel-js/protocol';
import type { Question } from './subject.js';

/** Returns the ids with which a client replies to a question. */
export async function askClient(client: Client, { query, sort, ...page }: Question): Promise<string[]> {
  const records = await client.dbQuery(query as TaskQuery, {
    keys: ['msg_id'],
    ...(sort === undefined ? {} : { sort: sort as TaskSort }),
    ...page,
  });
  return records.map(({ msg_id }) => msg_id);
}
