// Whether a test proves anything about a member of a class: only if it passes as things are and fails when that member
// is out of order. Putting it out of order must not fail by itself, or every use of it would count for a proof.

/** A class, as far as it is needed here. */
export interface Class {
  readonly name: string;
  readonly prototype: object;
}

/** A member of a class. */
export interface Member {
  readonly owner: Class;
  readonly name: string;
  /** Whether objects of derived classes are concerned, too; false by default. */
  readonly derived?: boolean;
}

/** A member that is out of order. */
export interface OutOfOrder {
  /** Puts a field out of order, which is each object's own. Does nothing for what the class has. */
  touch(object: object): void;
  restore(): void;
}

/** Names by which an assertion asks a value how it wants to be compared or shown. */
const FOREIGN = new Set<string | symbol>([
  'asymmetricMatch',
  '$$typeof',
  'nodeType',
  'toJSON',
  'constructor',
]);

function hole(thenable: boolean): object {
  const handler: ProxyHandler<object> = {
    get(_, key) {
      if (FOREIGN.has(key)) return undefined;
      if (key === 'then')
        return thenable ? (resolve?: (value: unknown) => void) => resolve?.(hole(false)) : undefined;
      if (key === Symbol.toPrimitive) return () => Number.NaN;
      if (key === Symbol.iterator) return () => [][Symbol.iterator]();
      if (key === Symbol.asyncIterator)
        return () => ({ next: async () => ({ done: true, value: undefined }) });
      if (key === Symbol.dispose || key === Symbol.asyncDispose) return () => undefined;
      if (typeof key === 'symbol') return undefined;
      return hole(true);
    },
    apply: () => hole(true),
    construct: () => hole(true),
    set: () => true,
  };
  return new Proxy(() => undefined, handler);
}

/** Answers whatever it is asked, called, awaited or iterated, never with an error and never with what is right. */
function answersNothing(): object {
  return hole(true);
}

/** Puts a member out of order, for objects of its class alone: it does nothing and answers nothing. */
export function putOutOfOrder({ owner, name, derived = false }: Member): OutOfOrder {
  const place: object = name in owner.prototype ? owner.prototype : owner;
  const found = descriptorOf(place, name);
  if (found === undefined) {
    const touch = (object: object): void => {
      if (!Object.hasOwn(object, name)) throw new Error(`${owner.name} has no ${name}`);
      Object.defineProperty(object, name, { value: answersNothing(), configurable: true });
    };
    return { touch, restore: () => undefined };
  }
  const own = Object.getOwnPropertyDescriptor(place, name);
  Object.defineProperty(place, name, {
    configurable: true,
    get(this: object): unknown {
      const concerned =
        place === owner ||
        (derived ? isDerived(this, owner) : Object.getPrototypeOf(this) === owner.prototype);
      if (concerned) return answersNothing();
      return found.get === undefined ? found.value : found.get.call(this);
    },
  });
  const restore = (): void => {
    if (own === undefined) Reflect.deleteProperty(place, name);
    else Object.defineProperty(place, name, own);
  };
  return { touch: () => undefined, restore };
}

function isDerived(object: object, owner: Class): boolean {
  return Object.prototype.isPrototypeOf.call(owner.prototype, object);
}

function descriptorOf(place: object, name: string): PropertyDescriptor | undefined {
  for (let at: object | null = place; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const found = Object.getOwnPropertyDescriptor(at, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Runs a proof twice: with the member out of order, when it has to fail, and as things are, when it has to pass.
 * `ended` comes after each. @throws what the second run fails with; an Error when the first passes, or does not end
 */
export async function prove(
  member: Member,
  proof: (touch: (object: object) => void) => Promise<void>,
  { limit = 20_000, ended = async () => {} }: { limit?: number; ended?: () => Promise<void> } = {},
): Promise<void> {
  const what = `${member.owner.name}.${member.name}`;
  const broken = putOutOfOrder(member);
  const passes = Symbol();
  let outcome: unknown;
  let absent: unknown;
  const touch = (object: object): void => {
    try {
      broken.touch(object);
    } catch (error) {
      absent = error;
    }
  };
  let timer: NodeJS.Timeout | undefined;
  try {
    const over = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, limit, 'over');
    });
    const run = proof(touch).then(
      () => passes,
      (error: unknown) => error,
    );
    outcome = await Promise.race([run, over]);
  } finally {
    clearTimeout(timer);
    broken.restore();
    await ended();
  }
  if (absent !== undefined) throw absent;
  if (outcome === passes) throw new Error(`the proof of ${what} passes without it: it asserts nothing of it`);
  if (outcome === 'over') throw new Error(`the proof of ${what} has not ended ${limit} ms after it began`);
  try {
    await proof(() => undefined);
  } finally {
    await ended();
  }
}
