import { initSync, parse } from 'es-module-lexer';

initSync();

/** The name under which the context offers `import()`. */
export const IMPORT_NAME = '__import';

/**
 * Replaces `import(…)` by a call of {@link IMPORT_NAME}: V8's REPL mode compiles code that has no host to import for
 * it. Code that does not lex as JavaScript is left alone; V8 then says what is wrong with it.
 */
export function rewriteDynamicImports(code: string): string {
  if (!code.includes('import')) return code;
  let imports: ReturnType<typeof parse>[0];
  try {
    [imports] = parse(code);
  } catch {
    return code;
  }
  let rewritten = '';
  let end = 0;
  for (const { d: bracket, ss: start } of [...imports].sort((a, b) => a.ss - b.ss)) {
    // -1 is a static import, -2 import.meta.
    if (bracket < 0) continue;
    rewritten += `${code.slice(end, start)}${IMPORT_NAME}`;
    end = start + 'import'.length;
  }
  return rewritten + code.slice(end);
}
