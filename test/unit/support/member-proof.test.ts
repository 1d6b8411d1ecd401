// prove() distinguishes proofs from tests that assert nothing about a member.
import { expect, test } from 'vitest';
import { type Class, disableMember, prove } from '../../support/documents/member-proof.js';

class Base {
  static make(): Base {
    return new Base();
  }

  readonly field = 'field';
  readonly #items: number[] = [];

  add(n: number): this {
    this.#items.push(n);
    return this;
  }

  get size(): number {
    return this.#items.length;
  }

  async list(): Promise<number[]> {
    return [...this.#items];
  }

  async *each(): AsyncGenerator<number> {
    yield* this.#items;
  }
}

class Derived extends Base {}

const of = (name: string, owner: Class = Base) => ({ owner, name });

test('a proof whose result depends on the member is accepted', async () => {
  await prove(of('add'), async () => {
    expect(await new Base().add(1).list()).toEqual([1]);
  });
  await prove(of('size'), async () => {
    expect(new Base().add(1).size).toBe(1);
  });
  await prove(of('list'), async () => {
    expect((await new Base().list()).length).toBe(0);
  });
  await prove(of('each'), async () => {
    const all: number[] = [];
    for await (const n of new Base().add(1).each()) all.push(n);
    expect(all).toEqual([1]);
  });
  await prove(of('make'), async () => {
    expect(Base.make()).toBeInstanceOf(Base);
  });
  await prove(of('field'), async (touch) => {
    const base = new Base();
    touch(base);
    expect(base.field).toBe('field');
  });
});

test.each<[string, string, (base: Base) => Promise<void>]>([
  ['uses the member and asserts nothing', 'list', async (base) => void (await base.list())],
  [
    'uses the result and asserts nothing',
    'list',
    async (base) => void (await base.list()).map((n) => n.toFixed()).join(),
  ],
  ['asserts that the member exists', 'list', async (base) => expect(base.list).toBeTypeOf('function')],
  ['asserts that the result is defined', 'list', async (base) => expect(await base.list()).toBeDefined()],
  [
    'asserts something else',
    'add',
    async (base) => {
      base.add(1);
      expect(base.field).toBe('field');
    },
  ],
  ['does not use the member', 'list', async (base) => expect(base.size).toBe(0)],
  [
    'asserts inside a loop without elements',
    'each',
    async (base) => {
      for await (const n of base.each()) expect(n).toBe(1);
    },
  ],
])('a test that %s is rejected', async (_, name, test) => {
  await expect(prove(of(name), () => test(new Base()))).rejects.toThrow('passes without it');
});

test('a proof for a member of another class is rejected', async () => {
  const proof = async () => expect(await new Base().list()).toEqual([]);
  await expect(prove(of('list', Derived), proof)).rejects.toThrow('Derived.list passes without it');
  await expect(prove(of('list'), async () => expect(await new Derived().list()).toEqual([]))).rejects.toThrow(
    'Base.list passes without it',
  );
  await prove({ ...of('list'), derived: true }, async () => expect(await new Derived().list()).toEqual([]));
});

test('a proof that fails, hangs or names a missing member is rejected', async () => {
  const wrong = async () => expect(await new Base().list()).toEqual([1]);
  await expect(prove(of('list'), wrong)).rejects.toThrow('to deeply equal');
  const stuck = () => new Promise<void>(() => undefined);
  await expect(prove(of('list'), stuck, { limit: 20 })).rejects.toThrow('did not end within 20 ms');
  await expect(prove(of('missing'), async (touch) => touch(new Base()))).rejects.toThrow(
    'Base has no missing',
  );
});

test('the member is restored afterwards', async () => {
  const before = Object.getOwnPropertyDescriptor(Base.prototype, 'size');
  disableMember(of('size')).restore();
  expect(Object.getOwnPropertyDescriptor(Base.prototype, 'size')).toEqual(before);
  disableMember(of('size', Derived)).restore();
  expect(Object.hasOwn(Derived.prototype, 'size')).toBe(false);
  const ended: string[] = [];
  await prove(of('add'), async () => expect(new Base().add(1).size).toBe(1), {
    ended: async () => void ended.push('ended'),
  });
  expect(ended).toHaveLength(2);
});
