// Checks that a test proves something about a member of a class: it must pass normally and fail while the member is
// disabled. A disabled member must not throw by itself, or any use of it would count as a proof.

/** The parts of a class that are used here. */
export interface Class {
  readonly name: string;
  readonly prototype: object;
}

/** A member of a class. */
export interface Member {
  readonly owner: Class;
  readonly name: string;
  /** Whether the member is also disabled for objects of derived classes. Default false. */
  readonly derived?: boolean;
}

/** A disabled member. */
export interface DisabledMember {
  /** Disables the member on one object if it is an instance field; does nothing for members of the class. */
  touch(object: object): void;
  restore(): void;
}

/** Properties that assertions read to compare or print a value. */
const ASSERTION_KEYS = new Set<string | symbol>([
  'asymmetricMatch',
  '$$typeof',
  'nodeType',
  'toJSON',
  'constructor',
]);

function inertProxy(thenable: boolean): object {
  const handler: ProxyHandler<object> = {
    get(_, key) {
      if (ASSERTION_KEYS.has(key)) return undefined;
      if (key === 'then')
        return thenable ? (resolve?: (value: unknown) => void) => resolve?.(inertProxy(false)) : undefined;
      if (key === Symbol.toPrimitive) return () => Number.NaN;
      if (key === Symbol.iterator) return () => [][Symbol.iterator]();
      if (key === Symbol.asyncIterator)
        return () => ({ next: async () => ({ done: true, value: undefined }) });
      if (key === Symbol.dispose || key === Symbol.asyncDispose) return () => undefined;
      if (typeof key === 'symbol') return undefined;
      return inertProxy(true);
    },
    apply: () => inertProxy(true),
    construct: () => inertProxy(true),
    set: () => true,
  };
  return new Proxy(() => undefined, handler);
}

/** A value that can be read, called, awaited and iterated without an error, and never returns a correct result. */
function inertValue(): object {
  return inertProxy(true);
}

/** Disables a member for objects of its class only, by replacing it with an inert value. */
export function disableMember({ owner, name, derived = false }: Member): DisabledMember {
  const holder: object = name in owner.prototype ? owner.prototype : owner;
  const found = descriptorOf(holder, name);
  if (found === undefined) {
    const touch = (object: object): void => {
      if (!Object.hasOwn(object, name)) throw new Error(`${owner.name} has no ${name}`);
      Object.defineProperty(object, name, { value: inertValue(), configurable: true });
    };
    return { touch, restore: () => undefined };
  }
  const original = Object.getOwnPropertyDescriptor(holder, name);
  Object.defineProperty(holder, name, {
    configurable: true,
    get(this: object): unknown {
      const isAffected =
        holder === owner ||
        (derived ? isDerived(this, owner) : Object.getPrototypeOf(this) === owner.prototype);
      if (isAffected) return inertValue();
      return found.get === undefined ? found.value : found.get.call(this);
    },
  });
  const restore = (): void => {
    if (original === undefined) Reflect.deleteProperty(holder, name);
    else Object.defineProperty(holder, name, original);
  };
  return { touch: () => undefined, restore };
}

function isDerived(object: object, owner: Class): boolean {
  return Object.prototype.isPrototypeOf.call(owner.prototype, object);
}

function descriptorOf(holder: object, name: string): PropertyDescriptor | undefined {
  for (let at: object | null = holder; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const found = Object.getOwnPropertyDescriptor(at, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Runs a proof twice: it must fail with the member disabled, and then pass normally. Calls `ended` after each run.
 * @throws {Error} when the first run passes or does not end within `limit` ms; any error of the second run
 */
export async function prove(
  member: Member,
  proof: (touch: (object: object) => void) => Promise<void>,
  { limit = 20_000, ended = async () => {} }: { limit?: number; ended?: () => Promise<void> } = {},
): Promise<void> {
  const what = `${member.owner.name}.${member.name}`;
  const disabled = disableMember(member);
  const passes = Symbol();
  let outcome: unknown;
  let absent: unknown;
  const touch = (object: object): void => {
    try {
      disabled.touch(object);
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
    disabled.restore();
    await ended();
  }
  if (absent !== undefined) throw absent;
  if (outcome === passes)
    throw new Error(`the proof of ${what} passes without it, so it must assert something about ${what}`);
  if (outcome === 'over') throw new Error(`the proof of ${what} did not end within ${limit} ms`);
  try {
    await proof(() => undefined);
  } finally {
    await ended();
  }
}
