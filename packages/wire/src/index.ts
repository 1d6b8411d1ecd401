// Used by the other packages of this project only. This package carries no promise of stability.
export { type CurveKeys, curveKeys } from './connection/curve-keys.js';
export {
  type ConnectionFileLocation,
  type ConnectionFileOptions,
  expandPath,
  locateConnectionFile,
} from './connection/locate-file.js';
export { type Machine, thisMachine } from './connection/machine.js';
export {
  hostBehindTunnel,
  isHost,
  isOnThisMachine,
  type ListeningHost,
  listeningHost,
  reachableInterface,
  unreachableHint,
  withBrackets,
  withPort,
} from './connection/reachable-host.js';
export { readConnectionFile } from './connection/read-file.js';
export {
  createLogger,
  type Logger,
  type LogLevel,
  type LogSink,
  parseLogLevel,
  stderrSink,
} from './process/log.js';
export { watchParent } from './process/parent-watch.js';
export { RefusalCounter } from './process/refusal-counter.js';
export { Fifo } from './sockets/fifo.js';
export { type DropReason, Intake } from './sockets/intake.js';
export {
  type Frames,
  type LinkState,
  MessageSocket,
  type SocketEvents,
  type ZmqSocket,
} from './sockets/message-socket.js';
export { createSession } from './sockets/session.js';
export { withChildSignal } from './waiting/child-signal.js';
export {
  type Deadline,
  formatMs,
  pause,
  startDeadline,
  timeoutError,
  WAIT_OPTIONS,
  type WaitOptions,
  waitFor,
  withinDeadline,
} from './waiting/wait.js';
