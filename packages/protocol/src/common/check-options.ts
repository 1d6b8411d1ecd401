import { describe } from './describe.js';
import { UsageError } from './errors.js';
import { didYouMean } from './suggest.js';

/** The names of all options of `O`; the compiler rejects a list with a missing or an extra name. */
export type OptionNames<O> = { readonly [K in keyof Required<O>]: true };

/**
 * Rejects unknown option names, because a misspelt option would silently have no effect.
 * @param method the method that accepts the options, as named in the error
 * @throws {UsageError} when `options` is not an object, or has a name that is not in `names`; the message suggests
 * the nearest name or lists all
 */
export function checkOptions(options: unknown, names: Readonly<Record<string, true>>, method: string): void {
  if (options === undefined) return;
  const known = Object.keys(names);
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new UsageError(
      `options of ${method} must be an object such as { ${known[0]}: … }, got ${describe(options)}`,
    );
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue;
    const clippedName = name.slice(0, 60);
    const suggestion = didYouMean(clippedName, known);
    throw new UsageError(
      `${method} has no option "${clippedName}"${suggestion === '' ? `; its options are ${known.join(', ')}` : suggestion}`,
    );
  }
}
