// A zeromq.js ROUTER that echoes messages: the lower bound of any request between two processes.
import { Router } from 'zeromq';

const socket = new Router({ linger: 0 });
await socket.bind('tcp://127.0.0.1:*');
process.send?.(socket.lastEndpoint);
process.on('disconnect', () => process.exit(0));
for await (const frames of socket) await socket.send(frames);
