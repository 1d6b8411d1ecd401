// The corner cases of the query language, on every store that needs no server and through a client.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryDatabase, SqliteDatabase } from '@ipyparallel-js/hub/internal';
import { InvalidQueryError } from '@ipyparallel-js/protocol';
import { parseQuery } from '@ipyparallel-js/protocol/internal';
import { createLogger, stderrSink } from '@ipyparallel-js/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EmbeddedSubject } from '../support/generators/differential/embedded-subject.js';
import { NaiveSubject, WireSubject } from '../support/generators/differential/reference.js';
import { StoreSubject } from '../support/generators/differential/store-subject.js';
import { REFUSED_QUERIES } from '../support/generators/query-corners.js';
import { describeCorners, ofContent } from '../support/suites/corners.js';

const log = createLogger('error', stderrSink('corners'));

describe('queries that MongoDB refuses', () => {
  test.each(REFUSED_QUERIES)('%j', (query) => {
    expect(() => parseQuery(ofContent(query))).toThrow(InvalidQueryError);
  });
});

describeCorners('a naive evaluator', async () => new NaiveSubject());
describeCorners('queries in wire form', async () => new WireSubject());
describeCorners('memory', async () => new StoreSubject('memory', async () => new MemoryDatabase()));
describeCorners('a client and a controller', async () => new EmbeddedSubject());

describe('SQLite', () => {
  let location: string;
  beforeAll(() => {
    location = mkdtempSync(join(tmpdir(), 'ippjs-corners-'));
  });
  afterAll(() => rmSync(location, { recursive: true }));
  describeCorners(
    'SQLite',
    async () => new StoreSubject('SQLite', () => SqliteDatabase.open({ location }, log)),
  );
});
