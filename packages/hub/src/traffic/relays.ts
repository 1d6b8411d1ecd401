import type { MessageSocket, RefusalCounter } from '@ipyparallel-js/wire';

/** Sees what passes; called before it is passed on. */
export type Copy = (frames: readonly Uint8Array[]) => void;

const NO_COPY: Copy = () => {};

/**
 * Passes messages between two ROUTERs, clients on one side and engines on the other: a message's first frame says who
 * sent it, its second for whom it is. They swap; the rest goes through untouched and unread. A message for nobody is
 * dropped.
 */
export function relayDirect(
  clients: MessageSocket,
  engines: MessageSocket,
  refusals: RefusalCounter,
  copies: { request?: Copy; reply?: Copy } = {},
): void {
  const pass = (to: MessageSocket, copy: Copy) => (frames: Buffer[]) => {
    const [sender, receiver] = frames;
    if (sender === undefined || receiver === undefined || frames.length < 3) {
      refusals.count(`too few frames for ${to.name}`);
      return;
    }
    frames[0] = receiver;
    frames[1] = sender;
    copy(frames);
    to.send(frames);
  };
  clients.read(pass(engines, copies.request ?? NO_COPY));
  engines.read(pass(clients, copies.reply ?? NO_COPY));
}

/** The `pure` task scheme: zeromq deals requests out to engines in turn; engines' replies carry the client. */
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

const STATUS = Buffer.from('.status', 'latin1');
const BUSY = Buffer.from('busy', 'latin1');

/** Passes what engines publish on to clients. Of the status notices `copy` gets those of an engine that begins. */
export function relayOutput(engines: MessageSocket, clients: MessageSocket, copy: Copy): void {
  engines.read((frames) => {
    const topic = frames[0];
    if (topic === undefined) return;
    // The last frame is the content, however it is packed.
    const isStatus = topic.subarray(-STATUS.length).equals(STATUS);
    if (!isStatus || frames.at(-1)?.includes(BUSY) === true) copy(frames);
    clients.send(frames);
  });
}
