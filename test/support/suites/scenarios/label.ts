// Scenarios of ipyparallel's test_label.py.
import { type DirectView, type LoadBalancedView, py } from '@ipyparallel-js/client';
import { expect, test } from 'vitest';
import { waitFor } from '../../wait-for.js';
import type { ScenarioCluster } from './scenario-cluster.js';

const half = py<number>`lambda x: x / 2`;

export function labelScenarios(cluster: () => ScenarioCluster): void {
  // ipyparallel 9 introduced `label`; an older hub stores it in the metadata only.
  test('test_balanced_view, test_direct_view: the label of a call is in its record', async () => {
    const { rc, version, controller } = cluster();
    const engines = rc.ids.length;
    const views: [view: LoadBalancedView | DirectView<'all'>, mapped: number, applied: number][] = [
      [rc.loadBalancedView(), 5, 1],
      [rc.directView('all'), engines, engines],
    ];
    for (const [i, [view, mapped, applied]] of views.entries()) {
      const mine = `scenario ${rc.session.session} ${i}`;
      const expected = Array.from({ length: mapped }, () => `${mine} map`);
      view.tempFlags({ label: `${mine} map` }, (same) => same.map(half, [1, 2, 3, 4, 5]));
      for (let n = 0; n < 5; n++) {
        view.setFlags({ label: `${mine} apply ${n}` }).apply(half, n);
        expected.push(...Array.from({ length: applied }, () => `${mine} apply ${n}`));
      }
      expect(await view.wait(undefined, { timeout: 60_000 })).toBe(true);
      const labels = [...new Set(expected)];
      const inMetadata = { 'metadata.label': { $in: labels } };
      await waitFor(async () => (await rc.dbQuery(inMetadata, 'msg_id')).length >= expected.length);
      const found = await rc.dbQuery(inMetadata, ['metadata', 'label']);
      expect(found.map(({ metadata }) => metadata?.['label']).sort()).toEqual(expected.sort());
      expect(found.map(({ msg_id }) => msg_id).sort()).toEqual([...view.history].sort());
      if (version !== '9' && controller === 'stock') continue;
      const byKey = await rc.dbQuery({ label: { $in: labels } }, ['label']);
      expect(byKey.map(({ label }) => label).sort()).toEqual(expected.sort());
    }
  });
}
