import { readFile } from 'node:fs/promises';
import { channelAddress, parseConnectionFile, validateEngineConnectionInfo } from '@ipyparallel-js/protocol';
import { createSession } from '@ipyparallel-js/wire';
import { curveKeyPair, Dealer } from 'zeromq';

/** How long the notice may take to leave, in ms. */
const LINGER_MS = 3_000;

/**
 * Tells a hub that an engine is gone, as the nanny of a Python engine does: without it the hub waits for missed
 * heartbeats. There is no reply.
 */
export async function unregisterEngine(engineFile: string, id: number): Promise<void> {
  const info = validateEngineConnectionInfo(
    parseConnectionFile(await readFile(engineFile, 'utf8'), engineFile),
    engineFile,
  );
  const session = createSession(info);
  const curveServerKey = info.curve_serverkey ?? process.env.IPP_CURVE_SERVERKEY;
  const socket = new Dealer({ linger: LINGER_MS, ...(curveServerKey ? curveOptions(curveServerKey) : {}) });
  const left = new Promise<void>((resolve) => {
    // A closed socket ends when it has sent what it was given: a process that exits before that takes it along.
    socket.events.on('end', () => resolve());
    // Nobody listens there any more.
    socket.events.on('connect:retry', () => resolve());
  });
  try {
    // The controller is on this machine: whatever it listens on, it listens on this.
    socket.connect(channelAddress(info.interface.replace('tcp://*', 'tcp://127.0.0.1'), info.registration));
    await socket.send(session.encode(session.message('unregistration_request', { id })));
  } finally {
    socket.close();
  }
  await left;
}

function curveOptions(curveServerKey: string) {
  const { publicKey, secretKey } = curveKeyPair();
  return { curveServerKey, curvePublicKey: publicKey, curveSecretKey: secretKey };
}
