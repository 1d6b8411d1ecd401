import type { MessageSocket, RefusalCounter } from '@ipyparallel-js/wire';

/** Receives a copy of a message before it is forwarded. */
export type Copy = (frames: readonly Uint8Array[]) => void;

const NO_COPY: Copy = () => {};

/**
 * Forwards messages between two ROUTERs, one for clients and one for engines. The first frame of a message is the
 * identity of the sender, the second that of the receiver; the relay swaps them and leaves the other frames unread.
 * ZeroMQ drops a message to an unknown receiver.
 */
export function relayDirect(
  clients: MessageSocket,
  engines: MessageSocket,
  refusals: RefusalCounter,
  copies: { request?: Copy; reply?: Copy } = {},
): void {
  const forward = (to: MessageSocket, copy: Copy) => (frames: Buffer[]) => {
    const [sender, receiver] = frames;
    if (sender === undefined || receiver === undefined || frames.length < 3) {
      refusals.count(`a message with too few frames for ${to.name}`);
      return;
    }
    frames[0] = receiver;
    frames[1] = sender;
    copy(frames);
    to.send(frames);
  };
  clients.read(forward(engines, copies.request ?? NO_COPY));
  engines.read(forward(clients, copies.reply ?? NO_COPY));
}

/** The `pure` task scheme: ZeroMQ distributes requests to engines in turn; the replies carry the client's identity. */
export function relayTasks(
  clients: MessageSocket,
  engines: MessageSocket,
  copies: { request: Copy; reply: Copy },
): void {
  clients.read((frames) => {
    copies.request(frames);
    engines.send(frames);
  });
  engines.read((frames) => {
    copies.reply(frames);
    clients.send(frames);
  });
}

const STATUS_SUFFIX = Buffer.from('.status', 'latin1');
const BUSY_STATE = Buffer.from('busy', 'latin1');

/** Forwards published output of engines to clients. `copy` receives no status messages except `busy`. */
export function relayOutput(engines: MessageSocket, clients: MessageSocket, copy: Copy): void {
  engines.read((frames) => {
    const topic = frames[0];
    if (topic === undefined) return;
    // The last frame is the content, in any packing.
    const isStatus = topic.subarray(-STATUS_SUFFIX.length).equals(STATUS_SUFFIX);
    if (!isStatus || frames.at(-1)?.includes(BUSY_STATE) === true) copy(frames);
    clients.send(frames);
  });
}
