import { PyCallable, packApplyMessage, UsageError } from '@ipyparallel-js/protocol';
import type { EngineLanguage } from '../engines/engine-languages.js';
import type { Work } from './work.js';
import { workOfCall } from './work.js';

const NAME = String.raw`[\p{ID_Start}$_][\p{ID_Continue}$]*`;
const PATH = new RegExp(String.raw`^${NAME}(?:\.${NAME})*$`, 'u');

/** Calls built-in functions through their module, because the engine's namespace may have redefined their names. */
function withBuiltins(lambda: string): PyCallable {
  return new PyCallable(`(lambda b: ${lambda})(__import__("builtins"))`);
}

const PYTHON_PUSH = withBuiltins('lambda **names: b.globals().update(names)');
// An assignment to a path is a statement, so it runs in exec, with the value in a local scope.
const PYTHON_PUSH_PATHS = withBuiltins(
  "lambda names: [b.exec(path + ' = value', b.globals(), {'value': value}) if '.' in path else b.globals().update({path: value}) for path, value in names.items()] and None",
);
const PYTHON_PULL = withBuiltins(
  'lambda names: b.eval(names, b.globals()) if b.isinstance(names, b.str) else [b.eval(name, b.globals()) for name in names]',
);

// A `let` declaration of a script is not a property of the global object; an assignment in a script reaches both.
function assignNames(values: Map<string, unknown>): null {
  for (const [path, value] of values) {
    // biome-ignore lint/security/noGlobalEval: only a script at global scope reaches the names of the REPL.
    globalThis.eval(`(value) => { ${path} = value; }`)(value);
  }
  return null;
}

async function readNames(names: string | readonly string[]): Promise<unknown> {
  // biome-ignore lint/security/noGlobalEval: only a script at global scope reaches the names of the REPL.
  const read = (name: string): unknown => globalThis.eval(`(${name})`);
  return typeof names === 'string' ? read(names) : Promise.all(names.map(read));
}

/** Work that assigns values to names, or to paths such as `a.b`, in the namespace of an engine of any language. */
export function pushWork(values: Readonly<Record<string, unknown>>): (language: EngineLanguage) => Work {
  const entries = Object.entries(values);
  for (const [name] of entries) {
    // On a JavaScript engine, `__proto__` would replace the prototype of the namespace or of the object.
    if (!PATH.test(name) || name.split('.').includes('__proto__'))
      throw new UsageError(`a name on an engine must be an identifier or a path such as a.b, got "${name}"`);
  }
  return oncePerLanguage((language) => {
    if (language === 'javascript') return workOfCall(assignNames, [new Map(entries)]);
    // Plain names can be keyword arguments, which are stored without a copy; paths cannot.
    const paths = entries.some(([name]) => name.includes('.'));
    const buffers = paths
      ? packApplyMessage(PYTHON_PUSH_PATHS, [values])
      : packApplyMessage(PYTHON_PUSH, [], values);
    return { msgType: 'apply_request', content: {}, buffers, language };
  });
}

/** Work that evaluates one name or expression, or a list of them, in the engine's namespace. */
export function pullWork(names: string | readonly string[]): (language: EngineLanguage) => Work {
  for (const name of [names].flat()) {
    if (typeof name !== 'string') throw new UsageError(`a name to pull must be a string, got ${typeof name}`);
  }
  return oncePerLanguage((language) =>
    language === 'javascript'
      ? workOfCall(readNames, [names])
      : { ...workOfCall(PYTHON_PULL, [names]), language },
  );
}

/** Encodes the work once for each language, for any number of engines. */
function oncePerLanguage(encode: (language: EngineLanguage) => Work): (language: EngineLanguage) => Work {
  const encodedWork = new Map<EngineLanguage, Work>();
  return (language) => {
    const cached = encodedWork.get(language);
    if (cached !== undefined) return cached;
    const work = encode(language);
    encodedWork.set(language, work);
    return work;
  };
}
