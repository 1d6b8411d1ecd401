// Builds the expression that an engine evaluates to get a function. `eval` accepts only expressions, so imports and blocks
// become a short program inside an expression. The program runs in the engine's namespace with separate local names.

const NAME = String.raw`[\p{ID_Start}_][\p{ID_Continue}]*`;
const DOTTED_NAME = new RegExp(String.raw`^${NAME}(?:\.${NAME})+$`, 'u');
const STATEMENT = /\n|^(?:@|(?:def|class|async|import|from)\b)/;

/** Removes the indentation common to all lines, and empty lines at both ends. */
export function dedent(text: string): string {
  const lines = text.replace(/^(?:[ \t]*\r?\n)+/, '').split(/\r?\n/);
  const nonEmpty = lines.filter((line) => line.trim() !== '');
  const indentation = nonEmpty
    .map((line) => /^[ \t]*/.exec(line)?.[0] ?? '')
    .reduce(commonPrefix, nonEmpty[0] ?? '');
  return lines
    .map((line) => (line.trim() === '' ? '' : line.slice(indentation.length)))
    .join('\n')
    .trimEnd();
}

function commonPrefix(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return a.slice(0, length);
}

/** A Python expression that evaluates to the function in `source`. */
export function callableExpression(source: string): string {
  if (DOTTED_NAME.test(source)) return runExpression(IMPORT_NAME, source);
  return STATEMENT.test(source) ? runExpression(RUN_BLOCK, source) : source;
}

/** Resolves `a.b.c` in the namespace if it has an `a`; otherwise imports the modules in the path. */
const IMPORT_NAME = `
import builtins, importlib
first, *rest = source.split('.')
if first in builtins.globals() or builtins.hasattr(builtins, first):
    value = builtins.eval(first, builtins.globals())
else:
    value = importlib.import_module(first)
path = first
for part in rest:
    path += '.' + part
    try:
        value = builtins.getattr(value, part)
    except builtins.AttributeError:
        if not builtins.isinstance(value, builtins.type(builtins)):
            raise
        try:
            value = importlib.import_module(path)
        except builtins.ModuleNotFoundError as error:
            if error.name != path:
                raise
            raise builtins.AttributeError('module %r has no attribute %r' % (value.__name__, part)) from None
`;

/**
 * Evaluates a multi-line expression or a block. A block runs inside a function, so that its definitions can refer to each
 * other without adding names to the namespace.
 */
const RUN_BLOCK = `
import ast, builtins
try:
    code = builtins.compile('(' + source + '\\n)', '<py>', 'eval')
except builtins.SyntaxError:
    code = None
if code is not None:
    value = builtins.eval(code, builtins.globals())
else:
    block = builtins.compile(source, '<py>', 'exec', ast.PyCF_ONLY_AST)
    last = block.body[-1] if block.body else None
    if builtins.isinstance(last, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        given = ast.Name(last.name, ast.Load())
    elif builtins.isinstance(last, ast.Expr):
        given = block.body.pop().value
    else:
        raise builtins.SyntaxError('a block given to py must end with a def, a class or an expression')
    wrapper = ast.parse('def block():\\n  return None')
    wrapper.body[0].body[-1].value = given
    wrapper.body[0].body[:0] = block.body
    ast.fix_missing_locations(wrapper)
    made = {}
    builtins.exec(builtins.compile(wrapper, '<py>', 'exec'), builtins.globals(), made)
    value = made['block']()
`;

function runExpression(program: string, source: string): string {
  const names = `{'source': ${pythonText(source)}}`;
  return `(lambda b, n: (b.exec(${pythonText(program)}, b.globals(), n), n['value'])[1])(__import__('builtins'), ${names})`;
}

/** A Python string literal. JSON's escapes are valid in Python, except surrogate pairs, which JSON.stringify does not escape. */
function pythonText(text: string): string {
  return JSON.stringify(text);
}
