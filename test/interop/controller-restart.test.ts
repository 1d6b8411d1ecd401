// Python engines with our controller, which is killed and restarted.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OurController } from '../support/clusters/our-controller.js';
import { executeContent, RawClient } from '../support/fakes/raw-client.js';
import { Gate } from '../support/gate.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

for (const version of ['7.1', '9'] as const)
  describeStock(version, `an engine of ipyparallel ${version}`, () => {
    test('survives our controller with its state, and the hub records the tasks that ran meanwhile', async () => {
      await using ours = await OurController.start({ version, engines: 1, controllerArgs: ['--sqlitedb'] });
      await using client = RawClient.fromFile(ours.connectionFile);
      const there = (raw: RawClient): Promise<string> =>
        waitFor(async () => (await raw.engines()).get(0), { timeout: 120_000, what: () => ours.log });
      const uuid = await there(client);
      await client.execute(uuid, 'import time; kept = 41');
      // One task ends while no controller runs, one after the restart, and one is queued in the engine.
      using meanwhile = new Gate();
      using later = new Gate();
      const ended = join(ours.directory, 'ended');
      const note = `open(${JSON.stringify(ended)}, 'w').close()`;
      const submitted = [
        client.submit(
          'mux',
          'execute_request',
          executeContent(`${meanwhile.python}kept += 1\n${note}`),
          uuid,
        ),
        client.submit('mux', 'execute_request', executeContent(`${later.python}kept += 1`), uuid),
        client.submit('task', 'execute_request', executeContent('kept += 1')),
      ];
      for (const { id } of submitted) {
        await waitFor(async () => (await client.record(id))?.['engine_uuid'] === uuid);
      }
      await ours.killController();
      meanwhile.open();
      await waitFor(() => existsSync(ended), { what: 'the first task to end' });
      await ours.restartController();
      await using again = RawClient.fromFile(ours.connectionFile);
      expect(await there(again)).toBe(uuid);
      later.open();
      for (const { id } of submitted) {
        const record = await waitFor(
          async () => {
            const found = await again.record(id);
            return typeof found?.['completed'] === 'string' && found;
          },
          { what: () => `the record of ${id}`, timeout: 60_000 },
        );
        expect(record).toMatchObject({ result_content: { status: 'ok' } });
      }
      // The test reads the value from the reply, because the engine's socket for output may be connected later.
      const values = executeContent('', { user_expressions: { kept: 'kept' } });
      const reply = await again.submit('mux', 'execute_request', values, uuid).reply();
      expect(reply.content).toMatchObject({
        status: 'ok',
        user_expressions: { kept: { status: 'ok', data: { 'text/plain': '44' } } },
      });
      const balanced = again.submit('task', 'execute_request', executeContent('1'));
      expect((await balanced.reply()).content).toMatchObject({ status: 'ok' });
    });
  });
