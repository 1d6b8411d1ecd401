// The main job, from end to end; `npm start` runs it. With --help it lists its options.
import { constants } from 'node:os';
import { Cluster } from '@ipyparallel-js/cluster';
import { IpyparallelError } from '@ipyparallel-js/protocol';
import pc from 'picocolors';
import { Cast } from './main-job/cast.js';
import { HELP, parseCommandLine, type Request } from './main-job/command-line.js';
import { tidyUp } from './main-job/interruption.js';
import { tellStory } from './main-job/story.js';
import { heading, hush, note, say } from './main-job/terminal.js';

let interrupted = false;
let cast: Cast | undefined;
let tidying: Promise<void> | undefined;

async function run(request: Exclude<Request, { kind: 'help' }>): Promise<void> {
  const start = performance.now();
  heading('ipyparallel-js: the tasks of a cluster, asked for from Node');
  if (request.kind === 'running') note('Looking for the cluster …');
  const summary =
    request.kind === 'embedded' ? await onItsOwnCluster() : await withClients(request.options, variable());
  heading('Done');
  note(`${summary} ${((performance.now() - start) / 1000).toFixed(1)} s in all.`);
  if (request.kind === 'embedded') note('The cluster has ended, and its files are removed.');
  say();
  note(`${pc.bold('npm start -- --profile NAME')}   the same on a running cluster, Python's or ours`);
  note(`${pc.bold('examples/src')}                  a short script for each of these questions`);
}

async function onItsOwnCluster(): Promise<string> {
  note('Starting a controller and two JavaScript engines …');
  const start = performance.now();
  await using cluster = await Cluster.start({ n: 2 });
  note(`They serve after ${((performance.now() - start) / 1000).toFixed(1)} s.`);
  return await withClients({ connectionFile: cluster.connectionFile }, 'rates');
}

async function withClients(options: Parameters<typeof Cast.assemble>[0], missing: string): Promise<string> {
  await using both = await Cast.assemble(options);
  cast = both;
  const { rc, colleague, languages } = both;
  const engines = rc.ids.length === 1 ? '1 engine' : `${rc.ids.length} engines`;
  note(
    `Two clients have connected: you (${rc.session.session}) and a colleague (${colleague.session.session}).`,
  );
  note(`They find ${engines}, in ${languages.join(' and ')}.`);
  try {
    return await tellStory(both, missing);
  } finally {
    // Who tidies up needs the clients, however the story ends meanwhile.
    await tidying;
  }
}

/** On a running cluster somebody may already have the name that is plain. */
function variable(): string {
  return `rates_${Date.now().toString(36)}`;
}

/** An own cluster ends itself and then this process; on somebody else's there is only to be cleaned up. */
function onSignal(signal: 'SIGINT' | 'SIGTERM', request: Request): void {
  interrupted = true;
  hush();
  console.log(`\n${pc.yellow('Stopping …')}`);
  if (request.kind === 'embedded') return;
  tidying = cast === undefined ? Promise.resolve() : tidyUp(cast);
  void tidying.finally(() => process.exit(128 + constants.signals[signal]));
}

let request: Request | undefined;
try {
  const wanted = parseCommandLine(process.argv.slice(2));
  request = wanted;
  if (wanted.kind === 'help') {
    process.stdout.write(HELP);
  } else {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => onSignal(signal, wanted));
    await run(wanted);
  }
} catch (error) {
  if (!interrupted) {
    // What can go wrong at a user's is said in a line or two; anything else is ours and shows where.
    const text = error instanceof IpyparallelError ? error.message : (error as Error).stack;
    console.error(`\n${pc.red('npm start:')} ${text ?? String(error)}`);
    process.exitCode = request === undefined ? 2 : 1;
  }
}
