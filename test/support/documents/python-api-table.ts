// docs/python-api.md, read, and compared with what is here.
import { readFileSync } from 'node:fs';
import type { OurParameters } from './our-signatures.js';

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
    if (section.startsWith('Parameters')) continue;
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

/** One parameter of Python's. */
export interface Parameter {
  readonly python: string;
  /** Its place here; undefined when it is left out. */
  readonly here: string | undefined;
}

/** The parameters that an entry tells, in their order. */
export function parametersOf({ python, note }: Entry): Parameter[] {
  if (note === '') return [];
  return note.split(/, (?=`)/).map((text) => {
    const found = /^`(\w+)`(?: → `([^`]+)`| (–))?$/.exec(text);
    if (found === null) throw new Error(`${python}: "${text}" tells no parameter`);
    const [, name = '', here, none] = found;
    return { python: name, here: none === undefined ? (here ?? name) : undefined };
  });
}

/** What is said to be left out: a parameter, of a method (`Client.close`) or of `all`. */
export function readLeftOut(text = readApiPage()): ReadonlySet<string> {
  const rows = text.matchAll(/^\| `(\w+)` \| (?:(all)|`(\w+\.\w+)`) \| .{10,} \|$/gm);
  return new Set(
    [...rows].map(([, name = '', all, method = '']) => (all === undefined ? `${method} ${name}` : name)),
  );
}

/** The methods of ours that the table is compared with, and what else the client exports. */
export interface Ours {
  readonly signatures: ReadonlyMap<string, ReadonlyMap<string, OurParameters>>;
  readonly exports: ReadonlySet<string>;
}

/** What is wrong with the table: names and parameters that are not where it says, or left out without a reason. */
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
          if (!isThere(here, ours, members?.get('with'), exports)) wrong.push(`${which}: no ${here}`);
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
  return [...wrong, ...[...unused].map((row) => `${row} is left out nowhere`)];
}

function isThere(
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
