import { Client, type ClientOptions } from '@ipyparallel-js/client';
import { UsageError } from '@ipyparallel-js/protocol';

export type Language = 'javascript' | 'python';

/** Who takes part: two clients and the engines that they find. */
export class Cast implements AsyncDisposable {
  /** The client that asks. */
  readonly rc: Client;
  /** Another one, with tasks of its own. */
  readonly colleague: Client;
  /** The languages of the engines, each once. */
  readonly languages: readonly Language[];
  readonly #engineIds = new Map<string, number>();

  private constructor(rc: Client, colleague: Client, languages: readonly Language[]) {
    this.rc = rc;
    this.colleague = colleague;
    this.languages = languages;
    // Noted once: an engine may be gone by the time that its tasks are shown.
    for (const [id, uuid] of rc.engines) this.#engineIds.set(uuid, id);
  }

  /** Connects both clients and waits for an engine. */
  static async assemble(options: ClientOptions): Promise<Cast> {
    const rc = await Client.connect(options);
    let colleague: Client | undefined;
    try {
      colleague = await Client.connect(options);
      await Promise.all([rc.waitForEngines(1), colleague.waitForEngines(1)]);
      const languages = await Promise.all(rc.ids.map(async (id) => known(await rc.engineLanguage(id), id)));
      return new Cast(rc, colleague, [...new Set(languages)]);
    } catch (error) {
      await Promise.all([rc.close(), colleague?.close()]);
      throw error;
    }
  }

  /** The sessions of both: what is theirs, and nobody else's. */
  get sessions(): readonly string[] {
    return [this.rc, this.colleague].map(({ session }) => session.session);
  }

  /** `you`, `colleague`, or the beginning of another session id. */
  who(session: string | null): string {
    if (session === this.rc.session.session) return 'you';
    if (session === this.colleague.session.session) return 'colleague';
    return session?.slice(0, 8) ?? '–';
  }

  /** The id of an engine; a dash for none. */
  engine(uuid: string | null): string {
    return String(this.#engineIds.get(uuid ?? '') ?? '–');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.rc.close(), this.colleague.close()]);
  }
}

function known(language: string, id: number): Language {
  if (language === 'javascript' || language === 'python') return language;
  throw new UsageError(
    `engine ${id} runs ${language}; this demonstration has work in JavaScript and in Python`,
  );
}
