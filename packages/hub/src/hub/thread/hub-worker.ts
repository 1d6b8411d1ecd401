import { parentPort, workerData } from 'node:worker_threads';
import { type EngineConnectionInfo, IpyparallelError, Session } from '@ipyparallel-js/protocol';
import { createLogger } from '@ipyparallel-js/wire';
import { systemClock } from '../../common/clock.js';
import { openDatabase } from '../../db/open-database.js';
import { bindSocket } from '../../sockets/socket-factory.js';
import { LinkCounts } from '../../thread-link/link-counts.js';
import { receiveForHub, schedulersLink } from '../../thread-link/thread-link.js';
import { EngineStateFile } from '../engines/engine-state.js';
import { Hub } from '../hub.js';
import { QuerySocket } from './query-socket.js';
import type { HubThreadCommand, HubThreadData, HubThreadNotice } from './thread-messages.js';

/** How long queued messages may take to be sent when the controller ends, in ms. */
const FLUSH_TIMEOUT = 300;

const port = parentPort;
if (port === null) throw new Error('hub-worker must run as a worker thread');

const data = workerData as HubThreadData;
const counts = new LinkCounts(data.counts);
const post = (notice: HubThreadNotice): void => port.postMessage(notice);
const log = createLogger(data.logLevel, (level, line) => post({ type: 'log', level, line: `hub: ${line}` }));
let queries: QuerySocket | undefined;
let hub: Hub | undefined;

function abandon(): void {
  queries?.abandon();
  counts.abandon();
}

/** An error loses its class on the way to another thread, so the code of an IpyparallelError is sent with it. */
function fail(error: unknown): never {
  abandon();
  if (error instanceof IpyparallelError) post({ type: 'failed', code: error.code, message: error.message });
  else post({ type: 'failed', message: error instanceof Error ? (error.stack ?? '') : String(error) });
  process.exit(1);
}

process.on('uncaughtException', fail);

async function bind(): Promise<void> {
  const { interface: address, port, curveSecretKey } = data.bind;
  const bound = await bindSocket('registration', 'router', {
    ...{ interface: address, nextPort: () => port, log },
    ...(curveSecretKey === undefined ? {} : { curveSecretKey }),
  });
  queries = new QuerySocket({ socket: bound.socket, counts, requestCopies: () => post({ type: 'copies' }) });
  post({ type: 'bound', port: bound.port });
}

async function startHub(connectionInfo: Partial<EngineConnectionInfo>, socket: QuerySocket): Promise<void> {
  const clock = systemClock();
  const { key, pack, unpack, signatureScheme, hbPeriod, registrationTimeout, subscriptions, reuse } = data;
  const session = new Session({ key, pack, unpack, signatureScheme, now: clock.now, pid: process.pid });
  const engineState = new EngineStateFile(data.engineStateFile, log);
  // A previous run that was killed left its engines in the file; without reuse they do not belong to this run.
  if (!reuse) await engineState.remove().catch(() => undefined);
  const newHub = new Hub({
    ...{
      session,
      connectionInfo,
      hbPeriod,
      registrationTimeout,
      subscriptions,
      log,
      clock,
      engineState,
      reuse,
    },
    schedulers: schedulersLink(port as NonNullable<typeof port>, () => socket.onCall()),
    reply: (frames) => socket.reply(frames),
    db: await openDatabase(data.db, { log, session: session.session }),
  });
  hub = newHub;
  if (reuse) await newHub.continuePreviousRun({ restoreEngines: data.restore });
  socket.serve((frames) => newHub.query(frames));
  post({ type: 'ready' });
}

async function stop(): Promise<void> {
  try {
    await hub?.close();
  } catch (error) {
    log.error('the Task Database could not be closed', error);
  }
  await queries?.close(FLUSH_TIMEOUT);
  counts.abandon();
  port?.close();
}

const onFailure = (error: unknown): void => log.error('a copy of the traffic could not be handled', error);

port.on('message', (message: ArrayBuffer | HubThreadCommand) => {
  if (message instanceof ArrayBuffer) {
    if (hub !== undefined) queries?.onCopies(receiveForHub(message, hub, onFailure));
    return;
  }
  switch (message.type) {
    case 'begin':
      if (queries !== undefined) startHub(message.connectionInfo, queries).catch(fail);
      break;
    case 'done':
      queries?.onCallsDone();
      break;
    case 'stop':
      stop().catch(fail);
      break;
    case 'abandon':
      abandon();
      process.exit(1);
  }
});
bind().catch(fail);
