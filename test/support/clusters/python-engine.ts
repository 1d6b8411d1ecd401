/**
 * Arguments of a Python engine on a busy machine: how long the hub may take to reply to its registration, in seconds (5 by
 * default), and how many heartbeats of a restarted controller it may miss (50 by default).
 */
export const engineTimeouts: readonly string[] = [
  '--IPEngine.timeout=60',
  '--IPEngine.max_heartbeat_misses=200',
];
