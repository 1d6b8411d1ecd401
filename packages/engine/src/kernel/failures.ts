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
    return { ename, evalue, traceback: [headline, ...frames, ...causes(thrown)] };
  } catch {
    return {
      ename: 'Thrown',
      evalue: 'a value that cannot be described',
      traceback: ['Thrown: a value that cannot be described'],
    };
  }
}

function isErrorLike(
  value: unknown,
): value is { name?: unknown; message?: unknown; stack?: unknown; cause?: unknown } {
  if (value instanceof Error) return true;
  return typeof value === 'object' && value !== null && 'message' in value && 'stack' in value;
}

function userFrames(stack: string): string[] {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  const ours = frames.findIndex((line) => OWN_FRAMES.some((own) => line.includes(own)));
  return ours === -1 ? frames : frames.slice(0, ours);
}

function causes(error: { cause?: unknown }, depth = 0): string[] {
  if (error.cause === undefined || depth > 5) return [];
  const { cause } = error;
  if (!isErrorLike(cause)) return [`Caused by: ${inspect(cause)}`];
  return [
    `Caused by: ${String(cause.name)}: ${String(cause.message)}`,
    ...userFrames(typeof cause.stack === 'string' ? cause.stack : ''),
    ...causes(cause, depth + 1),
  ];
}
