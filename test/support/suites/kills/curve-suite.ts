// Reconnecting to a controller with CURVE, where no message passes under another key.
import { readFileSync } from 'node:fs';
import { Client, type ConnectionStatus } from '@ipyparallel-js/client';
import { expect, it } from 'vitest';
import { curveKeyPair } from 'zeromq';
import { Closing } from '../../closing.js';
import { CutProxy } from '../../fakes/cut-proxy.js';
import { Gate } from '../../gate.js';
import { waitFor } from '../../wait-for.js';
import { type KillableCluster, runs } from './killable-cluster.js';
import { Outstanding } from './outstanding.js';

const WAIT = { timeout: 60_000 };

/** Starts a cluster with one engine in this environment. */
export type StartEncrypted = (env: NodeJS.ProcessEnv) => Promise<KillableCluster>;

export function curveReconnection(start: StartEncrypted): void {
  it('with CURVE, after a cut, a restart under the same keys and one under others', {
    timeout: 300_000,
  }, async () => {
    await using closing = new Closing();
    const cluster = closing.use(await start(newKeys()));
    const info = (): Record<string, unknown> =>
      JSON.parse(readFileSync(cluster.connectionFile, 'utf8')) as Record<string, unknown>;
    const first = info();
    expect(first['curve_serverkey']).toMatch(/^.{40}$/);
    const proxy = closing.use(await CutProxy.start(first));
    const cut = await connect(closing, proxy.info);
    const direct = await connect(closing, cluster.connectionFile);
    const [id = -1] = await direct.rc.waitForEngines(1, WAIT);
    await cut.rc.waitForEngines(1, WAIT);

    // A silent cut, with one task running and one submitted during the cut.
    const outstanding = new Outstanding(cluster);
    using gate = new Gate();
    outstanding.add('under way', gate, (code) => cut.rc.directView(id).execute(code));
    await waitFor(() => runs(cluster).includes('under way'), { ...WAIT, what: 'a task to run' });
    proxy.pause();
    await waitFor(() => !cut.rc.connected, { ...WAIT, what: 'the client to notice the cut' });
    gate.open();
    outstanding.add('meanwhile', 0, (code) => cut.rc.loadBalancedView().execute(code));
    proxy.resume();
    await valuesOf(outstanding);
    // A pause of this process for two seconds also breaks the links, and the client reconnects again.
    await waitFor(() => cut.rc.connected, { ...WAIT, what: 'the client to be connected again' });
    expect(cut.states.at(-1)?.incarnation).toBeGreaterThanOrEqual(2);

    // The same keys on the same ports: both clients continue with the same engine.
    await cluster.killController();
    for (const { rc } of [cut, direct]) await waitFor(() => !rc.connected, WAIT);
    const restarted = new Outstanding(cluster);
    restarted.add('while there is none', 0, (code) => direct.rc.loadBalancedView().execute(code));
    await cluster.restartController();
    expect(info()).toEqual(first);
    restarted.add('at once', 0, (code) => cut.rc.directView(id).execute(code));
    await valuesOf(restarted);

    // Other keys: the client that reads the file again reconnects, and the client with the old key is rejected.
    await cluster.killController();
    await waitFor(() => !direct.rc.connected, WAIT);
    const renewed = new Outstanding(cluster);
    renewed.add('for another', 0, (code) => direct.rc.loadBalancedView().execute(code));
    await cluster.restartController({ newFiles: true, env: newKeys() });
    expect(info()['curve_serverkey']).not.toBe(first['curve_serverkey']);
    await waitFor(() => direct.rc.connected, { ...WAIT, what: 'the client to read the new keys' });
    const newId = await cluster.startEngine();
    await waitFor(() => direct.rc.ids.includes(newId), { ...WAIT, what: `engine ${newId}` });
    renewed.add('at the new engine', 0, (code) => direct.rc.directView(newId).execute(code));
    await valuesOf(renewed);
    expect(cut.rc.connected).toBe(false);
    for (const { rc } of [cut, direct])
      expect(rc.stats).toMatchObject({ malformed: 0, forged: 0, replayed: 0 });
  });
}

function newKeys(): NodeJS.ProcessEnv {
  const { publicKey, secretKey } = curveKeyPair();
  return { IPP_ENABLE_CURVE: '1', IPP_CURVE_PUBLICKEY: publicKey, IPP_CURVE_SECRETKEY: secretKey };
}

async function connect(
  closing: Closing,
  connectionFile: string | Readonly<Record<string, unknown>>,
): Promise<{ rc: Client; states: ConnectionStatus[] }> {
  const options = { heartbeatInterval: 1_000, reconnectTimeout: 120_000, ...WAIT };
  const rc = closing.use(await Client.connect({ connectionFile, ...options }));
  const states: ConnectionStatus[] = [];
  rc.connection$.subscribe((status) => states.push(status));
  return { rc, states };
}

async function valuesOf(outstanding: Outstanding): Promise<void> {
  for (const { name, value, message } of (await outstanding.settled(60_000)).values())
    expect(value, `${name}: ${message}`).toBe(`'${name}'`);
}
