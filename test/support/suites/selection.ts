// Actions on the tasks that a query selects: wait, results, resubmit, purge.
import type { Client } from '@ipyparallel-js/client';
import { type Dict, RemoteError } from '@ipyparallel-js/protocol';
import { expect, it } from 'vitest';
import { executeContent, type RawClient } from '../fakes/raw-client.js';
import { Gate } from '../gate.js';
import { waitFor } from '../wait-for.js';

export interface SelectionSubject {
  readonly rc: Client;
  /** Submits tasks with any metadata, which our views cannot. */
  readonly raw: RawClient;
  readonly language: 'python' | 'javascript';
  /** Whether records have labels. */
  readonly label: boolean;
}

export function selectionTests(subject: () => SelectionSubject, kind: 'ours' | 'stock'): void {
  const mine = (raw: RawClient) => ({ client_uuid: raw.session.session }) as const;

  /** Submits load-balanced tasks; resolves when the hub has a record of each. */
  async function submit(raw: RawClient, codes: readonly string[], metadata: Dict = {}): Promise<string[]> {
    const { rc } = subject();
    // After a failure, a Python engine would otherwise abort the tasks that arrive within 0.1 s.
    const options = { stop_on_error: false };
    const ids = codes.map(
      (code) =>
        raw.submit('task', 'execute_request', executeContent(code, options), undefined, { metadata }).id,
    );
    // A Python hub may create a record from the output of a task before it has processed the request.
    const submitted = { ...mine(raw), msg_id: { $in: ids } };
    await waitFor(async () => (await rc.dbQuery(submitted, []).count()) === ids.length, {
      what: 'the records of the tasks',
    });
    return ids;
  }

  /** Waits until the hub has recorded the ends of tasks and their results, which are the last output of each. */
  async function recorded(ids: readonly string[]): Promise<void> {
    const { rc } = subject();
    const ended = { msg_id: { $in: ids }, completed: { $ne: null }, execute_result: { $ne: null } };
    await waitFor(async () => (await rc.dbQuery(ended, []).count()) === ids.length, {
      timeout: 60_000,
      what: 'the ends and results of the tasks',
    });
  }

  /** Ends when the gate opens. */
  const behind = (gate: Gate, language: string, code: string): string =>
    `${language === 'python' ? gate.python : gate.javascript}${code}`;
  const fails = (language: string): string => (language === 'python' ? '1/0' : 'throw new RangeError("no")');

  it('waits for all matches, and returns their results in the order of the query', async () => {
    const { rc, raw, language } = subject();
    using first = new Gate();
    const ids = await submit(raw, ['1 + 1', behind(first, language, '3'), '5']);
    const query = rc.dbQuery({ ...mine(raw), msg_id: { $in: ids } }, { keys: [], sort: { msg_id: 1 } });
    const results = await query.results();
    first.open();
    expect(results.msgIds).toEqual([...ids].sort());
    const texts = (await results.get({ timeout: 60_000 })).map((reply) => (reply as { text: string }).text);
    expect(texts).toEqual(['2', '3', '5']);
    expect(await query.wait({ timeout: 60_000 })).toBe(true);
    using second = new Gate();
    const more = await submit(raw, [behind(second, language, '1'), behind(second, language, '2')]);
    const unfinished = rc.dbQuery({ msg_id: { $in: more }, completed: null }, []);
    expect(await unfinished.wait({ timeout: 0 })).toBe(false);
    second.open();
    expect(await unfinished.wait({ timeout: 60_000 })).toBe(true);
    expect(await unfinished.count()).toBe(0);
    expect(await (await unfinished.results()).get()).toEqual([]);
  });

  it('runs matches again, and reports dropped metadata', async () => {
    const { rc, raw, language, label } = subject();
    const [target] = rc.engines.values();
    const metadata = {
      ...{ targets: [target], retries: 1, after: [], follow: [], timeout: 0 },
      ...(label ? { label: 'again' } : {}),
    };
    const ids = await submit(raw, [fails(language), fails(language)], metadata);
    expect(await rc.getResult(ids).wait({ timeout: 60_000 })).toBe(true);
    const failed = rc.dbQuery({ msg_id: { $in: ids }, 'result_content.status': 'error' }, 'metadata');
    expect(await failed.count()).toBe(2);
    const resubmitted = await failed.resubmit();
    expect(resubmitted.msgIds).toHaveLength(2);
    expect(await resubmitted.wait({ timeout: 60_000 })).toBe(true);
    await expect(resubmitted.get()).rejects.toMatchObject({
      errors: [expect.any(RemoteError), expect.any(RemoteError)],
    });
    const records = await rc.dbQuery({ msg_id: { $in: resubmitted.msgIds } }, ['metadata', 'client_uuid']);
    expect(records.map(({ client_uuid }) => client_uuid)).toEqual(Array(2).fill(raw.session.session));
    const old = await rc.dbQuery({ msg_id: { $in: ids } }, { keys: 'resubmitted', sort: { msg_id: 1 } });
    expect(new Set(old.map(({ resubmitted }) => resubmitted))).toEqual(new Set(resubmitted.msgIds));
    if (kind === 'ours') {
      expect(resubmitted.dropped.size).toBe(0);
      for (const record of records) expect(record.metadata).toMatchObject(metadata);
    } else {
      for (const record of records) expect(record.metadata).toEqual({});
      const lost = ['targets', 'retries', ...(label ? ['label'] : [])].sort();
      for (const id of resubmitted.msgIds)
        expect([...(resubmitted.dropped.get(id) ?? [])].sort()).toEqual(lost);
    }
    // The same holds for single tasks.
    const single = await rc.resubmit(String(ids[0]));
    expect(single.dropped.size).toBe(kind === 'ours' ? 0 : 1);
    expect(await single.wait({ timeout: 60_000 })).toBe(true);
  });

  it('runs matches again with their metadata, with restore', async () => {
    const { rc, raw, language } = subject();
    const [target] = rc.engines.values();
    const metadata = { targets: [target], retries: 0, after: [], follow: [], timeout: 0 };
    const [id = ''] = await submit(raw, ['6 * 7'], metadata);
    expect(await rc.getResult(id).wait({ timeout: 60_000 })).toBe(true);
    const resubmitted = await rc.dbQuery({ msg_id: id }).resubmit({ restore: true });
    expect(resubmitted.dropped.size).toBe(0);
    expect(await resubmitted.get({ timeout: 60_000 })).toMatchObject([{ text: '42' }]);
    const record = await waitFor(async () =>
      rc
        .dbQuery({ msg_id: { $in: resubmitted.msgIds }, completed: { $ne: null } }, [
          'metadata',
          'client_uuid',
          'engine_uuid',
        ])
        .first(),
    );
    expect(record.metadata).toMatchObject({ targets: [target] });
    expect(record.engine_uuid).toBe(target);
    expect(record.client_uuid).toBe(kind === 'ours' ? raw.session.session : rc.session.session);
    // A direct task returns to its engine.
    const direct = rc.directView(rc.ids[1] ?? 1).execute(language === 'python' ? '"direct"' : "'direct'");
    await direct.get({ timeout: 60_000 });
    await recorded(direct.msgIds);
    const back = await rc.resubmit(direct, { restore: true });
    expect(await back.get({ timeout: 60_000 })).toMatchObject([
      { engineUuid: rc.engines.get(rc.ids[1] ?? 1) },
    ]);
    await expect(rc.resubmit(['nope'], { restore: true })).rejects.toMatchObject({ code: 'TASK_NOT_FOUND' });
  });

  it('purges ended tasks at the hub and in the client, and leaves the rest', async () => {
    const { rc, raw, language } = subject();
    const done = await submit(raw, ['1', '2', '3']);
    expect(await rc.getResult(done).wait({ timeout: 60_000 })).toBe(true);
    // A Python hub stores output that arrives after a purge in a new record.
    await recorded(done);
    using gate = new Gate();
    const running = await submit(raw, [behind(gate, language, '4')]);
    const query = rc.dbQuery({ msg_id: { $in: [...done, ...running] } });
    const dryRunReport = await query.purge({ dryRun: true });
    expect(dryRunReport).toMatchObject({ count: 3, pending: 1, dryRun: true });
    const report = await query.purge();
    expect(report).toMatchObject({ count: 3, pending: 1, bytes: dryRunReport.bytes, dryRun: false });
    expect([...(report.msgIds ?? [])].sort()).toEqual([...done].sort());
    expect(
      (await rc.dbQuery({ msg_id: { $in: [...done, ...running] } }, [])).map(({ msg_id }) => msg_id),
    ).toEqual(running);
    gate.open();
    await recorded(running);
    expect(await query.purge()).toMatchObject({ count: 1, pending: 0 });
  });
}
