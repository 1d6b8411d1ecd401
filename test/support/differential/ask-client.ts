import type { Client } from '@ipyparallel-js/client';
import type { TaskQuery } from '@ipyparallel-js/protocol';
import type { Question } from './subject.js';

/** The ids that a client gives for a question. */
export async function askClient(client: Client, { query }: Question): Promise<string[]> {
  const records = await client.dbQuery(query as TaskQuery, { keys: ['msg_id'] });
  return records.map(({ msg_id }) => msg_id);
}
