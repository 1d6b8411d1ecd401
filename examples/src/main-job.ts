// The main job from end to end. `npm start` runs it; --help lists its options.
import { constants } from 'node:os';
import { Cluster } from '@ipyparallel-js/cluster';
import { IpyparallelError } from '@ipyparallel-js/protocol';
import pc from 'picocolors';
import { purgeFinishedTasks } from './main-job/cleanup.js';
import { HELP, parseCommandLine, type Request } from './main-job/command-line.js';
import { Participants } from './main-job/participants.js';
import { runScenario } from './main-job/scenario.js';
import { heading, mute, note, printLine } from './main-job/terminal.js';

let interrupted = false;
let participants: Participants | undefined;
let cleanup: Promise<void> | undefined;

async function run(request: Exclude<Request, { kind: 'help' }>): Promise<void> {
  const start = performance.now();
  heading('ipyparallel-js: query the tasks of a cluster from Node');
  if (request.kind === 'running') note('Connecting to the cluster …');
  const summary =
    request.kind === 'embedded'
      ? await runOnTemporaryCluster()
      : await runWithClients(request.options, uniqueVariable());
  heading('Done');
  note(`${summary} ${((performance.now() - start) / 1000).toFixed(1)} s in total.`);
  if (request.kind === 'embedded') note('The cluster has ended and its files are removed.');
  printLine();
  note(
    `${pc.bold('npm start -- --profile NAME')}   the same on a running cluster, of Python or of this project`,
  );
  note(`${pc.bold('examples/src')}                  a short script for each of these queries`);
}

async function runOnTemporaryCluster(): Promise<string> {
  note('Starting a controller and two JavaScript engines …');
  const start = performance.now();
  await using cluster = await Cluster.start({ n: 2 });
  note(`Ready after ${((performance.now() - start) / 1000).toFixed(1)} s.`);
  return await runWithClients({ connectionFile: cluster.connectionFile }, 'rates');
}

async function runWithClients(
  options: Parameters<typeof Participants.connect>[0],
  missing: string,
): Promise<string> {
  await using connected = await Participants.connect(options);
  participants = connected;
  const { rc, colleague, languages } = connected;
  const engines = rc.ids.length === 1 ? '1 engine' : `${rc.ids.length} engines`;
  note(
    `Two clients have connected: you (${rc.session.session}) and a colleague (${colleague.session.session}).`,
  );
  note(`They found ${engines} (${languages.join(', ')}).`);
  try {
    return await runScenario(connected, missing);
  } finally {
    // The cleanup after an interrupt needs the clients.
    await cleanup;
  }
}

/** A running cluster may already have a variable with a simple name. */
function uniqueVariable(): string {
  return `rates_${Date.now().toString(36)}`;
}

/** A temporary cluster stops itself and then this process. On a running cluster, this purges the program's tasks. */
function onSignal(signal: 'SIGINT' | 'SIGTERM', request: Request): void {
  interrupted = true;
  mute();
  console.log(`\n${pc.yellow('Stopping …')}`);
  if (request.kind === 'embedded') return;
  cleanup = participants === undefined ? Promise.resolve() : purgeFinishedTasks(participants);
  void cleanup.finally(() => process.exit(128 + constants.signals[signal]));
}

let request: Request | undefined;
try {
  const parsed = parseCommandLine(process.argv.slice(2));
  request = parsed;
  if (parsed.kind === 'help') {
    process.stdout.write(HELP);
  } else {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => onSignal(signal, parsed));
    await run(parsed);
  }
} catch (error) {
  if (!interrupted) {
    // Expected errors print their message only; unexpected ones print a stack.
    const text = error instanceof IpyparallelError ? error.message : (error as Error).stack;
    console.error(`\n${pc.red('npm start:')} ${text ?? String(error)}`);
    process.exitCode = request === undefined ? 2 : 1;
  }
}
