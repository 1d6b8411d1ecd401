import Table from 'cli-table3';
import logUpdate from 'log-update';
import pc from 'picocolors';

/** Whether lines can be redrawn. */
export const isTerminal = process.stdout.isTTY === true;

/** The width of the terminal; 100 columns without one. */
export const width = Math.min(process.stdout.columns ?? 100, 120);

let muted = false;

/** Suppresses all further output, because the program is stopping. */
export function mute(): void {
  if (!muted) logUpdate.done();
  muted = true;
}

export function printLine(text = ''): void {
  if (!muted) console.log(text);
}

/** Draws lines over the previously drawn lines, until {@link endDrawing}. */
export function draw(text: string): void {
  if (!muted) logUpdate(text);
}

/** Ends redrawing and keeps the last lines. */
export function endDrawing(): void {
  logUpdate.done();
}

export function heading(text: string): void {
  printLine(`\n${pc.bold(pc.cyan(text))}`);
}

/** Prints a line below a heading. */
export function note(text: string): void {
  printLine(`  ${text}`);
}

/** Prints the code that runs next. */
export function code(text: string): void {
  for (const [index, line] of text.split('\n').entries())
    printLine(`  ${pc.dim(index === 0 ? '>' : ' ')} ${pc.green(line)}`);
}

/** Cuts a text to `length` characters with an ellipsis and replaces line breaks by spaces. */
export function cut(text: string, length: number): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length <= length ? line : `${line.slice(0, Math.max(0, length - 1))}…`;
}

/** Shortens a msg_id to `3f2a91bc…_12`, which distinguishes it from the others. */
export function shortId(msgId: string): string {
  return `${msgId.slice(0, 8)}…${msgId.slice(msgId.lastIndexOf('_'))}`;
}

/** Formats an indented table without lines. */
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
