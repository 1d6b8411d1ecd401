import { Client } from '@ipyparallel-js/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Closing } from '../support/closing.js';
import type { RawClient } from '../support/raw-client.js';
import { answerAll, type RawEngine } from '../support/raw-engine.js';
import { TestController } from '../support/test-controller.js';
import { WatchReplay } from '../support/watch-replay.js';

const KEYS = ['engine_uuid', 'completed', 'result_content', 'resubmitted', 'label'] as const;

describe('a live query on our controller', () => {
  const closing = new Closing();
  let engine: RawEngine;
  let other: RawClient;
  let rc: Client;
  beforeAll(async () => {
    const controller = closing.use(await TestController.start());
    engine = await controller.engine({ onTask: answerAll });
    other = await controller.client();
    rc = closing.use(await Client.connect({ connectionFile: controller.controller.clientFile }));
    await rc.waitForEngines(1);
  });
  afterAll(async () => {
    await closing.close();
  });

  it('tells what enters and what becomes of it, and agrees with the database', async () => {
    const replay = new WatchReplay(rc.dbQuery({}, KEYS).watch());
    await replay.begun();
    for (let i = 0; i < 50; i++)
      other.send('mux', other.session.rawMessage('apply_request', {}), engine.uuid);
    await replay.until(
      () =>
        replay.known.size === 50 && [...replay.known.values()].every((told) => told.status === 'completed'),
      '50 completed tasks',
    );
    await replay.agrees(() => rc.dbQuery({}, KEYS));
    expect(replay.counts).toMatchObject({ entered: 50, left: 0 });
    replay.stop();
  });
});
