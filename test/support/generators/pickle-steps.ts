// Splits pickles into opcodes with their arguments, so that a changed pickle is still a sequence of opcodes.
import type { Random } from './python-values.js';

/** One opcode and its argument. */
export interface Step {
  readonly opcode: number;
  /** The bytes of its argument, without a declared length. */
  readonly argument: Uint8Array;
}

/** Encoding of an argument: fixed bytes, a length prefix of `length` bytes, or lines. */
type Form = { readonly bytes: number } | { readonly length: number } | { readonly lines: number };

const FORMS: Readonly<Record<string, Form>> = {
  '\x80': { bytes: 1 },
  '\x95': { bytes: 8 },
  I: { lines: 1 },
  J: { bytes: 4 },
  K: { bytes: 1 },
  M: { bytes: 2 },
  L: { lines: 1 },
  '\x8a': { length: 1 },
  '\x8b': { length: 4 },
  F: { lines: 1 },
  G: { bytes: 8 },
  S: { lines: 1 },
  T: { length: 4 },
  U: { length: 1 },
  V: { lines: 1 },
  X: { length: 4 },
  '\x8c': { length: 1 },
  '\x8d': { length: 8 },
  B: { length: 4 },
  C: { length: 1 },
  '\x8e': { length: 8 },
  '\x96': { length: 8 },
  p: { lines: 1 },
  q: { bytes: 1 },
  r: { bytes: 4 },
  g: { lines: 1 },
  h: { bytes: 1 },
  j: { bytes: 4 },
  c: { lines: 2 },
  i: { lines: 2 },
  P: { lines: 1 },
  '\x82': { bytes: 1 },
  '\x83': { bytes: 2 },
  '\x84': { bytes: 4 },
};

const NO_ARGUMENT: Form = { bytes: 0 };
const STOP = 0x2e;
const FRAME = 0x95;
const MAX_STEPS = 20_000;

function formOf(opcode: number): Form {
  return FORMS[String.fromCharCode(opcode)] ?? NO_ARGUMENT;
}

function readLength(bytes: Uint8Array, at: number, width: number): number {
  let length = 0;
  for (let i = width - 1; i >= 0; i -= 1) length = length * 256 + (bytes[at + i] ?? 0);
  return length;
}

/** The opcodes of a valid pickle without its frames, because any change would invalidate all frames. */
export function splitSteps(pickle: Uint8Array): Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < pickle.length; ) {
    const opcode = pickle[at] ?? STOP;
    at += 1;
    const form = formOf(opcode);
    let end = at;
    if ('bytes' in form) end += form.bytes;
    else if ('length' in form) {
      const start = at + form.length;
      end = start + readLength(pickle, at, form.length);
      at = start;
    } else for (let line = 0; line < form.lines; line += 1) end = pickle.indexOf(0x0a, end) + 1;
    if (opcode !== FRAME) steps.push({ opcode, argument: pickle.subarray(at, end) });
    at = end;
    if (opcode === STOP) break;
  }
  return steps;
}

/** Joins opcodes to a pickle, with length prefixes computed from the arguments. */
export function joinSteps(steps: readonly Step[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { opcode, argument } of steps) {
    const form = formOf(opcode);
    const head = Buffer.alloc(1 + ('length' in form ? form.length : 0));
    head[0] = opcode;
    if ('length' in form) head.writeUIntLE(argument.length, 1, Math.min(form.length, 6));
    parts.push(head, argument);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** A short range of opcodes; a value takes only a few. */
function range(random: Random, steps: readonly Step[]): readonly Step[] {
  const start = random.below(Math.max(1, steps.length - 1));
  return steps.slice(start, Math.min(start + 1 + random.below(12), steps.length - 1));
}

/** Makes a few changes: removes, inserts, repeats or swaps opcodes, or replaces arguments. */
export function mutateSteps(random: Random, steps: readonly Step[], other: readonly Step[]): Step[] {
  let changed = [...steps];
  for (let i = 1 + random.below(3); i > 0; i -= 1) {
    const at = 1 + random.below(Math.max(1, changed.length - 2));
    const here = changed[at];
    switch (random.below(8)) {
      case 0:
        changed.splice(at, 1 + random.below(3));
        break;
      case 1:
        changed.splice(at, 0, ...range(random, other));
        break;
      case 2:
        changed.splice(at, random.below(6), ...range(random, random.below(2) === 0 ? other : steps));
        break;
      case 3: {
        // A cheap step can be expensive when repeated.
        const part = range(random, changed);
        changed.splice(at, 0, ...Array.from({ length: 1 + random.below(300) }, () => part).flat());
        break;
      }
      case 4:
        if (here !== undefined)
          changed[at] = { opcode: here.opcode, argument: otherArgument(random, here, other) };
        break;
      case 5:
        if (here !== undefined) changed[at] = siblingStep(random, here, [...steps, ...other]);
        break;
      case 6: {
        const to = 1 + random.below(Math.max(1, changed.length - 2));
        const there = changed[to];
        if (here !== undefined && there !== undefined) {
          changed[at] = there;
          changed[to] = here;
        }
        break;
      }
      default:
        // Push a memo entry and combine it with the top of the stack.
        changed.splice(
          at,
          0,
          { opcode: 0x68, argument: Uint8Array.of(random.below(16)) },
          random.pick(JOINING_STEPS),
        );
    }
    changed = changed.slice(0, MAX_STEPS);
  }
  if (changed.at(-1)?.opcode !== STOP) changed.push({ opcode: STOP, argument: new Uint8Array(0) });
  return changed;
}

/** Opcodes that use the top of the stack: append, tuples, call, new object, state, item, name, pop, memoize. */
const JOINING_STEPS: readonly Step[] = ['a', '\x85', '\x86', 'R', '\x81', 'b', 's', '\x93', '0', '\x94'].map(
  (letter) => ({
    opcode: letter.charCodeAt(0),
    argument: new Uint8Array(0),
  }),
);

/** Another argument of the same encoding: from the same opcode elsewhere, or an edge case. */
function otherArgument(random: Random, { opcode, argument }: Step, other: readonly Step[]): Uint8Array {
  const form = formOf(opcode);
  const elsewhere = other.filter((step) => step.opcode === opcode);
  if (elsewhere.length > 0 && random.below(2) === 0) return random.pick(elsewhere).argument;
  const edge = random.pick([0, 1, 0x7f, 0x80, 0xff]);
  if ('bytes' in form) return new Uint8Array(form.bytes).fill(edge);
  if ('lines' in form) return argument;
  const length = random.pick([0, argument.length, argument.length + 1, 2 * argument.length, 8]);
  const bytes = new Uint8Array(Math.min(length, form.length === 1 ? 255 : 100_000));
  bytes.set(argument.subarray(0, bytes.length));
  if (random.below(2) === 0) bytes.fill(edge, random.below(bytes.length + 1));
  return bytes;
}

/** Another opcode of the two pickles whose argument has the same encoding. */
function siblingStep(random: Random, step: Step, all: readonly Step[]): Step {
  const form = JSON.stringify(formOf(step.opcode));
  const alike = all.filter(({ opcode }) => opcode !== STOP && JSON.stringify(formOf(opcode)) === form);
  return alike.length === 0 ? step : random.pick(alike);
}
