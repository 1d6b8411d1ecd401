import { UsageError } from './errors.js';
import { didYouMean } from './suggest.js';

/** The names of all options of `O`; the compiler sees to it that none is missing or too many. */
export type OptionNames<O> = { readonly [K in keyof Required<O>]: true };

/**
 * Refuses options that are no object, and names that there are not: a misspelt option would be a silent default.
 * `what` takes them. @throws UsageError with the nearest right name, or all
 */
export function checkOptions(options: unknown, names: Readonly<Record<string, true>>, what: string): void {
  if (options === undefined) return;
  const known = Object.keys(names);
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const given = options === null ? 'null' : Array.isArray(options) ? 'a list' : describe(options);
    throw new UsageError(`${what} takes its options as an object, such as { ${known[0]}: … }; not ${given}`);
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue;
    const clipped = name.slice(0, 60);
    const near = didYouMean(clipped, known);
    throw new UsageError(
      `${what} has no option "${clipped}"${near === '' ? `; there are ${known.join(', ')}` : near}`,
    );
  }
}

function describe(value: unknown): string {
  return typeof value === 'function' ? 'a function' : String(value).slice(0, 60);
}
