import { distance } from 'fastest-levenshtein';

/** The known name nearest to a misspelt one; undefined when every known name differs too much. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  const folded = name.toLowerCase();
  for (const candidate of known) {
    const d = distance(folded, candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

/** `, did you mean "x"?` with the nearest known name, or an empty string. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const nearestName = nearest(name, known);
  return nearestName === undefined ? '' : `, did you mean "${nearestName}"?`;
}
