import { PyCallable, packApplyMessage, UsageError } from '@ipyparallel-js/protocol';
import type { EngineLanguage } from '../engines/engine-languages.js';
import type { Work } from './work.js';
import { workOfCall } from './work.js';

const NAME = String.raw`[\p{ID_Start}$_][\p{ID_Continue}$]*`;
const PATH = new RegExp(String.raw`^${NAME}(?:\.${NAME})*$`, 'u');

/** Built-in functions are called by their module: the engine's namespace may have other things under their names. */
function withBuiltins(lambda: string): PyCallable {
  return new PyCallable(`(lambda b: ${lambda})(__import__("builtins"))`);
}

const PYTHON_PUSH = withBuiltins('lambda **names: b.globals().update(names)');
// Assigning to a path is a statement; the value is in a scope of its own over the namespace.
const PYTHON_PUSH_PATHS = withBuiltins(
  "lambda names: [b.exec(path + ' = value', b.globals(), {'value': value}) if '.' in path else b.globals().update({path: value}) for path, value in names.items()] and None",
);
const PYTHON_PULL = withBuiltins(
  'lambda names: b.eval(names, b.globals()) if b.isinstance(names, b.str) else [b.eval(name, b.globals()) for name in names]',
);

// What a script declared with `let` is no property of the global object; assigning from a script reaches both.
function assignNames(values: Map<string, unknown>): null {
  for (const [path, value] of values) {
    // biome-ignore lint/security/noGlobalEval: only a script at global scope reaches the names of the REPL.
    globalThis.eval(`(value) => { ${path} = value; }`)(value);
  }
  return null;
}

async function readNames(names: string | readonly string[]): Promise<unknown> {
  // biome-ignore lint/security/noGlobalEval: the same.
  const read = (name: string): unknown => globalThis.eval(`(${name})`);
  return typeof names === 'string' ? read(names) : Promise.all(names.map(read));
}

/** Puts values under names (or paths, `a.b`) in the engine's namespace, in its own language. */
export function pushWork(values: Readonly<Record<string, unknown>>): (language: EngineLanguage) => Work {
  const entries = Object.entries(values);
  for (const [name] of entries) {
    // A JavaScript engine would take it for the prototype of its namespace, or of the object.
    if (!PATH.test(name) || name.split('.').includes('__proto__'))
      throw new UsageError(`"${name}" cannot name a variable on an engine`);
  }
  return once((language) => {
    if (language === 'javascript') return workOfCall(assignNames, [new Map(entries)]);
    // Only names that are no paths can be keyword arguments, which are stored without being copied.
    const paths = entries.some(([name]) => name.includes('.'));
    const buffers = paths
      ? packApplyMessage(PYTHON_PUSH_PATHS, [values])
      : packApplyMessage(PYTHON_PUSH, [], values);
    return { msgType: 'apply_request', content: {}, buffers, language };
  });
}

/** Gives what names, or any expressions, stand for in the engine's namespace: one, or a list of them. */
export function pullWork(names: string | readonly string[]): (language: EngineLanguage) => Work {
  for (const name of [names].flat()) {
    if (typeof name !== 'string') throw new UsageError(`a name to pull is a text, not ${typeof name}`);
  }
  return once((language) =>
    language === 'javascript'
      ? workOfCall(readNames, [names])
      : { ...workOfCall(PYTHON_PULL, [names]), language },
  );
}

/** Encodes for each language once, however many engines get it. */
function once(make: (language: EngineLanguage) => Work): (language: EngineLanguage) => Work {
  const made = new Map<EngineLanguage, Work>();
  return (language) => {
    const known = made.get(language);
    if (known !== undefined) return known;
    const work = make(language);
    made.set(language, work);
    return work;
  };
}
