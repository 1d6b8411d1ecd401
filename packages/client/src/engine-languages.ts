import { type AnyMessage, isMessageOf, LanguageMismatchError, parentId } from '@ipyparallel-js/protocol';
import { isDict, own, ownString } from '@ipyparallel-js/protocol/internal';
import type { EngineInfo } from './engine-registry.js';
import type { Transport } from './transport.js';

/** The language of an engine, as its `kernel_info_reply` names it: `python` or `javascript` mostly. */
export type EngineLanguage = 'python' | 'javascript' | (string & {});

/** An engine that computes in its only thread cannot answer; JavaScript engines always can. */
const ANSWER_MS = 2_000;

/** Which language each engine runs: asked once on the control socket, which leaves no record. */
export class EngineLanguages {
  readonly #transport: Transport;
  readonly #known = new Map<string, EngineLanguage>();
  readonly #asking = new Map<string, Promise<EngineLanguage>>();
  readonly #waiting = new Map<string, (language: EngineLanguage) => void>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The language of an engine, when it is known already. */
  known(uuid: string): EngineLanguage | undefined {
    return this.#known.get(uuid);
  }

  /** The language of an engine. One that does not answer within 2 s is taken for a busy Python one until it does. */
  of(uuid: string): Promise<EngineLanguage> {
    const known = this.#known.get(uuid);
    if (known !== undefined) return Promise.resolve(known);
    let asking = this.#asking.get(uuid);
    if (asking === undefined) {
      asking = this.#ask(uuid);
      this.#asking.set(uuid, asking);
    }
    return asking;
  }

  /** Takes a message of the control socket; false when it is no answer of this kind. */
  onControl(message: AnyMessage): boolean {
    const id = parentId(message) ?? '';
    const settle = this.#waiting.get(id);
    if (settle === undefined || !isMessageOf(message, 'kernel_info_reply')) return false;
    this.#waiting.delete(id);
    const info = own(message.content, 'language_info');
    settle((isDict(info) ? ownString(info, 'name') : undefined) ?? 'python');
    return true;
  }

  /** Forgets an engine that has gone. */
  forget(uuid: string): void {
    this.#known.delete(uuid);
    this.#asking.delete(uuid);
  }

  #ask(uuid: string): Promise<EngineLanguage> {
    const message = this.#transport.session.message('kernel_info_request', {});
    return new Promise((resolve) => {
      const learn = (language: EngineLanguage): void => {
        clearTimeout(timer);
        this.#known.set(uuid, language);
        resolve(language);
      };
      const timer = setTimeout(() => learn('python'), ANSWER_MS);
      timer.unref();
      this.#waiting.set(message.msg_id, learn);
      if (!this.#transport.closed) this.#transport.send('control', message, [uuid]);
    });
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
