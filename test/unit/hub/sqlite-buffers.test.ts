import { decodeBuffers, encodeBuffers } from '@ipyparallel-js/hub/internal';
import { describe, expect, test } from 'vitest';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

const BUFFERS = [
  '',
  'a',
  '',
  'a',
  `${String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i))}!`,
  'zz',
].map((text) => Buffer.from(text, 'latin1'));

// pickle.dumps of these buffers in Python 3.11, by protocol.
const PICKLES: { readonly [protocol: number]: string } = {
  2: '80025d710028635f5f6275696c74696e5f5f0a62797465730a710129527102635f636f646563730a656e636f64650a7103580100000061710458060000006c6174696e3171058671065271076802680768035881010000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7fc280c281c282c283c284c285c286c287c288c289c28ac28bc28cc28dc28ec28fc290c291c292c293c294c295c296c297c298c299c29ac29bc29cc29dc29ec29fc2a0c2a1c2a2c2a3c2a4c2a5c2a6c2a7c2a8c2a9c2aac2abc2acc2adc2aec2afc2b0c2b1c2b2c2b3c2b4c2b5c2b6c2b7c2b8c2b9c2bac2bbc2bcc2bdc2bec2bfc380c381c382c383c384c385c386c387c388c389c38ac38bc38cc38dc38ec38fc390c391c392c393c394c395c396c397c398c399c39ac39bc39cc39dc39ec39fc3a0c3a1c3a2c3a3c3a4c3a5c3a6c3a7c3a8c3a9c3aac3abc3acc3adc3aec3afc3b0c3b1c3b2c3b3c3b4c3b5c3b6c3b7c3b8c3b9c3bac3bbc3bcc3bdc3bec3bf217108680586710952710a680358020000007a7a710b680586710c52710d652e',
  3: '80035d710028430071014301617102680168024201010000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff21710343027a7a7104652e',
  4: '8004951c010000000000005d942843009443016194680168024201010000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff219443027a7a94652e',
  5: '8005951c010000000000005d942843009443016194680168024201010000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff219443027a7a94652e',
};

const plain = (buffers: readonly Uint8Array[]): Buffer[] => buffers.map((buffer) => Buffer.from(buffer));

describe('buffers as ipyparallel’s SQLiteDB stores them', () => {
  test.each(Object.entries(PICKLES))('are read from protocol %s', (_protocol, text) => {
    expect(plain(decodeBuffers(hex(text)))).toEqual(BUFFERS);
  });

  test('are decoded as they were encoded', () => {
    for (const buffers of [[], [Buffer.alloc(0)], BUFFERS, [Buffer.alloc(255, 1), Buffer.alloc(70_000, 2)]]) {
      expect(plain(decodeBuffers(encodeBuffers(buffers)))).toEqual(buffers);
    }
    expect(plain(decodeBuffers(hex('80055d942e')))).toEqual([]);
    expect(plain(decodeBuffers(hex('8005950a000000000000005d9443036f6e6594612e')))).toEqual([
      Buffer.from('one'),
    ]);
  });

  test.each([
    ['a dict', '8005950a000000000000007d948c0161944b01732e'],
    ['a list with a text', '8005950d000000000000005d9428430161948c016294652e'],
    ['an empty cell', ''],
    ['a truncated pickle', PICKLES[5]?.slice(0, 100) ?? ''],
    ['a length beyond the end', '80045d28428fffffff652e'],
    ['a length beyond the safe integers', '80045d288effffffffffffffff652e'],
    ['a name to be imported', '80045d288c026f73948c0673797374656d9493652e'],
  ])('are not read from %s', (_name, text) => {
    expect(() => decodeBuffers(hex(text))).toThrow();
  });
});
