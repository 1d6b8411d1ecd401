import { decodeDate, decodeDatetime, decodeTime, decodeTimedelta } from './date-time.js';
import { type Callee, PyDict, PyGlobal, PyInstance, PySet } from './nodes.js';
import { type Budget, MEMORY_COSTS } from './pickle-limits.js';
import { encodeLatin1 } from './text.js';
import { Complex } from './values/complex.js';
import { Decimal, isDecimalText } from './values/decimal.js';

/** Makes a JavaScript value from the arguments of a call; undefined for unexpected arguments. */
type Constructor = (args: readonly unknown[], budget: Budget) => unknown;

function makeBytes(args: readonly unknown[], budget: Budget): unknown {
  const [source, encoding] = args;
  budget.spend(MEMORY_COSTS.bytes);
  if (args.length === 0) return new Uint8Array(0);
  if (source instanceof Uint8Array && args.length === 1) {
    budget.spend(source.length);
    return new Uint8Array(source);
  }
  // Protocols 0 to 2 have no bytes opcode; they encode each byte as a character.
  if (typeof source !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1')) return undefined;
  budget.spend(2 * source.length);
  return encodeLatin1(source);
}

function makeSet(args: readonly unknown[], budget: Budget): unknown {
  const [items] = args;
  if (args.length > 1 || (items !== undefined && !Array.isArray(items))) return undefined;
  budget.spend(MEMORY_COSTS.container + MEMORY_COSTS.entry * (items?.length ?? 0));
  return new PySet(items === undefined ? [] : [...items]);
}

/** Makes an OrderedDict, Counter or defaultdict from no argument, a dict or (Python 2) a list of pairs. */
function makeDict([source]: readonly unknown[], budget: Budget): unknown {
  budget.spend(MEMORY_COSTS.container);
  const dict = new PyDict();
  if (source instanceof PyDict) {
    budget.spend(MEMORY_COSTS.entry * source.keys.length);
    source.keys.forEach((key, i) => {
      dict.set(key, source.values[i]);
    });
  } else if (Array.isArray(source)) {
    budget.spend(MEMORY_COSTS.entry * source.length);
    for (const pair of source) {
      if (!Array.isArray(pair) || pair.length !== 2) return undefined;
      dict.set(pair[0], pair[1]);
    }
  } else if (source !== undefined) return undefined;
  return dict;
}

function makeDeque([items]: readonly unknown[], budget: Budget): unknown {
  if (items !== undefined && !Array.isArray(items)) return undefined;
  budget.spend(MEMORY_COSTS.container + MEMORY_COSTS.element * (items?.length ?? 0));
  return items === undefined ? [] : [...items];
}

function makeComplex([real, imag]: readonly unknown[]): unknown {
  return typeof real === 'number' && typeof imag === 'number' ? new Complex(real, imag) : undefined;
}

function makeDecimal([text]: readonly unknown[], budget: Budget): unknown {
  if (typeof text !== 'string') return undefined;
  budget.countSteps(text.length);
  return isDecimalText(text) ? new Decimal(text) : undefined;
}

const constructors: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ['builtins.getattr', attributeOf],
  ['copyreg._reconstructor', reconstruct],
  ['_codecs.encode', makeBytes],
  ['builtins.bytes', makeBytes],
  ['builtins.bytearray', makeBytes],
  ['builtins.set', makeSet],
  ['builtins.frozenset', makeSet],
  ['builtins.complex', makeComplex],
  ['collections.OrderedDict', makeDict],
  ['collections.Counter', makeDict],
  // The first argument is the factory of default values, which is dropped.
  ['collections.defaultdict', ([, source], budget) => makeDict([source], budget)],
  ['collections.deque', makeDeque],
  ['datetime.date', decodeDate],
  ['datetime.datetime', decodeDatetime],
  ['datetime.time', decodeTime],
  ['datetime.timedelta', decodeTimedelta],
  ['decimal.Decimal', makeDecimal],
]);

/** Returns the class of a function's result, or undefined if the arguments do not show it. */
type ClassNamer = (args: readonly unknown[]) => PyGlobal | undefined;

const firstArgument: ClassNamer = ([type]) => (type instanceof PyGlobal ? type : undefined);
const ndarray: ClassNamer = () => new PyGlobal('numpy', 'ndarray');

/** Functions that create a class pickled by value, and the index of its name in `(…, name, bases, …)`. */
const CLASS_MAKERS: ReadonlyMap<string, number> = new Map([
  ['builtins.type', 0],
  ['dill._dill._create_type', 1],
  ['cloudpickle.cloudpickle._make_skeleton_class', 1],
  ['cloudpickle.cloudpickle._make_skeleton_enum', 1],
]);

/** The class of the result when the callee is itself the result of a call, such as a class pickled by value. */
function classOfResult({ callee, args, type }: PyInstance): PyGlobal {
  const index = CLASS_MAKERS.get(callee instanceof PyGlobal ? callee.name : '');
  const name = index === undefined ? undefined : args[index];
  if (typeof name !== 'string') return new PyGlobal(type.module, `${type.qualname}()`);
  const attributes = args.find((arg) => arg instanceof PyDict && arg.attribute('__module__') !== undefined);
  const module = attributes instanceof PyDict ? attributes.attribute('__module__') : undefined;
  return new PyGlobal(typeof module === 'string' ? module : '__main__', name);
}

const NUMPY_KINDS: Readonly<Record<string, string>> = { f: 'float', i: 'int', u: 'uint', c: 'complex' };

/** Returns the class of a numpy scalar, such as `numpy.float64` for the dtype code `f8`. */
const numpyScalar: ClassNamer = ([dtype]) => {
  const code = dtype instanceof PyInstance ? dtype.args[0] : undefined;
  const parts = typeof code === 'string' && code.length <= 4 ? /^([fiuc])(\d+)$/.exec(code) : null;
  const kind = NUMPY_KINDS[parts?.[1] ?? ''];
  if (typeof code === 'string' && /^V\d{1,9}$/.test(code)) return new PyGlobal('numpy', 'void');
  return new PyGlobal('numpy', kind === undefined ? 'generic' : `${kind}${8 * Number(parts?.[2])}`);
};

const classNamers: ReadonlyMap<string, ClassNamer> = new Map<string, ClassNamer>([
  ['copyreg.__newobj__', firstArgument],
  ['array._array_reconstructor', firstArgument],
  ['numpy.ma.core._mareconstruct', firstArgument],
  ['re._compile', () => new PyGlobal('re', 'Pattern')],
  ['pandas._libs.tslibs.nattype._nat_unpickle', () => new PyGlobal('pandas', 'NaT')],
  ['pandas._libs.tslibs.nattype.__nat_unpickle', () => new PyGlobal('pandas', 'NaT')],
  ['zoneinfo.ZoneInfo._unpickle', () => new PyGlobal('zoneinfo', 'ZoneInfo')],
  ...[
    'base._new_Index',
    'datetimes._new_DatetimeIndex',
    'timedeltas._new_TimedeltaIndex',
    'interval._new_IntervalIndex',
  ]
    .map((name) => `pandas.core.indexes.${name}`)
    .concat('pandas._libs.arrays.__pyx_unpickle_NDArrayBacked', 'pandas._libs.internals._unpickle_block')
    .map((name): [string, ClassNamer] => [name, firstArgument]),
  ...['numpy.core', 'numpy._core'].flatMap((numpy): [string, ClassNamer][] => [
    [`${numpy}.multiarray._reconstruct`, firstArgument],
    [`${numpy}.multiarray.scalar`, numpyScalar],
    [`${numpy}.numeric._frombuffer`, ndarray],
  ]),
]);

/** `getattr(Class, 'name')`, the form in which protocols before 4 name nested classes. */
function attributeOf([owner, attribute]: readonly unknown[], budget: Budget): PyGlobal | undefined {
  if (!(owner instanceof PyGlobal) || typeof attribute !== 'string') return undefined;
  budget.spend(MEMORY_COSTS.global + 2 * (owner.name.length + attribute.length));
  return new PyGlobal(owner.module, `${owner.qualname}.${attribute}`);
}

/** `copyreg._reconstructor` of protocols 0 and 1, recorded as newer protocols do: as a call of the class. */
function reconstruct([type, base, state]: readonly unknown[], budget: Budget): PyInstance | undefined {
  if (!(type instanceof PyGlobal) || !(base instanceof PyGlobal)) return undefined;
  if (base.name === 'builtins.list' && Array.isArray(state)) {
    budget.spend(MEMORY_COSTS.element * state.length);
    const instance = new PyInstance(type, type, [], null);
    for (const item of state) instance.items.push(item);
    return instance;
  }
  if (base.name === 'builtins.dict' && state instanceof PyDict) {
    budget.spend(MEMORY_COSTS.entry * state.keys.length);
    const instance = new PyInstance(type, type, [], null);
    state.keys.forEach((key, i) => {
      instance.entries.set(key, state.values[i]);
    });
    return instance;
  }
  return new PyInstance(
    type,
    type,
    base.name === 'builtins.object' || state === undefined ? [] : [state],
    null,
  );
}

/** Returns the JavaScript value that a call makes if the class is known, otherwise a record of the call. */
export function construct(callee: Callee, args: unknown[], kwargs: unknown, budget: Budget): unknown {
  if (callee instanceof PyInstance) {
    budget.spend(MEMORY_COSTS.global + 2 * callee.type.name.length);
    budget.countSteps(callee.args.length);
    return new PyInstance(callee, classOfResult(callee), args, kwargs);
  }
  const { name } = callee;
  if (kwargs === null) {
    const known = constructors.get(name)?.(args, budget);
    if (known !== undefined) return known;
  }
  return new PyInstance(callee, classNamers.get(name)?.(args) ?? callee, args, kwargs);
}
