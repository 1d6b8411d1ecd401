import Table from 'cli-table3';
import logUpdate from 'log-update';
import pc from 'picocolors';

/** Whether lines can be redrawn. */
export const isTerminal = process.stdout.isTTY === true;

/** Columns of the terminal; 100 where there is none. */
export const width = Math.min(process.stdout.columns ?? 100, 120);

let hushed = false;

/** From now on nothing that the demonstration still says or draws is shown: it is being stopped. */
export function hush(): void {
  if (!hushed) logUpdate.done();
  hushed = true;
}

export function say(text = ''): void {
  if (!hushed) console.log(text);
}

/** Draws lines over those that it drew before, until {@link endDrawing}. */
export function draw(text: string): void {
  if (!hushed) logUpdate(text);
}

/** Leaves what was drawn where it is. */
export function endDrawing(): void {
  logUpdate.done();
}

export function heading(text: string): void {
  say(`\n${pc.bold(pc.cyan(text))}`);
}

/** A line below a heading. */
export function note(text: string): void {
  say(`  ${text}`);
}

/** A line of code that runs next. */
export function code(text: string): void {
  for (const [index, line] of text.split('\n').entries())
    say(`  ${pc.dim(index === 0 ? '>' : ' ')} ${pc.green(line)}`);
}

/** Something of the length that it may have: line breaks become spaces, what is too much an ellipsis. */
export function cut(text: string, length: number): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length <= length ? line : `${line.slice(0, Math.max(0, length - 1))}…`;
}

/** `3f2a91bc…_12`: as much of a msg_id as one needs to tell it from its neighbours. */
export function shortId(msgId: string): string {
  return `${msgId.slice(0, 8)}…${msgId.slice(msgId.lastIndexOf('_'))}`;
}

/** Columns without lines between them, indented. */
export function columns(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: head.map((name) => pc.dim(name)),
    chars: Object.fromEntries(LINES.map((name) => [name, ''])),
    style: { head: [], border: [], 'padding-left': 2, 'padding-right': 0 },
  });
  for (const row of rows) table.push([...row]);
  return table.toString().replace(/ +$/gm, '');
}

const LINES = [
  ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
  ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
];
