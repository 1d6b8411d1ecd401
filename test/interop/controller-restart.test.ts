// Python engines with our controller, which is killed and restarted.
import { expect, test } from 'vitest';
import { OurController } from '../support/clusters/our-controller.js';
import { executeContent, RawClient } from '../support/fakes/raw-client.js';
import { describeStock } from '../support/python/describe-stock.js';
import { waitFor } from '../support/wait-for.js';

for (const version of ['7.1', '9'] as const)
  describeStock(version, `an engine of ipyparallel ${version}`, () => {
    test('survives our controller with its state, and the hub records the tasks that ran meanwhile', async () => {
      await using ours = await OurController.start({ version, engines: 1, controllerArgs: ['--sqlitedb'] });
      await using client = RawClient.fromFile(ours.connectionFile);
      const there = (raw: RawClient): Promise<string> =>
        waitFor(async () => (await raw.engines()).get(0), { timeout: 60_000, what: () => ours.log });
      const uuid = await there(client);
      await client.execute(uuid, 'import time; kept = 41');
      // One task ends while no controller runs, one after the restart, and one is queued in the engine.
      const code = (seconds: number): [string, object] => [
        'execute_request',
        executeContent(`time.sleep(${seconds}); kept += 1`),
      ];
      const submitted = [
        client.submit('mux', ...(code(0.7) as [string, Record<string, unknown>]), uuid),
        client.submit('mux', ...(code(2) as [string, Record<string, unknown>]), uuid),
        client.submit('task', ...(code(0) as [string, Record<string, unknown>])),
      ];
      for (const { id } of submitted) {
        await waitFor(async () => (await client.record(id))?.['engine_uuid'] === uuid);
      }
      await ours.killController();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await ours.restartController();
      await using again = RawClient.fromFile(ours.connectionFile);
      expect(await there(again)).toBe(uuid);
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
      const asked = again.submit('mux', 'execute_request', executeContent('kept'), uuid);
      expect((await asked.reply()).content).toMatchObject({ status: 'ok' });
      const [value] = await waitFor(() => {
        const values = again.published(asked.id, 'execute_result');
        return values.length > 0 && values;
      });
      expect(value?.content['data']).toMatchObject({ 'text/plain': '44' });
      const balanced = again.submit('task', 'execute_request', executeContent('1'));
      expect((await balanced.reply()).content).toMatchObject({ status: 'ok' });
    }, 180_000);
  });
