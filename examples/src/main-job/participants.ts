import { Client, type ConnectOptions } from '@ipyparallel-js/client';
import { UsageError } from '@ipyparallel-js/protocol';

export type Language = 'javascript' | 'python';

/** Two clients and the engines of the cluster. */
export class Participants implements AsyncDisposable {
  /** The client that runs the queries. */
  readonly rc: Client;
  /** A second client, which submits its own tasks. */
  readonly colleague: Client;
  /** The distinct languages of the engines. */
  readonly languages: readonly Language[];
  readonly #engineIds = new Map<string, number>();

  private constructor(rc: Client, colleague: Client, languages: readonly Language[]) {
    this.rc = rc;
    this.colleague = colleague;
    this.languages = languages;
    // Stored once, because an engine may have ended when its tasks are shown.
    for (const [id, uuid] of rc.engines) this.#engineIds.set(uuid, id);
  }

  /** Connects both clients and waits for an engine. */
  static async connect(options: ConnectOptions): Promise<Participants> {
    const rc = await Client.connect(options);
    let colleague: Client | undefined;
    try {
      colleague = await Client.connect(options);
      await Promise.all([rc.waitForEngines(1), colleague.waitForEngines(1)]);
      const languages = await Promise.all(
        rc.ids.map(async (id) => supportedLanguage(await rc.engineLanguage(id), id)),
      );
      return new Participants(rc, colleague, [...new Set(languages)]);
    } catch (error) {
      await Promise.all([rc.close(), colleague?.close()]);
      throw error;
    }
  }

  /** The sessions of both clients, which identify the tasks of this program. */
  get sessions(): readonly string[] {
    return [this.rc, this.colleague].map(({ session }) => session.session);
  }

  /** Returns `you`, `colleague`, or the first characters of another session id. */
  clientName(session: string | null): string {
    if (session === this.rc.session.session) return 'you';
    if (session === this.colleague.session.session) return 'colleague';
    return session?.slice(0, 8) ?? '–';
  }

  /** Returns the id of an engine, or a dash. */
  engineId(uuid: string | null): string {
    return String(this.#engineIds.get(uuid ?? '') ?? '–');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.rc.close(), this.colleague.close()]);
  }
}

function supportedLanguage(language: string, id: number): Language {
  if (language === 'javascript' || language === 'python') return language;
  throw new UsageError(
    `engine ${id} runs ${language}; this program requires engines that run JavaScript or Python`,
  );
}
