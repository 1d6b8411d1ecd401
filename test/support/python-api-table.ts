// docs/python-api.md, read.
import { readFileSync } from 'node:fs';

/** One name of Python's. */
export interface Entry {
  readonly python: string;
  /** Its name here; undefined when it is left out. */
  readonly here: string | undefined;
  /** Its parameters, or the reason for its absence. */
  readonly note: string;
}

/** The entries by Python's classes. */
export function readApiTable(text = readApiPage()): ReadonlyMap<string, readonly Entry[]> {
  const tables = new Map<string, readonly Entry[]>();
  for (const section of text.split(/^## /m).slice(1)) {
    const rows = [...section.matchAll(/^\| `(\w+)` \| (?:`(\w+)`|–) \| (.*?) ?\|$/gm)];
    const lines = section.match(/^\| (?!Python|--)/gm) ?? [];
    const title = section.slice(0, section.indexOf('\n'));
    // A line that was not understood would be a name that nothing checks.
    if (rows.length !== lines.length)
      throw new Error(`${title} has ${lines.length} lines, ${rows.length} are entries`);
    tables.set(
      title,
      rows.map(([, python = '', here, note = '']) => ({ python, here, note })),
    );
  }
  return tables;
}

export function readApiPage(): string {
  return readFileSync(new URL('../../docs/python-api.md', import.meta.url), 'utf8');
}
