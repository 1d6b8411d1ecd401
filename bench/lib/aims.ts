import { printMarkdown } from './report.js';

/** An aim of the project and its measured value. */
export interface Aim {
  readonly name: string;
  /** The required value, as text. */
  readonly target: string;
  /** The measured value, as text. */
  readonly measured: string;
  /** Undefined when the value was not measured. */
  readonly met: boolean | undefined;
}

/** Compares a value with a lower or an upper bound. NaN means that the value was not measured. */
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
    target: `${least === undefined ? 'at most' : 'at least'} ${bound}${unit}`,
    measured: Number.isNaN(value) ? 'not measured' : `${value.toFixed(digits)}${unit}${detail}`,
    met: Number.isNaN(value) ? undefined : met,
  };
}

/** Prints all aims as a Markdown table. */
export function printAims(aims: readonly Aim[]): void {
  printMarkdown(
    'The aims',
    ['aim', 'target', 'measured', 'met'],
    aims.map(({ name, target, measured, met }) => [
      name,
      target,
      measured,
      met === undefined ? '–' : met ? 'yes' : 'no',
    ]),
  );
}
