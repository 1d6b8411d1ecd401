// Records for stock hubs. No request inserts records, so the configuration of the controller makes its Task Database load
// them from a file with add_record whenever the file is replaced. Records added later are in separate files, so that the
// hub does not reload all of them.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoredTask } from '@ipyparallel-js/hub/internal';
import type { Dict } from '@ipyparallel-js/protocol';
import { StockCluster, type StockVersion } from '../../clusters/stock-cluster.js';

export type RecordingStock = 'dictdb' | 'sqlitedb';

// The database checks the file before each search. Dates become datetimes with all digits, as in a message, in the columns
// and in the two headers. The controller runs in the cluster's directory.
const configuration = `
import base64, json, os
from ipyparallel.controller import dictdb, sqlitedb
from jupyter_client.jsonutil import extract_dates, parse_date

FILE = os.path.abspath('records.json')
DATES = ('submitted', 'started', 'completed', 'received')
HEADERS = ('header', 'result_header')
BUFFERS = ('buffers', 'result_buffers')

def revive(record):
    for key in DATES:
        record[key] = parse_date(record[key])
    for key in HEADERS:
        record[key] = extract_dates(record[key])
    for key in BUFFERS:
        if record[key] is not None:
            record[key] = [base64.b64decode(text) for text in record[key]]
    return record

def insert(db, path):
    with open(path, encoding='utf8') as f:
        loaded = json.load(f)
    for record in loaded['records']:
        db.add_record(record['msg_id'], revive(record))
    return loaded['generation']

def follow(cls, clear):
    def wrapped(search):
        def searching(self, *args, **kwargs):
            if not os.path.exists(FILE):
                return search(self, *args, **kwargs)
            now = os.stat(FILE)
            now = (now.st_ino, now.st_mtime_ns, now.st_size)
            if now != getattr(self, 'preloaded', None):
                clear(self)
                self.generation = insert(self, FILE)
                self.preloaded = now
                self.additions = 0
            while os.path.exists(added := os.path.abspath(f'added-{self.generation}-{self.additions}.json')):
                insert(self, added)
                self.additions += 1
            return search(self, *args, **kwargs)
        return searching
    cls.find_records = wrapped(cls.find_records)
    cls.get_history = wrapped(cls.get_history)

def clear_dict(db):
    db._records.clear()
    db._buffer_bytes = 0

follow(dictdb.DictDB, clear_dict)
follow(sqlitedb.SQLiteDB, lambda db: db._db.execute('DELETE FROM "%s"' % db.table))
c = get_config()
c.DictDB.record_limit = 1000000
`;

/** A stock controller whose Task Database contains the records loaded last. */
export class StockRecords {
  readonly version: StockVersion;
  readonly db: RecordingStock;
  readonly cluster: StockCluster;
  #generation = 0;
  #additions = 0;

  private constructor(version: StockVersion, db: RecordingStock, cluster: StockCluster) {
    this.version = version;
    this.db = db;
    this.cluster = cluster;
  }

  static async start(version: StockVersion, db: RecordingStock): Promise<StockRecords> {
    const cluster = await StockCluster.start({ version, db, config: configuration });
    return new StockRecords(version, db, cluster);
  }

  /** Replaces the records of the hub from its next search on. Returns the records as the hub stores them. */
  load(tasks: readonly StoredTask[]): StoredTask[] {
    this.#generation += 1;
    this.#additions = 0;
    this.#write('records.json', tasks);
    return tasks.map((task) => this.#storedForm(task));
  }

  /** Adds records from the next search of the hub on; the others stay. */
  add(tasks: readonly StoredTask[]): void {
    if (tasks.length === 0) return;
    this.#write(`added-${this.#generation}-${this.#additions}.json`, tasks);
    this.#additions += 1;
  }

  #write(name: string, tasks: readonly StoredTask[]): void {
    const next = join(this.cluster.directory, 'next.json');
    const records = tasks.map((task) => this.#forPython(task));
    writeFileSync(next, JSON.stringify({ generation: this.#generation, records }));
    renameSync(next, join(this.cluster.directory, name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.stop();
  }

  get #hasLabel(): boolean {
    return this.version !== '7.1';
  }

  #forPython({ label, display_data, ...task }: StoredTask): Dict {
    const base64 = (buffers: readonly Uint8Array[] | null) =>
      buffers?.map((buffer) => Buffer.from(buffer).toString('base64')) ?? null;
    return {
      ...task,
      buffers: base64(task.buffers),
      result_buffers: base64(task.result_buffers),
      ...(this.#hasLabel ? { label } : {}),
      // A hub with DictDB has this key only if the task displayed something.
      ...(this.db === 'dictdb' && display_data !== null ? { display_data } : {}),
    };
  }

  // 7.1.0 has no label. SQLiteDB has no display_data, and stores no buffers as an empty list.
  #storedForm(task: StoredTask): StoredTask {
    return {
      ...task,
      ...(this.#hasLabel ? {} : { label: null }),
      ...(this.db === 'dictdb'
        ? {}
        : {
            display_data: null,
            buffers: task.buffers ?? [],
            result_buffers: task.result_buffers ?? [],
          }),
    };
  }
}
