import { UnpickleError } from './unpickle-error.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** UTF-8 as Python's `surrogatepass` writes it: lone surrogates are three bytes each, and come back as they were. */
export function decodeUtf8(bytes: Uint8Array): string {
  return hasSurrogates(bytes) ? decodeWithSurrogates(bytes) : decodeStrictly(bytes);
}

function decodeStrictly(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new UnpickleError('a text that is not UTF-8', { cause });
  }
}

/** Told in advance: an error for each of many texts would take long. */
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

/** One character for each byte. Node's decoder of that name is another (windows-1252). */
export function decodeLatin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** The inverse of {@link decodeLatin1}; undefined when a character does not fit a byte. */
export function encodeLatin1(text: string): Uint8Array | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is every byte there is
  return /^[\u0000-\u00ff]*$/.test(text) ? Uint8Array.from(Buffer.from(text, 'latin1')) : undefined;
}

/** A `str` of Python 2: text where it is ASCII, otherwise the bytes that it may as well have been. */
export function decodeByteString(bytes: Uint8Array): string | Uint8Array {
  return bytes.every((byte) => byte < 0x80) ? decodeLatin1(bytes) : Uint8Array.from(bytes);
}

/** Python's `raw-unicode-escape`: only `\uXXXX` and `\UXXXXXXXX`, after an odd number of backslashes. */
export function decodeRawUnicodeEscape(bytes: Uint8Array): string {
  return decodeLatin1(bytes).replace(
    /\\(?:\\|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([uU]))/g,
    (whole, short: string | undefined, long: string | undefined, broken: string | undefined) => {
      if (broken !== undefined) throw new UnpickleError('a text with a broken \\u escape');
      const hex = short ?? long;
      if (hex === undefined) return whole;
      const code = Number.parseInt(hex, 16);
      if (code > 0x10ffff) throw new UnpickleError(`a text with a character past Unicode, \\U${hex}`);
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

/** The quoted literal by which protocol 0 of Python 2 writes a `str`. */
export function decodeStringLiteral(line: Uint8Array): string | Uint8Array {
  const literal = decodeLatin1(line).trim();
  const quote = literal[0];
  if (literal.length < 2 || (quote !== "'" && quote !== '"') || !literal.endsWith(quote)) {
    throw new UnpickleError('a string without its quotes');
  }
  const text = literal
    .slice(1, -1)
    .replace(
      /\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))/g,
      (whole, hex: string | undefined, octal: string | undefined, other: string | undefined) => {
        if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
        if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
        return SIMPLE_ESCAPES[other ?? ''] ?? whole;
      },
    );
  return decodeByteString(Buffer.from(text, 'latin1'));
}
