import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Dealer } from 'zeromq';

/** A zeromq.js echo between two processes: the lower bound of any request. */
export interface Echo extends AsyncDisposable {
  /** Sends frames and waits for their echo. */
  roundTrip(frames: readonly Buffer[]): Promise<void>;
}

export async function startEcho(): Promise<Echo> {
  const server = fork(fileURLToPath(new URL('echo-server.mjs', import.meta.url)));
  const [address] = (await once(server, 'message')) as [string];
  const socket = new Dealer({ linger: 0 });
  socket.connect(address);
  return {
    async roundTrip(frames) {
      await socket.send([...frames]);
      await socket.receive();
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      const exited = once(server, 'exit');
      server.disconnect();
      await exited;
    },
  };
}
