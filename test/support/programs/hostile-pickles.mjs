// Reads hostile pickles, each of which has a start, one repeated step and an end, and prints a line of JSON for each. Run it
// with little memory. Arguments: size of each pickle in bytes, and names of pickles (default all).
import { readPickle, UnpickleError } from '@ipyparallel-js/protocol';

const uint32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes.toString('latin1');
};

const MASK = (1n << 64n) - 1n;

function inverse(odd) {
  let x = 1n;
  for (let i = 0; i < 7; i += 1) x = (x * (2n - odd * x)) & MASK;
  return x;
}

function unshift(hash, bits) {
  let x = hash;
  for (let i = 0n; i <= 64n / bits; i += 1n) x = hash ^ (x >> bits);
  return x;
}

/** The 64 bits that V8 hashes to `hash`. */
function bitsOfHash(hash) {
  let x = unshift(hash & MASK, 22n);
  x = unshift((x * inverse(65n)) & MASK, 11n);
  x = unshift((x * inverse(21n)) & MASK, 31n);
  return ((x + 1n) * inverse((1n << 18n) - 1n)) & MASK;
}

function collidingFloat(i) {
  const bytes = Buffer.alloc(8);
  // Every NaN is the same key, so NaNs are skipped. Infinities and small integers are unlikely.
  for (let step = 0n; ; step += 1n) {
    bytes.writeBigUInt64BE(bitsOfHash((BigInt(i) + (step << 26n)) << 30n));
    if (!Number.isNaN(bytes.readDoubleBE())) return bytes.toString('latin1');
  }
}

function collidingInteger(i) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(bitsOfHash(BigInt(i + 1) << 30n));
  return bytes.toString('latin1');
}

/** Stores a class and its arguments in the memo; each step repeats the call. */
const calls = (name, args) => [`c${name}\n${args}q\x010q\x000(`, 'h\x00h\x01R', 'l.'];
const text = (value) => `X${uint32(value.length)}${value}`;
const array = (shape, code, bytes) =>
  calls('numpy\nndarray', `(${shape}${text(code)}B${uint32(bytes.length)}${bytes}K\x00N\x8c\x01Ct`);

/** Pickles by name: a start, a step (or a function of its offset) and an end. */
const PICKLES = {
  'nothing but stack': ['', 'N', '.'],
  'nothing but marks': ['', '(', 'N.'],
  'nothing but memo': ['', 'N\x94', '.'],
  'memo out of order': ['N', (i) => `r${uint32(i * 7919)}`, '.'],
  'empty frames': ['', `\x95${'\0'.repeat(8)}`, 'N.'],
  'empty tuples': ['(', ')', 'l.'],
  'empty lists': ['(', ']\x94', 'l.'],
  'empty dicts': ['(', '}', 'l.'],
  'empty sets': ['(', '\x8f', 'l.'],
  'empty texts': ['(', '\x8c\x00', 'l.'],
  'empty bytes': ['(', 'C\x00', 'l.'],
  'one list, element by element': [']', 'Na', '.'],
  'one dict, key by key': ['}', (i) => `V${i.toString(36)}\nNs`, '.'],
  'one dict by far numbers': ['}', (i) => `V${(i * 7919) % 4_294_967_295}\nNs`, '.'],
  'one dict, the same key': ['}', 'K\x01Ns', '.'],
  'dicts of one far number': ['\x8c\x03322q\x000(', '}h\x00Ns', 'l.'],
  'dicts by integers': ['(', '}K\x01Ns', 'l.'],
  'tuples in tuples': [')', '\x85', '.'],
  'floats of one hash': ['\x8f(', (i) => `G${collidingFloat(i)}`, '\x90.'],
  'integers of one hash': ['\x8f(', (i) => `\x8a\x0c${collidingInteger(i)}\x01\0\0\0`, '\x90.'],
  'keys of one hash': ['}(', (i) => `\x8a\x0c${'\0'.repeat(8)}${uint32(i + 1)}N`, 'u.'],
  'small big integers': ['(', '\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f', 'l.'],
  'large integers': ['(', `\x8b${uint32(131_072)}${'a'.repeat(131_072)}`, 'l.'],
  'large integers as text': ['(', `L${'9'.repeat(300_000)}L\n`, 'l.'],
  'no float': ['F', '9', 'x\n.'],
  'no integer': ['L', '9', 'x\n.'],
  'half surrogates': ['(', '\x8c\x03\xed\xa0\x80', 'l.'],
  'many half surrogates': ['(', text('\xed\xa0\x80'.repeat(10_000)), 'l.'],
  escapes: ['(', `V${'\\u4141'.repeat(10_000)}\n`, 'l.'],
  literals: ['(', "S'\\x41\\x42'\n", 'l.'],
  names: ['(', 'ca\nb\n', 'l.'],
  'names that grow': calls('builtins\ngetattr', `ca\n${'b'.repeat(400)}\n${text('c'.repeat(400))}\x86`),
  instances: calls('a\nb', ')'),
  'instances with states': ['ca\nb\nq\x000)q\x010(', 'h\x00h\x01R}b', 'l.'],
  'instances with elements': ['ca\nb\nq\x000)q\x010(', 'h\x00h\x01RNa', 'l.'],
  'instances of instances': ['ca\nb\nq\x000)q\x010h\x00h\x01Rq\x020(', 'h\x02h\x01R', 'l.'],
  'copies of bytes': calls('builtins\nbytes', `B${uint32(10_000)}${'a'.repeat(10_000)}\x85`),
  'bytes of text': calls('_codecs\nencode', `${text('a'.repeat(10_000))}\x8c\x06latin1\x86`),
  'copies of a list': calls('collections\ndeque', `(${'N'.repeat(5000)}l\x85`),
  'copies of a dict': calls('collections\nOrderedDict', `(${'NN'.repeat(2500)}d\x85`),
  'sets of a list': calls('builtins\nset', `(${'N'.repeat(5000)}l\x85`),
  datetimes: calls('datetime\ndatetime', 'C\x0a\x07\xea\x07\x01\x0c\x00\x00\x00\x00\x07\x85'),
  'datetimes in zones': calls(
    'datetime\ndatetime',
    'C\x0a\x07\xea\x07\x01\x0c\x00\x00\x00\x00\x07czoneinfo\nZoneInfo\n\x8c\x0dEurope/Berlin\x85R\x86',
  ),
  decimals: calls('decimal\nDecimal', `${text('9'.repeat(10_000))}\x85`),
  fractions: calls('fractions\nFraction', `${text('9'.repeat(10_000))}\x85`),
  uuids: calls('uuid\nUUID', `${text('1'.repeat(32))}\x85`),
  'times of pandas': calls('pandas._libs.tslibs.timestamps\n_unpickle_timestamp', '(K\x05NNK\x0at'),
  'times past counting': calls(
    'pandas._libs.tslibs.timestamps\n_unpickle_timestamp',
    `(\x8b${uint32(131_072)}${'a'.repeat(131_072)}NNK\x0at`,
  ),
  'indexes of pandas': calls(
    'pandas.core.indexes.base\n_new_Index',
    `cpandas\nRangeIndex\n}(\x8c\x05startK\x00\x8c\x04stopJ${uint32(1_000_000)}\x8c\x04stepK\x01u\x86`,
  ),
  arrays: array(')', 'f8', 'a'.repeat(8)),
  'arrays of halves': array('M\xe8\x03\x85', 'f2', 'a'.repeat(2000)),
  'arrays of texts': array('M\xe8\x03\x85', '<U1', 'a\0\0\0'.repeat(1000)),
  'arrays of one text': array(')', '<U1000', 'a\0\0\0'.repeat(1000)),
  'arrays of bytes': array('M\xe8\x03\x85', 'S1', 'a'.repeat(1000)),
  'arrays, most significant first': array('M\xe8\x03\x85', '>f2', 'a'.repeat(2000)),
  'arrays of nothing': calls('numpy\nndarray', '(K\x00J\0\0\x0f\0\x86\x8c\x02f8C\x00K\x00N\x8c\x01Ct'),
  'laughs of lists': [']', 'q\x000(h\x00h\x00h\x00l', '.'],
  'laughs of dicts': ['\x8c\x01aq\x010\x8c\x01bq\x020]', 'q\x000}(h\x01h\x00h\x02h\x00u', '.'],
};

function make([start, step, end], size) {
  // Built in place, because an array of parts would take more memory than reading the pickle.
  const bytes = Buffer.alloc(size + 1_000_000);
  let length = bytes.write(start, 'latin1');
  do {
    const part = typeof step === 'string' ? step : step(length);
    length += bytes.write(part, length, 'latin1');
  } while (length < size);
  length += bytes.write(end, length, 'latin1');
  return new Uint8Array(bytes.buffer, bytes.byteOffset, length);
}

const [size = '1000', ...names] = process.argv.slice(2);
for (const name of names.length > 0 ? names : Object.keys(PICKLES)) {
  const pickle = make(PICKLES[name], Number(size));
  let problem = null;
  try {
    readPickle(pickle);
  } catch (error) {
    if (!(error instanceof UnpickleError) || error.cause instanceof TypeError) throw error;
    problem = error.problem;
  }
  const maxMemory = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(`${JSON.stringify({ name, size: pickle.length, problem, maxMemory })}\n`);
}
