// Retells ipyparallel's test_label.py.
import { expect, test } from 'vitest';
import type { Ground } from './ground.js';

export function labelScenarios(ground: () => Ground): void {
  // `label` came with ipyparallel 9; an older hub keeps it in the metadata alone.
  test('test_balanced_view, test_direct_view: the label of a call is in its record', async () => {
    const { rc } = ground();
    const label = `scenario ${rc.session.session}`;
    const balanced = rc.loadBalancedView().execute('1', { label });
    const direct = rc.directView('all').execute('2', { label });
    await Promise.all([balanced.get({ timeout: 60_000 }), direct.get({ timeout: 60_000 })]);
    const labelled = await rc.dbQuery({ 'metadata.label': label }, ['msg_id', 'metadata']);
    expect(labelled.map((record) => record.msg_id).sort()).toEqual(
      [...balanced.msgIds, ...direct.msgIds].sort(),
    );
  });
}
