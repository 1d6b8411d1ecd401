import { readFile } from 'node:fs/promises';
import { channelAddress, parseConnectionFile, validateEngineConnectionInfo } from '@ipyparallel-js/protocol';
import { createSession } from '@ipyparallel-js/wire';
import { curveKeyPair, Dealer } from 'zeromq';

/** How long the request may take to be sent, in ms (`ZMQ_LINGER`). */
const LINGER_MS = 3_000;

/**
 * Unregisters an engine that has ended, as the nanny of a Python engine does. Without this request the hub waits for missed
 * heartbeats. The hub does not reply.
 */
export async function unregisterEngine(engineFile: string, id: number): Promise<void> {
  const info = validateEngineConnectionInfo(
    parseConnectionFile(await readFile(engineFile, 'utf8'), engineFile),
    engineFile,
  );
  const session = createSession(info);
  const curveServerKey = info.curve_serverkey ?? process.env.IPP_CURVE_SERVERKEY;
  const socket = new Dealer({ linger: LINGER_MS, ...(curveServerKey ? curveOptions(curveServerKey) : {}) });
  const sent = new Promise<void>((resolve) => {
    // A closed socket emits `end` when it has sent its queue. A process that exits earlier loses the message.
    socket.events.on('end', () => resolve());
    // The controller no longer listens.
    socket.events.on('connect:retry', () => resolve());
  });
  try {
    // The controller runs on this machine, so it also listens on the loopback address.
    socket.connect(channelAddress(info.interface.replace('tcp://*', 'tcp://127.0.0.1'), info.registration));
    await socket.send(session.encode(session.message('unregistration_request', { id })));
  } finally {
    socket.close();
  }
  await sent;
}

function curveOptions(curveServerKey: string) {
  const { publicKey, secretKey } = curveKeyPair();
  return { curveServerKey, curvePublicKey: publicKey, curveSecretKey: secretKey };
}
