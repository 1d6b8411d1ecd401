import { UnpickleError } from './unpickle-error.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Decodes UTF-8 as written with Python's `surrogatepass`, in which a lone surrogate takes three bytes. */
export function decodeUtf8(bytes: Uint8Array): string {
  return hasSurrogates(bytes) ? decodeWithSurrogates(bytes) : decodeStrictly(bytes);
}

function decodeStrictly(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new UnpickleError('text is not valid UTF-8', { cause });
  }
}

/** Detects surrogates before decoding, because catching an error for each of many texts would be slow. */
function hasSurrogates(bytes: Uint8Array): boolean {
  for (let at = bytes.indexOf(0xed); at >= 0; at = bytes.indexOf(0xed, at + 1)) {
    if ((bytes[at + 1] ?? 0) >= 0xa0) return true;
  }
  return false;
}

function decodeWithSurrogates(bytes: Uint8Array): string {
  const units = Buffer.allocUnsafe(2 * bytes.length);
  let used = 0;
  let start = 0;
  for (let at = bytes.indexOf(0xed); at >= 0; at = bytes.indexOf(0xed, at + 1)) {
    const second = bytes[at + 1] ?? 0;
    const third = bytes[at + 2] ?? 0;
    if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue;
    if (at > start) used += units.write(decodeStrictly(bytes.subarray(start, at)), used, 'utf16le');
    used = units.writeUInt16LE(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f), used);
    start = at + 3;
  }
  used += units.write(decodeStrictly(bytes.subarray(start)), used, 'utf16le');
  return units.toString('utf16le', 0, used);
}

/** One character per byte. `TextDecoder('latin1')` is windows-1252 and cannot be used. */
export function decodeLatin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** The inverse of {@link decodeLatin1}; undefined if a character does not fit in a byte. */
export function encodeLatin1(text: string): Uint8Array | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is all byte values
  return /^[\u0000-\u00ff]*$/.test(text) ? Uint8Array.from(Buffer.from(text, 'latin1')) : undefined;
}

/** A `str` of Python 2: text if it is ASCII, otherwise bytes, because Python 2 used `str` for both. */
export function decodeByteString(bytes: Uint8Array): string | Uint8Array {
  return bytes.every((byte) => byte < 0x80) ? decodeLatin1(bytes) : Uint8Array.from(bytes);
}

/** Decodes Python's `raw-unicode-escape`: only `\uXXXX` and `\UXXXXXXXX` after an odd number of backslashes are escapes. */
export function decodeRawUnicodeEscape(bytes: Uint8Array): string {
  return decodeLatin1(bytes).replace(
    /\\(?:\\|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([uU]))/g,
    (match, short: string | undefined, long: string | undefined, broken: string | undefined) => {
      if (broken !== undefined) throw new UnpickleError('text has a malformed \\u escape');
      const hex = short ?? long;
      if (hex === undefined) return match;
      const code = Number.parseInt(hex, 16);
      if (code > 0x10ffff) throw new UnpickleError(`text has \\U${hex}, which is not a Unicode character`);
      return String.fromCodePoint(code);
    },
  );
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Decodes the quoted literal that protocol 0 of Python 2 writes for a `str`. */
export function decodeStringLiteral(line: Uint8Array): string | Uint8Array {
  const literal = decodeLatin1(line).trim();
  const quote = literal[0];
  if (literal.length < 2 || (quote !== "'" && quote !== '"') || !literal.endsWith(quote)) {
    throw new UnpickleError('a string literal must be quoted');
  }
  const text = literal
    .slice(1, -1)
    .replace(
      /\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))/g,
      (match, hex: string | undefined, octal: string | undefined, other: string | undefined) => {
        if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
        if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
        return SIMPLE_ESCAPES[other ?? ''] ?? match;
      },
    );
  return decodeByteString(Buffer.from(text, 'latin1'));
}
