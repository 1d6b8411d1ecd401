// Reads records from the wire without the record decoder of the library.
import type { Dict } from '@ipyparallel-js/protocol';
import type { RawClient } from '../../fakes/raw-client.js';

/** A record of an execute task. Dates are microseconds since 1970; a column that the hub does not have is null. */
export interface PlainRecord {
  readonly msg_id: string;
  readonly header: Dict;
  readonly metadata: Dict;
  readonly content: Dict;
  readonly submitted: number | null;
  readonly client_uuid: string | null;
  readonly engine_uuid: string | null;
  readonly started: number | null;
  readonly completed: number | null;
  readonly resubmitted: string | null;
  readonly received: number | null;
  readonly result_header: Dict | null;
  readonly result_metadata: Dict | null;
  readonly result_content: Dict | null;
  readonly queue: string | null;
  readonly execute_input: string | null;
  readonly execute_result: Dict | null;
  readonly error: Dict | null;
  readonly stdout: string | null;
  readonly stderr: string | null;
  readonly label: string | null;
}

/** Fetches all records of a hub with one raw query, which is equivalent to `{}` but accepted by every hub. */
export async function fetchRecords(raw: RawClient): Promise<readonly PlainRecord[]> {
  const query = { msg_id: { $ne: null } };
  const reply = await raw.submit('registration', 'db_request', { query, keys: null }).reply();
  if (reply.content.status !== 'ok') throw new Error(`the hub failed: ${JSON.stringify(reply.content)}`);
  return (reply.content.records as Dict[]).map(toPlainRecord);
}

function toPlainRecord(wire: Dict): PlainRecord {
  const { submitted, started, completed, received, execute_result, error } = wire;
  return {
    ...(wire as unknown as PlainRecord),
    submitted: micros(submitted),
    started: micros(started),
    completed: micros(completed),
    received: micros(received),
    execute_result: dict(execute_result),
    error: dict(error),
    resubmitted: (wire.resubmitted ?? null) as string | null,
    label: (wire.label ?? null) as string | null,
  };
}

function micros(text: unknown): number | null {
  if (typeof text !== 'string') return null;
  const [, second, fraction = ''] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:Z|\+00:00)$/.exec(text) ?? [];
  if (second === undefined) throw new Error(`not a date of a hub: ${text}`);
  return Date.parse(`${second}Z`) * 1_000 + Number(fraction.padEnd(6, '0'));
}

/** SQLite hubs send these two columns as JSON text. */
function dict(value: unknown): Dict | null {
  return typeof value === 'string' ? (JSON.parse(value) as Dict) : ((value ?? null) as Dict | null);
}
