import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { FailureInfo } from './messages.js';

/** What an interrupted job reports; the name is the one that Python's engines report. */
export const INTERRUPTED: FailureInfo = {
  ename: 'KeyboardInterrupt',
  evalue: 'the running code was interrupted',
  traceback: ['KeyboardInterrupt: the running code was interrupted'],
};

// Everything from such a frame down the stack is the engine's own.
const OWN_FRAMES = [
  'node:inspector:',
  ...ownPackage(import.meta.url),
  ...ownPackage(import.meta.resolve('@ipyparallel-js/protocol')),
];

/** The package of a module in `dist`, as a URL and, where source maps name the sources, as a path. */
function ownPackage(module: string): string[] {
  const dist = module.slice(0, module.lastIndexOf('/dist/') + 1);
  return [dist, fileURLToPath(dist)];
}

/**
 * Describes whatever was thrown: an error by its name, message and stack without the engine's frames, anything else
 * as `Thrown` with the value inspected. Never throws, whatever getters the value has.
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
    return { ename, evalue, traceback: [headline, ...frames, ...particulars(thrown)] };
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
  const ours = frames.findIndex((line) => OWN_FRAMES.some((own) => line.includes(own)));
  const theirs = ours === -1 ? frames : frames.slice(0, ours);
  // What called the code: a timer's list, an emitter's loop.
  const last = theirs.findLastIndex((line) => !line.includes('node:internal/'));
  return theirs.slice(0, last + 1);
}

/** How deep causes and errors of errors are followed. */
const MAX_DEPTH = 5;
/** How many errors of an AggregateError are told. */
const MAX_ERRORS = 10;

/** What an error holds beside name, message and stack: its own fields, its errors, its cause. */
function particulars(error: ErrorLike, depth = 0): string[] {
  const fields = Object.fromEntries(
    Object.entries(Object.getOwnPropertyDescriptors(error))
      .filter(
        ([name, { enumerable, value }]) => enumerable === true && value !== undefined && !TOLD.has(name),
      )
      .map(([name, { value }]) => [name, value as unknown]),
  );
  const shown = Object.keys(fields).length === 0 ? [] : [`    with ${inspect(fields, SHORT)}`];
  if (depth > MAX_DEPTH) return shown;
  const errors = Array.isArray(error.errors) ? error.errors : [];
  const listed = errors
    .slice(0, MAX_ERRORS)
    .flatMap((each, i) => nested(`Error ${i + 1} of ${errors.length}`, each, depth));
  return [...shown, ...listed, ...(error.cause === undefined ? [] : nested('Caused by', error.cause, depth))];
}

const TOLD = new Set(['name', 'message', 'stack', 'cause', 'errors']);

/** Fields in one line, whatever they hold. */
const SHORT = { depth: 1, maxArrayLength: 10, maxStringLength: 200, breakLength: Number.POSITIVE_INFINITY };

function nested(what: string, error: unknown, depth: number): string[] {
  if (!isErrorLike(error)) return [`${what}: ${inspect(error, SHORT)}`];
  return [
    `${what}: ${String(error.name)}: ${String(error.message)}`,
    ...userFrames(typeof error.stack === 'string' ? error.stack : ''),
    ...particulars(error, depth + 1),
  ];
}

/**
 * Of a name that a function does not find on the engine, the likely reason is said: what it closes over stayed behind.
 * `script` begins the names of the scripts that calls are.
 */
export function hintAtCaptures(failure: FailureInfo, script: string): FailureInfo {
  const [, name] = /^(\S+) is not defined$/.exec(failure.evalue) ?? [];
  const [headline, frame, ...frames] = failure.traceback;
  if (failure.ename !== 'ReferenceError' || name === undefined || frame?.includes(script) !== true)
    return failure;
  const hint = `; a function travels without what it closes over: name it with capture(fn, { ${name} }), or pass it as an argument`;
  return {
    ename: failure.ename,
    evalue: `${failure.evalue}${hint}`,
    traceback: [`${headline}${hint}`, frame, ...frames],
  };
}
