import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { FailureInfo } from '../kernel-channel/messages.js';

/** The failure of an interrupted job, under the name that Python's engines report. */
export const INTERRUPT_FAILURE: FailureInfo = {
  ename: 'KeyboardInterrupt',
  evalue: 'the running code was interrupted',
  traceback: ['KeyboardInterrupt: the running code was interrupted'],
};

// The engine hides these frames and all frames below them.
const ENGINE_FRAMES = [
  'node:inspector:',
  ...packagePaths(import.meta.url),
  ...packagePaths(import.meta.resolve('@ipyparallel-js/protocol')),
];

/** The package directory of a module in `dist`, as a URL and as a path, which frames contain when source maps are on. */
function packagePaths(module: string): string[] {
  const dist = module.slice(0, module.lastIndexOf('/dist/') + 1);
  return [dist, fileURLToPath(dist)];
}

/**
 * Describes a thrown value: an error by its name, message and stack without the engine's frames, any other value as
 * `Thrown` with its `util.inspect` text. Never throws, even when getters of the value throw.
 */
export function describeFailure(thrown: unknown, location?: string): FailureInfo {
  try {
    if (!isErrorLike(thrown)) {
      const evalue = inspect(thrown);
      return { ename: 'Thrown', evalue, traceback: [`Thrown: ${evalue}`] };
    }
    const ename = typeof thrown.name === 'string' && thrown.name !== '' ? thrown.name : 'Error';
    const evalue = typeof thrown.message === 'string' ? thrown.message : String(thrown.message);
    const headline = evalue === '' ? ename : `${ename}: ${evalue}`;
    const frames = userFrames(typeof thrown.stack === 'string' ? thrown.stack : '');
    if (frames.length === 0 && location !== undefined) frames.push(`    at ${location}`);
    return { ename, evalue, traceback: [headline, ...frames, ...detailLines(thrown)] };
  } catch {
    return {
      ename: 'Thrown',
      evalue: 'a value that cannot be described',
      traceback: ['Thrown: a value that cannot be described'],
    };
  }
}

interface ErrorLike {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly stack?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

function isErrorLike(value: unknown): value is ErrorLike {
  if (value instanceof Error) return true;
  return typeof value === 'object' && value !== null && 'message' in value && 'stack' in value;
}

function userFrames(stack: string): string[] {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  const firstEngineFrame = frames.findIndex((line) => ENGINE_FRAMES.some((path) => line.includes(path)));
  const codeFrames = firstEngineFrame === -1 ? frames : frames.slice(0, firstEngineFrame);
  // Drops the frames of Node that called the code, for example of a timer or an emitter.
  const last = codeFrames.findLastIndex((line) => !line.includes('node:internal/'));
  return codeFrames.slice(0, last + 1);
}

/** How many levels of causes and nested errors are reported. */
const MAX_DEPTH = 5;
/** How many errors of an AggregateError are reported. */
const MAX_ERRORS = 10;

/** The lines for an error's own fields, its nested errors and its cause. */
function detailLines(error: ErrorLike, depth = 0): string[] {
  const fields = Object.fromEntries(
    Object.entries(Object.getOwnPropertyDescriptors(error))
      .filter(
        ([name, { enumerable, value }]) =>
          enumerable === true && value !== undefined && !STANDARD_FIELDS.has(name),
      )
      .map(([name, { value }]) => [name, value as unknown]),
  );
  const fieldLines = Object.keys(fields).length === 0 ? [] : [`    with ${inspect(fields, ONE_LINE)}`];
  if (depth > MAX_DEPTH) return fieldLines;
  const errors = Array.isArray(error.errors) ? error.errors : [];
  const errorLines = errors
    .slice(0, MAX_ERRORS)
    .flatMap((each, i) => nestedLines(`Error ${i + 1} of ${errors.length}`, each, depth));
  return [
    ...fieldLines,
    ...errorLines,
    ...(error.cause === undefined ? [] : nestedLines('Caused by', error.cause, depth)),
  ];
}

const STANDARD_FIELDS = new Set(['name', 'message', 'stack', 'cause', 'errors']);

const ONE_LINE = {
  depth: 1,
  maxArrayLength: 10,
  maxStringLength: 200,
  breakLength: Number.POSITIVE_INFINITY,
};

function nestedLines(title: string, error: unknown, depth: number): string[] {
  if (!isErrorLike(error)) return [`${title}: ${inspect(error, ONE_LINE)}`];
  return [
    `${title}: ${String(error.name)}: ${String(error.message)}`,
    ...userFrames(typeof error.stack === 'string' ? error.stack : ''),
    ...detailLines(error, depth + 1),
  ];
}

/**
 * Adds a hint to a ReferenceError of a called function: the likely cause is a variable of its closure, which is not sent
 * to the engine. `script` is the prefix of the script names of calls.
 */
export function addCaptureHint(failure: FailureInfo, script: string): FailureInfo {
  const [, name] = /^(\S+) is not defined$/.exec(failure.evalue) ?? [];
  const [headline, frame, ...frames] = failure.traceback;
  if (failure.ename !== 'ReferenceError' || name === undefined || frame?.includes(script) !== true)
    return failure;
  const hint = `; the variables of a function's closure are not sent to engines: add it with capture(fn, { ${name} }), or pass it as an argument`;
  return {
    ename: failure.ename,
    evalue: `${failure.evalue}${hint}`,
    traceback: [`${headline}${hint}`, frame, ...frames],
  };
}
