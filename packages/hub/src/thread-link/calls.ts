import type { Frames } from '@ipyparallel-js/wire';
import type { Monitor, Schedulers } from './schedulers.js';

/** How the arguments of a call become the frames of a message. */
type Form = 'none' | 'frames' | 'text' | 'twoTexts';

/** The form of a method's arguments. */
type FormOf<Arguments extends readonly unknown[]> = Arguments extends readonly []
  ? 'none'
  : Arguments extends readonly [string, string]
    ? 'twoTexts'
    : Arguments extends readonly [string]
      ? 'text'
      : 'frames';

/**
 * The calls of one direction of the link. The position of a call is its number in a batch: both threads read the
 * same table.
 */
export type CallTable<T> = {
  readonly [K in keyof T]: T[K] extends (...args: infer Arguments) => void ? FormOf<Arguments> : never;
};

export const MONITOR_CALLS: CallTable<Monitor> = {
  directRequest: 'frames',
  directReply: 'frames',
  taskRequest: 'frames',
  taskReply: 'frames',
  taskAssigned: 'twoTexts',
  output: 'frames',
  newHeart: 'text',
  stoppedHeart: 'text',
};

export const SCHEDULERS_CALLS: CallTable<Schedulers> = {
  notify: 'frames',
  awaitHeart: 'text',
  forgetHeart: 'text',
  addEngine: 'text',
  removeEngine: 'text',
  submitTask: 'frames',
  submitDirect: 'frames',
  shutdown: 'none',
};

type Push = (kind: number, frames: readonly Uint8Array[]) => void;
type Method = (...args: never[]) => void;

const toBytes = (frame: Uint8Array | string): Uint8Array =>
  typeof frame === 'string' ? Buffer.from(frame, 'utf8') : frame;

const isText = (frame: Uint8Array | string): boolean => typeof frame === 'string';

// One function per form, without rest parameters: a call allocates nothing but its frames.
const SENDERS: { readonly [F in Form]: (push: Push, kind: number) => Method } = {
  none: (push, kind) => () => push(kind, []),
  frames: (push, kind) => (frames: Frames) =>
    push(kind, frames.some(isText) ? frames.map(toBytes) : (frames as readonly Uint8Array[])),
  text: (push, kind) => (first: string) => push(kind, [toBytes(first)]),
  twoTexts: (push, kind) => (first: string, second: string) => push(kind, [toBytes(first), toBytes(second)]),
};

const RECEIVERS: { readonly [F in Form]: (method: Method, target: unknown, frames: Buffer[]) => void } = {
  none: (method, target) => method.call(target),
  frames: (method, target, frames) => (method as (frames: Frames) => void).call(target, frames),
  text: (method, target, frames) => (method as (text: string) => void).call(target, String(frames[0])),
  twoTexts: (method, target, frames) =>
    (method as (a: string, b: string) => void).call(target, String(frames[0]), String(frames[1])),
};

/** Returns an implementation of `T` that pushes each call to a batch. */
export function callSender<T>(table: CallTable<T>, push: Push): T {
  const entries = Object.entries(table as { readonly [name: string]: Form });
  return Object.fromEntries(entries.map(([name, form], kind) => [name, SENDERS[form](push, kind)])) as T;
}

/** Returns a function that makes one call of a batch on `target`. It ignores unknown numbers. */
export function callReceiver<T>(table: CallTable<T>): (target: T, kind: number, frames: Buffer[]) => void {
  const entries = Object.entries(table as { readonly [name: string]: Form });
  const receivers = entries.map(([name, form]) => ({ name: name as keyof T, receive: RECEIVERS[form] }));
  return (target, kind, frames) => {
    const receiver = receivers[kind];
    if (receiver !== undefined) receiver.receive(target[receiver.name] as Method, target, frames);
  };
}
