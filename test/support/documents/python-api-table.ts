// Reads docs/python-api.md and compares it with our classes.
import { readFileSync } from 'node:fs';
import type { OurParameters } from './our-signatures.js';

/** One name of the Python API. */
export interface Entry {
  readonly python: string;
  /** Its name in this project; undefined when it is left out. */
  readonly here: string | undefined;
  /** Its parameters, or the reason for its absence. */
  readonly note: string;
}

/** The entries by Python's classes. */
export function readApiTable(text = readApiPage()): ReadonlyMap<string, readonly Entry[]> {
  const tables = new Map<string, readonly Entry[]>();
  for (const section of text.split(/^## /m).slice(1)) {
    if (section.startsWith('Parameters')) continue;
    const rows = [...section.matchAll(/^\| `(\w+)` \| (?:`(\w+)`|–) \| (.*?) ?\|$/gm)];
    const lines = section.match(/^\| (?!Python|--)/gm) ?? [];
    const title = section.slice(0, section.indexOf('\n'));
    // A line that does not parse would be an unchecked name.
    if (rows.length !== lines.length)
      throw new Error(`${title} has ${lines.length} lines, but only ${rows.length} of them parse as entries`);
    tables.set(
      title,
      rows.map(([, python = '', here, note = '']) => ({ python, here, note })),
    );
  }
  return tables;
}

/** One parameter of a Python method. */
export interface Parameter {
  readonly python: string;
  /** Its counterpart in this project; undefined when it is left out. */
  readonly here: string | undefined;
}

/** The parameters of an entry, in order. */
export function parametersOf({ python, note }: Entry): Parameter[] {
  if (note === '') return [];
  return note.split(/, (?=`)/).map((text) => {
    const found = /^`(\w+)`(?: → `([^`]+)`| (–))?$/.exec(text);
    if (found === null) throw new Error(`${python}: "${text}" does not name a parameter`);
    const [, name = '', here, none] = found;
    return { python: name, here: none === undefined ? (here ?? name) : undefined };
  });
}

/** A parameter that the page lists as left out, of one method (`Client.close`) or of `all`. */
export function readLeftOut(text = readApiPage()): ReadonlySet<string> {
  const rows = text.matchAll(/^\| `(\w+)` \| (?:(all)|`(\w+\.\w+)`) \| .{10,} \|$/gm);
  return new Set(
    [...rows].map(([, name = '', all, method = '']) => (all === undefined ? `${method} ${name}` : name)),
  );
}

/** Our methods, and the other exports of the client, for comparison with the table. */
export interface Ours {
  readonly signatures: ReadonlyMap<string, ReadonlyMap<string, OurParameters>>;
  readonly exports: ReadonlySet<string>;
}

/** The errors of the table: names and parameters with a wrong counterpart, or left out without a reason. */
export function complaints(
  tables: ReadonlyMap<string, readonly Entry[]>,
  leftOut: ReadonlySet<string>,
  { signatures, exports }: Ours,
): string[] {
  const wrong: string[] = [];
  const unused = new Set(leftOut);
  for (const [name, entries] of tables) {
    const members = signatures.get(name);
    for (const entry of entries) {
      if (entry.here === undefined) {
        if (entry.note.length <= 5) wrong.push(`${name}.${entry.python} has no reason`);
        continue;
      }
      const ours = members?.get(entry.here);
      if (ours === undefined) {
        wrong.push(`${name} has no ${entry.here}`);
        continue;
      }
      for (const { python, here } of parametersOf(entry)) {
        const which = `${name}.${entry.python} ${python}`;
        if (here !== undefined) {
          if (!existsInOurs(here, ours, members?.get('with'), exports)) wrong.push(`${which}: no ${here}`);
          continue;
        }
        const row = [`${name}.${entry.python} ${python}`, python].find((each) => leftOut.has(each));
        if (row === undefined) wrong.push(`${which} has no reason`);
        else unused.delete(row);
        const camel = camelCase(python);
        if (ours.positional.has(camel) || ours.options.has(camel)) wrong.push(`${which} is not left out`);
      }
    }
  }
  return [...wrong, ...[...unused].map((row) => `${row} is listed as left out, but no method leaves it out`)];
}

function existsInOurs(
  place: string,
  { positional, options }: OurParameters,
  withFlags: OurParameters | undefined,
  exports: ReadonlySet<string>,
): boolean {
  const [, key] = /^\{ (\w+) \}$/.exec(place) ?? [];
  if (key !== undefined) return options.has(key);
  const [, flag] = /^with\(\{ (\w+) \}\)$/.exec(place) ?? [];
  if (flag !== undefined) return withFlags?.options.has(flag) === true;
  const [, exported] = /^(\w+)\(\)$/.exec(place) ?? [];
  return exported === undefined ? positional.has(place) : exports.has(exported);
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function readApiPage(): string {
  return readFileSync(new URL('../../../docs/python-api.md', import.meta.url), 'utf8');
}
