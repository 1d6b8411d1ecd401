import { parentPort, workerData } from 'node:worker_threads';
import { IpyparallelError, Session } from '@ipyparallel-js/protocol';
import { createLogger } from '@ipyparallel-js/wire';
import { systemClock } from '../clock.js';
import { openDatabase } from '../db/open-database.js';
import type { TaskDatabase } from '../db/task-database.js';
import { receiveForHub, SchedulersLink } from '../link/hub-port.js';
import { EngineStateFile } from './engine-state.js';
import { Hub } from './hub.js';
import type { HubThreadData, HubThreadNotice } from './hub-thread.js';

const port = parentPort;
if (port === null) throw new Error('hub-worker runs as a worker thread only');

const data = workerData as HubThreadData;
const tell = (notice: HubThreadNotice): void => port.postMessage(notice);
const log = createLogger(data.logLevel, (level, line) => tell({ type: 'log', level, line: `hub: ${line}` }));
const clock = systemClock();
const { key, pack, unpack, signatureScheme } = data;
const session = new Session({ key, pack, unpack, signatureScheme, now: clock.now, pid: process.pid });

/** An error loses its class on the way to another thread: those with a code are told as what they are. */
async function open(): Promise<TaskDatabase> {
  try {
    return await openDatabase(data.db, { log, session: session.session });
  } catch (error) {
    if (error instanceof IpyparallelError) tell({ type: 'failed', code: error.code, message: error.message });
    throw error;
  }
}

const engineState = new EngineStateFile(data.engineStateFile, log);
// Those of a run before that was killed are none of ours.
if (!data.reuse) await engineState.remove().catch(() => undefined);
const hub = new Hub({
  session,
  schedulers: new SchedulersLink(port),
  db: await open(),
  connectionInfo: data.connectionInfo,
  hbPeriod: data.hbPeriod,
  registrationTimeout: data.registrationTimeout,
  subscriptions: data.subscriptions,
  log,
  clock,
  engineState,
  reuse: data.reuse,
});
if (data.reuse) await hub.takeUp({ restore: data.restore });

port.on('message', (message: ArrayBuffer | { type: 'stop' }) => {
  if (message instanceof ArrayBuffer) {
    receiveForHub(message, hub, (error) => log.error('a message could not be handled', error));
    return;
  }
  void hub
    .close()
    .catch((error: unknown) => log.error('the Task Database could not be closed', error))
    .finally(() => port.close());
});
tell({ type: 'ready' });
