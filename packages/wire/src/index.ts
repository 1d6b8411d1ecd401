// A room inside the project: what its packages share below their public interfaces. No promise of stability.
export { type CurveKeys, curveKeys } from './connect/curve-keys.js';
export {
  type ClusterChoice,
  expandPath,
  type FilePlace,
  locateConnectionFile,
} from './connect/locate-file.js';
export { type Machine, thisMachine } from './connect/machine.js';
export {
  bracketed,
  hostBehindTunnel,
  isHost,
  type ListeningHost,
  listeningHost,
  reachableInterface,
  reachHint,
  runsHere,
  withPort,
} from './connect/reachable-host.js';
export { readConnectionFile } from './connect/read-file.js';
export { Fifo } from './fifo.js';
export { type DropReason, Intake } from './intake.js';
export {
  createLogger,
  type Logger,
  type LogLevel,
  type LogSink,
  parseLogLevel,
  Refusals,
  stderrSink,
} from './log.js';
export {
  type Frames,
  type LinkState,
  MessageSocket,
  type SocketEvents,
  type ZmqSocket,
} from './message-socket.js';
export { watchParent } from './parent-watch.js';
export { sessionOf } from './session.js';
export {
  type Deadline,
  formatMs,
  pause,
  startDeadline,
  timeoutError,
  type WaitOptions,
  waitFor,
  within,
} from './wait.js';
