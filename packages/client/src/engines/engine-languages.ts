import { type AnyMessage, LanguageMismatchError } from '@ipyparallel-js/protocol';
import { getOwn, getOwnString, isDict } from '@ipyparallel-js/protocol/internal';
import { pause } from '@ipyparallel-js/wire';
import type { ControlRequests } from './control-requests.js';
import type { EngineInfo } from './engine-registry.js';

/** The language of an engine, as its `kernel_info_reply` names it: `python` or `javascript` mostly. */
export type EngineLanguage = 'python' | 'javascript' | (string & {});

/** An engine that computes in its only thread cannot answer; JavaScript engines always can. */
const ANSWER_MS = 2_000;
const MOST_GONE = 1_000;
/** When it is asked again, in ms: what is for an engine that is not linked yet, a stock controller drops. */
const AGAIN_MS = [1_000, 3_000, 9_000, 27_000, Number.POSITIVE_INFINITY];

/** Which language each engine runs: asked once on the control socket. */
export class EngineLanguages {
  readonly #control: ControlRequests;
  readonly #known = new Map<string, EngineLanguage>();
  readonly #asking = new Map<string, Promise<EngineLanguage>>();
  /** Engines that have gone, the longest gone first. */
  readonly #gone = new Set<string>();

  constructor(control: ControlRequests) {
    this.#control = control;
  }

  /** The language of an engine, when it is known already. */
  known(uuid: string): EngineLanguage | undefined {
    return this.#known.get(uuid);
  }

  /** The language of an engine. One that does not answer within 2 s is taken for a busy Python one until it does. */
  of(engine: EngineInfo): Promise<EngineLanguage> {
    const { uuid } = engine;
    this.#gone.delete(uuid);
    const known = this.#known.get(uuid);
    if (known !== undefined) return Promise.resolve(known);
    let asking = this.#asking.get(uuid);
    if (asking === undefined) {
      asking = this.#ask(engine);
      this.#asking.set(uuid, asking);
    }
    return asking;
  }

  /** An engine has gone. It may come back, to a controller that was started again: the last thousand are remembered. */
  forget(uuid: string): void {
    this.#asking.delete(uuid);
    this.#gone.delete(uuid);
    this.#gone.add(uuid);
    if (this.#gone.size <= MOST_GONE) return;
    const [oldest = ''] = this.#gone;
    this.#gone.delete(oldest);
    this.#known.delete(oldest);
  }

  async #ask(engine: EngineInfo): Promise<EngineLanguage> {
    const answer = this.#answer(engine)
      .then((reply) => {
        const info = getOwn(reply.content, 'language_info');
        const language = (isDict(info) ? getOwnString(info, 'name') : undefined) ?? 'python';
        this.#known.set(engine.uuid, language);
        return language;
      })
      // The engine went, or the client was closed: what was to be sent there fails by itself.
      .catch(() => 'python');
    const guess = new AbortController();
    const busy = pause(ANSWER_MS, guess.signal).then(() => 'python');
    const language = await Promise.race([answer, busy]);
    guess.abort();
    return language;
  }

  #answer(engine: EngineInfo): Promise<AnyMessage> {
    const over = new AbortController();
    const wait = { timeout: Number.POSITIVE_INFINITY, signal: over.signal };
    const asking = new Promise<AnyMessage>((resolve, reject) => {
      const ask = async (): Promise<void> => {
        for (const ms of AGAIN_MS) {
          if (over.signal.aborted) return;
          this.#control.request(engine, 'kernel_info_request', {}, wait).then(resolve, reject);
          await pause(ms, over.signal);
        }
      };
      void ask();
    });
    return asking.finally(() => over.abort());
  }
}

/**
 * The engines that can do a piece of work: those of its language, or all when it names none and they share one.
 * @throws LanguageMismatchError when there is none, or when it is not clear which
 */
export function fitting(
  engines: readonly EngineInfo[],
  languages: readonly EngineLanguage[],
  language: EngineLanguage | undefined,
): readonly EngineInfo[] {
  if (language === undefined) {
    requireCommon(engines, languages, undefined);
    return engines;
  }
  const fit = engines.filter((_, i) => languages[i] === language);
  if (fit.length > 0) return fit;
  throw new LanguageMismatchError(`no engine runs ${language}: there is ${describe(engines, languages)}`);
}

/** @throws LanguageMismatchError unless all engines run `language`, or the same one when it is undefined */
export function requireCommon(
  engines: readonly EngineInfo[],
  languages: readonly EngineLanguage[],
  language: EngineLanguage | undefined,
): void {
  const wanted = language ?? languages[0];
  if (languages.every((actual) => actual === wanted)) return;
  throw new LanguageMismatchError(
    language === undefined
      ? `the engines run different languages (${describe(engines, languages)}); name the code's with { language: 'python' } or { language: 'javascript' }, or pick engines of one`
      : `this work needs ${language}, and there is ${describe(engines, languages)}`,
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
