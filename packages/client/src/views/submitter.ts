import { type Dict, IpyparallelError, UsageError } from '@ipyparallel-js/protocol';
import type { ConnectionWatch } from '../connection-watch.js';
import type { EngineInfo, EngineRegistry } from '../engine-registry.js';
import type { OwnTasks } from '../own-tasks.js';
import type { Row } from '../question.js';
import type { Task } from '../task.js';
import { engineDied } from '../task-results.js';
import type { Transport } from '../transport.js';
import type { Work } from '../work.js';
import { type EngineLanguage, type EngineLanguages, fitting, requireCommon } from './engine-languages.js';

/** What may be said of a submission. */
export interface SubmitOptions {
  /** The language that the code is in; needed only where engines of several languages are registered. */
  readonly language?: EngineLanguage;
  /** A label that records carry from ipyparallel 9 on. */
  readonly label?: string;
}

/** Sends work where it can run. */
export class Submitter {
  readonly #transport: Transport;
  readonly #registry: EngineRegistry;
  readonly #languages: EngineLanguages;
  readonly #tasks: OwnTasks;
  readonly #watch: ConnectionWatch;

  constructor(
    transport: Transport,
    registry: EngineRegistry,
    languages: EngineLanguages,
    tasks: OwnTasks,
    watch: ConnectionWatch,
  ) {
    this.#transport = transport;
    this.#registry = registry;
    this.#languages = languages;
    this.#tasks = tasks;
    this.#watch = watch;
  }

  /** The registered engines. @throws UsageError when there are none */
  engines(): EngineInfo[] {
    const { ids } = this.#registry;
    if (ids.length === 0)
      throw new UsageError('no engines are registered; wait for some with waitForEngines');
    return ids.map((id) => this.engine(id));
  }

  /** A registered engine. @throws UsageError naming those there are */
  engine(id: number): EngineInfo {
    const uuid = this.#registry.engines.get(id);
    if (uuid === undefined) {
      const { ids } = this.#registry;
      const there = ids.length === 0 ? 'none is registered' : `registered: ${ids.join(', ')}`;
      throw new UsageError(`no engine ${id}; ${there}`);
    }
    return { id, uuid };
  }

  /** Sends work to each of these engines, one task each; all are refused when one cannot do it. */
  toEngines(engines: readonly EngineInfo[], work: Work, options: SubmitOptions): Task[] {
    const language = work.language ?? options.language;
    const metadata = labelled({}, options);
    const pieces = engines.map((engine) => {
      const message = this.#message(work, metadata);
      return { engine, message, task: this.#tasks.add(message.msg_id, engine.uuid, message) };
    });
    const tasks = pieces.map(({ task }) => task);
    // Code for one engine of unknown language is that engine's to judge.
    const concerned = language === undefined && engines.length === 1 ? [] : engines;
    this.#withLanguages(concerned, tasks, (languages) => {
      requireCommon(concerned, languages, language);
      for (const { engine, message, task } of pieces) {
        if (this.#registry.engines.get(engine.id) === engine.uuid) {
          this.#transport.send('mux', message, [engine.uuid]);
          task.markSent();
        } else task.settle({ ok: false, error: engineDied(task.msgId, engine.uuid, engine.id) }, 'failed');
      }
    });
    return tasks;
  }

  /** Hands work to the task scheduler, which picks an engine. */
  toScheduler(work: Work, options: SubmitOptions): Task {
    const engines = this.engines();
    const language = work.language ?? options.language;
    const targets: string[] = [];
    const metadata = labelled({ after: [], follow: [], timeout: 0, targets, retries: 0 }, options);
    const message = this.#message(work, metadata);
    const task = this.#tasks.add(message.msg_id, undefined, message);
    this.#withLanguages(engines, [task], (languages) => {
      const fit = fitting(engines, languages, language);
      // Without targets the scheduler may also use engines that register later.
      if (fit.length < engines.length) targets.push(...fit.map(({ uuid }) => uuid));
      this.#transport.send('task', message);
      task.markSent();
    });
    return task;
  }

  /**
   * Sends the request of a record once more, with all that its metadata says: to its engine if it was a direct one and
   * the engine is still there, else to the task scheduler.
   */
  again({ header, metadata, content, buffers, queue, engine_uuid }: Row): Task {
    this.#watch.assertReachable();
    const message = this.#transport.session.rawMessage(String(header?.msg_type ?? ''), content ?? {}, {
      metadata: metadata ?? {},
      buffers: buffers ?? [],
    });
    const engine = this.engines().find(({ uuid }) => queue === 'mux' && uuid === engine_uuid);
    const task = this.#tasks.add(message.msg_id, engine?.uuid, message);
    if (engine === undefined) this.#transport.send('task', message);
    else this.#transport.send('mux', message, [engine.uuid]);
    task.markSent();
    return task;
  }

  #message(work: Work, metadata: Dict) {
    return this.#transport.session.rawMessage(work.msgType, work.content, {
      metadata,
      buffers: work.buffers,
    });
  }

  /** Goes on at once where the languages are known, as they are soon after an engine registers. */
  #withLanguages(
    engines: readonly EngineInfo[],
    tasks: readonly Task[],
    send: (languages: readonly EngineLanguage[]) => void,
  ): void {
    const guarded = (languages: readonly EngineLanguage[]): void => {
      try {
        this.#watch.assertReachable();
        send(languages);
      } catch (error) {
        const refused =
          error instanceof IpyparallelError ? error : new UsageError(String(error), { cause: error });
        for (const task of tasks) task.settle({ ok: false, error: refused }, 'failed');
      }
    };
    const known = engines.flatMap(({ uuid }) => this.#languages.known(uuid) ?? []);
    if (known.length === engines.length) guarded(known);
    else void Promise.all(engines.map((engine) => this.#languages.of(engine))).then(guarded);
  }
}

function labelled(metadata: Dict, options: SubmitOptions): Dict {
  return options.label === undefined ? metadata : { ...metadata, label: options.label };
}
