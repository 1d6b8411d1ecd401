/** Replaces lone surrogates, which Python's databases refuse, by U+FFFD. */
export function toWellFormedText(text: string): string {
  return /[\ud800-\udfff]/.test(text) ? Buffer.from(text, 'utf8').toString('utf8') : text;
}
