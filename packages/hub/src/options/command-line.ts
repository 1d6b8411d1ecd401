import { UsageError } from '@ipyparallel-js/protocol';
import { didYouMean } from '@ipyparallel-js/protocol/internal';
import { ARGUMENTS, findArgument, type ParsedArguments } from './arguments.js';
import type { ControllerOptions } from './controller-options.js';

/** The parsed arguments of a command line. */
export interface CommandLine {
  readonly options: ControllerOptions;
  /** The text to print instead of serving. */
  readonly print?: 'help' | 'version';
  readonly workDir?: string;
  /** The process whose end stops the controller. */
  readonly parentPid?: number;
  /** Arguments without effect; the controller logs them. */
  readonly ignoredArguments: readonly string[];
}

/** Flags of ipcontroller without effect here. */
const FLAGS_WITHOUT_EFFECT = new Set(['init', 'quiet', 'log-to-file', 'clean-logs', 'usethreads']);

/**
 * Parses the arguments of ipcontroller, as `--name=value` or `--name value`. Unknown arguments are listed as ignored,
 * because launchers pass arguments of the Python controller.
 * @throws {UsageError} for an invalid value, and for an unknown argument that is close to a known one
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const parsedArguments: ParsedArguments = {
    options: { logLevel: 'info' },
    ...{ liveQueries: {}, retention: {}, sqlite: {}, mongodb: {}, process: {} },
  };
  const ignoredArguments: string[] = [];
  let print: CommandLine['print'];
  for (let i = 0; i < argv.length; i++) {
    const argumentText = argv[i] ?? '';
    const [, name = '', inlineValue] = /^--?([^=]+)(?:=(.*))?$/s.exec(argumentText) ?? [];
    if (name === 'help' || name === 'h' || name === 'help-all') print ??= 'help';
    else if (name === 'version' || name === 'V') print ??= 'version';
    else {
      const argument = findArgument(name);
      if (argument === undefined) rejectTypo(argumentText, name);
      const takesNext =
        argument === undefined ? looksLikeValue(name, argv[i + 1]) : argument.value !== undefined;
      const value = inlineValue ?? (takesNext ? argv[++i] : undefined);
      if (argument === undefined)
        ignoredArguments.push(
          value === undefined || inlineValue !== undefined ? argumentText : `${argumentText} ${value}`,
        );
      else if (argument.value !== undefined && value === undefined)
        throw new UsageError(`${argumentText} requires a value`);
      else argument.apply(parsedArguments, value ?? '');
    }
  }
  const { options, liveQueries, retention, sqlite, mongodb } = parsedArguments;
  if (Object.keys(liveQueries).length > 0) options.liveQueries = liveQueries;
  if (options.db === 'sqlite') options.db = { type: 'sqlite', ...sqlite, ...retention };
  else if (options.db === 'mongodb') options.db = { type: 'mongodb', ...mongodb, ...retention };
  else if (Object.keys(retention).length > 0 && options.db !== 'none') {
    options.db = { type: 'memory', ...retention };
  }
  return { options, ...parsedArguments.process, ...(print === undefined ? {} : { print }), ignoredArguments };
}

/** Rejects probable typing mistakes: without this check, a misspelt `--sqlitedb` would store nothing on disk. */
function rejectTypo(argumentText: string, name: string): void {
  if (name === '') throw new UsageError(`unexpected argument "${argumentText}"; see --help`);
  if (FLAGS_WITHOUT_EFFECT.has(name)) return;
  const suggestion = didYouMean(
    name,
    ARGUMENTS.map(({ option }) => option),
  );
  if (suggestion !== '') throw new UsageError(`unknown argument --${name}${suggestion}`);
}

function looksLikeValue(name: string, next: string | undefined): boolean {
  return name !== '' && !FLAGS_WITHOUT_EFFECT.has(name) && next !== undefined && !next.startsWith('-');
}

/** The output of `--help`. */
export function usage(): string {
  const lines = ARGUMENTS.map(({ option, value, help }) => {
    const left = `  --${option}${value === undefined ? '' : `=${value}`}`;
    return `${left.padEnd(34)}${help}`;
  });
  return [
    'Usage: ippjs-controller [arguments]',
    '',
    'Starts an ipyparallel controller. It accepts the arguments of ipcontroller as far as they apply:',
    '',
    ...lines,
    '  --help, --version',
    '',
    'Environment: IPYTHONDIR, IPP_PROFILE_DIR, IPP_CLUSTER_ID, IPP_SESSION_KEY, IPP_ENABLE_CURVE,',
    'IPP_CURVE_PUBLICKEY, IPP_CURVE_SECRETKEY, MONGODB_URI.',
    '',
  ].join('\n');
}
