// A program with a client that a test stops (SIGSTOP) and continues: prints the state of its connection for each input line.
import { createInterface } from 'node:readline';
import { Client, type ConnectionStatus } from '@ipyparallel-js/client';

const rc = await Client.connect({
  connectionFile: JSON.parse(process.argv[2] ?? '') as Record<string, unknown>,
  heartbeatInterval: 1_000,
});
let status: ConnectionStatus | undefined;
rc.connection$.subscribe((now) => {
  status = now;
});
console.log(JSON.stringify({ ready: true }));
createInterface({ input: process.stdin }).on('line', async (line) => {
  if (line === 'close') {
    await rc.close();
    process.stdin.destroy();
    return;
  }
  const history = await rc.hubHistory({ timeout: 60_000 });
  console.log(
    JSON.stringify({ history, state: status?.state, incarnation: status?.incarnation, ids: rc.ids }),
  );
});
