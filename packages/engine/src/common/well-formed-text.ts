/** Text as UTF-8 can carry it: a lone surrogate, which Python's databases refuse, becomes U+FFFD. */
export function wireText(text: string): string {
  return /[\ud800-\udfff]/.test(text) ? Buffer.from(text, 'utf8').toString('utf8') : text;
}
