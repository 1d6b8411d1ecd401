import { printMarkdown } from './report.js';

/** One aim of the project, as measured in this run. */
export interface Aim {
  readonly name: string;
  /** What is aimed for, in words. */
  readonly wanted: string;
  /** What came out, in words. */
  readonly reached: string;
  /** Undefined where a part of it was not measured. */
  readonly met: boolean | undefined;
}

/** An aim whose number must be at least, or at most, a bound; NaN was not measured. */
export function aim(
  name: string,
  value: number,
  { least, most, unit }: { readonly least?: number; readonly most?: number; readonly unit: string },
  detail = '',
): Aim {
  const bound = least ?? most ?? Number.NaN;
  const met = least === undefined ? value <= bound : value >= bound;
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return {
    name,
    wanted: `${least === undefined ? 'at most' : 'at least'} ${bound}${unit}`,
    reached: Number.isNaN(value) ? 'not measured' : `${value.toFixed(digits)}${unit}${detail}`,
    met: Number.isNaN(value) ? undefined : met,
  };
}

/** Prints them all, to be pasted as they are. */
export function printAims(aims: readonly Aim[]): void {
  printMarkdown(
    'The aims',
    ['aim', 'wanted', 'reached', 'met'],
    aims.map(({ name, wanted, reached, met }) => [
      name,
      wanted,
      reached,
      met === undefined ? '–' : met ? 'yes' : 'no',
    ]),
  );
}
