// Reads the parameters of our methods from the compiler.
import { fileURLToPath } from 'node:url';
import { isInterfaceDeclaration } from 'typescript/unstable/ast/is';
import { API, SignatureKind } from 'typescript/unstable/sync';

/** The parameters of a method, over all its overloads. */
export interface OurParameters {
  readonly positional: ReadonlySet<string>;
  /** The keys of its option and flag objects. */
  readonly options: ReadonlySet<string>;
}

const OPTIONS = new Set(['options', 'flags', 'command']);

/** The parameters of each method of the classes in mirrored-classes.ts; properties have none. */
export function ourSignatures(): ReadonlyMap<string, ReadonlyMap<string, OurParameters>> {
  const tests = fileURLToPath(new URL('../../', import.meta.url));
  const api = new API({ cwd: tests });
  try {
    const snapshot = api.updateSnapshot({ openProjects: [`${tests}tsconfig.json`] });
    const project = snapshot.getProject(`${tests}tsconfig.json`);
    const file = project?.program.getSourceFile(`${tests}support/documents/mirrored-classes.ts`);
    const holder = file?.statements.find(isInterfaceDeclaration);
    if (project === undefined || holder === undefined) throw new Error('cannot read mirrored-classes.ts');
    const { checker } = project;
    const holderType = checker.getTypeAtLocation(holder.name);
    if (holderType === undefined) throw new Error('mirrored-classes.ts has no types');
    const classes = new Map<string, ReadonlyMap<string, OurParameters>>();
    for (const property of checker.getPropertiesOfType(holderType)) {
      const type = checker.getTypeOfSymbol(property);
      if (type === undefined) continue;
      const methods = new Map<string, OurParameters>();
      for (const member of checker.getPropertiesOfType(type)) {
        const positional = new Set<string>();
        const options = new Set<string>();
        const memberType = checker.getTypeOfSymbol(member);
        if (memberType === undefined) continue;
        for (const signature of checker.getSignaturesOfType(memberType, SignatureKind.Call)) {
          for (const parameter of signature.getParameters()) {
            positional.add(parameter.name);
            const optionsType = OPTIONS.has(parameter.name) ? checker.getTypeOfSymbol(parameter) : undefined;
            const object = optionsType === undefined ? undefined : checker.getNonNullableType(optionsType);
            if (object === undefined) continue;
            for (const key of checker.getPropertiesOfType(object)) options.add(key.name);
          }
        }
        methods.set(member.name, { positional, options });
      }
      classes.set(property.name, methods);
    }
    return classes;
  } finally {
    api.close();
  }
}
