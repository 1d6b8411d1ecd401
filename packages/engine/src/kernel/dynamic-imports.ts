import { initSync, parse } from 'es-module-lexer';

initSync();

/** The global function that replaces `import()`. */
export const IMPORT_NAME = '__import';

/**
 * Replaces `import(…)` by a call of {@link IMPORT_NAME}, because V8's REPL mode compiles code without a host that can
 * import. Returns code with a syntax error unchanged; V8 then reports the error.
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
