import { type AnyMessage, LanguageMismatchError } from '@ipyparallel-js/protocol';
import { getOwn, getOwnString, isDict } from '@ipyparallel-js/protocol/internal';
import { pause } from '@ipyparallel-js/wire';
import type { ControlRequests } from './control-requests.js';
import type { EngineInfo } from './engine-registry.js';

/** The language of an engine according to its `kernel_info_reply`, usually `python` or `javascript`. */
export type EngineLanguage = 'python' | 'javascript' | (string & {});

/** How long to wait for a reply. An engine that computes in its only thread cannot reply; JavaScript engines always can. */
const REPLY_MS = 2_000;
const MAX_UNREGISTERED_ENGINES = 1_000;
/** The intervals between requests in ms: a stock controller drops messages for engines that are not linked yet. */
const RETRY_MS = [1_000, 3_000, 9_000, 27_000, Number.POSITIVE_INFINITY];

/** The language of each engine, requested once on the control socket. */
export class EngineLanguages {
  readonly #control: ControlRequests;
  readonly #languages = new Map<string, EngineLanguage>();
  readonly #requests = new Map<string, Promise<EngineLanguage>>();
  /** Unregistered engines, the oldest first. */
  readonly #unregisteredIds = new Set<string>();

  constructor(control: ControlRequests) {
    this.#control = control;
  }

  /** The language of an engine; undefined if it is not known yet. */
  languageOf(uuid: string): EngineLanguage | undefined {
    return this.#languages.get(uuid);
  }

  /** Returns the language of an engine. An engine that does not reply within 2 s counts as a busy Python engine until it does. */
  of(engine: EngineInfo): Promise<EngineLanguage> {
    const { uuid } = engine;
    this.#unregisteredIds.delete(uuid);
    const known = this.#languages.get(uuid);
    if (known !== undefined) return Promise.resolve(known);
    let requested = this.#requests.get(uuid);
    if (requested === undefined) {
      requested = this.#request(engine);
      this.#requests.set(uuid, requested);
    }
    return requested;
  }

  /** Handles an unregistered engine. It may register at a restarted controller, so the newest thousand are remembered. */
  forget(uuid: string): void {
    this.#requests.delete(uuid);
    this.#unregisteredIds.delete(uuid);
    this.#unregisteredIds.add(uuid);
    if (this.#unregisteredIds.size <= MAX_UNREGISTERED_ENGINES) return;
    const [oldest = ''] = this.#unregisteredIds;
    this.#unregisteredIds.delete(oldest);
    this.#languages.delete(oldest);
  }

  async #request(engine: EngineInfo): Promise<EngineLanguage> {
    const reply = this.#reply(engine)
      .then((reply) => {
        const info = getOwn(reply.content, 'language_info');
        const language = (isDict(info) ? getOwnString(info, 'name') : undefined) ?? 'python';
        this.#languages.set(engine.uuid, language);
        return language;
      })
      // The engine unregistered or the client was closed: the submission fails for that reason anyway.
      .catch(() => 'python');
    const guessController = new AbortController();
    const timedOut = pause(REPLY_MS, guessController.signal).then(() => 'python');
    const language = await Promise.race([reply, timedOut]);
    guessController.abort();
    return language;
  }

  #reply(engine: EngineInfo): Promise<AnyMessage> {
    const replyController = new AbortController();
    const wait = { timeout: Number.POSITIVE_INFINITY, signal: replyController.signal };
    const replied = new Promise<AnyMessage>((resolve, reject) => {
      const sendRepeatedly = async (): Promise<void> => {
        for (const ms of RETRY_MS) {
          if (replyController.signal.aborted) return;
          this.#control.request(engine, 'kernel_info_request', {}, wait).then(resolve, reject);
          await pause(ms, replyController.signal);
        }
      };
      void sendRepeatedly();
    });
    return replied.finally(() => replyController.abort());
  }
}

/**
 * Returns the engines that can run work: those of its language, or all if it names no language and they have the same.
 * @throws {LanguageMismatchError} when no engine has the language, or the work names none and the engines differ
 */
export function enginesOfLanguage(
  engines: readonly EngineInfo[],
  languages: readonly EngineLanguage[],
  language: EngineLanguage | undefined,
): readonly EngineInfo[] {
  if (language === undefined) {
    requireCommonLanguage(engines, languages, undefined);
    return engines;
  }
  const matching = engines.filter((_, i) => languages[i] === language);
  if (matching.length > 0) return matching;
  throw new LanguageMismatchError(`no engine runs ${language}; there is ${describe(engines, languages)}`);
}

/** @throws {LanguageMismatchError} unless all engines run `language`, or the same language if it is undefined */
export function requireCommonLanguage(
  engines: readonly EngineInfo[],
  languages: readonly EngineLanguage[],
  language: EngineLanguage | undefined,
): void {
  const expected = language ?? languages[0];
  if (languages.every((actual) => actual === expected)) return;
  throw new LanguageMismatchError(
    language === undefined
      ? `the engines run different languages (${describe(engines, languages)}); set { language: 'python' } or { language: 'javascript' }, or choose engines of one language`
      : `this work needs ${language}, but there is ${describe(engines, languages)}`,
  );
}

function describe(engines: readonly EngineInfo[], languages: readonly EngineLanguage[]): string {
  const ids = new Map<EngineLanguage, number[]>();
  engines.forEach(({ id }, i) => {
    const language = languages[i] ?? 'python';
    ids.set(language, [...(ids.get(language) ?? []), id]);
  });
  return [...ids].map(([language, list]) => `${language} on ${list.join(', ')}`).join('; ');
}
