import {
  type Dict,
  type Header,
  IpyparallelError,
  LanguageMismatchError,
  type NewMessage,
  UsageError,
} from '@ipyparallel-js/protocol';
import type { ConnectionState } from '../connection/connection-state.js';
import type { Transport } from '../connection/transport.js';
import { engineDied } from '../engines/engine-died.js';
import {
  type EngineLanguage,
  type EngineLanguages,
  enginesOfLanguage,
  requireCommonLanguage,
} from '../engines/engine-languages.js';
import type { EngineInfo, EngineRegistry } from '../engines/engine-registry.js';
import type { TargetFinder } from '../engines/targets.js';
import type { Row } from '../hub/record-query.js';
import type { SubmittedTasks } from '../tasks/submitted-tasks.js';
import type { Task } from '../tasks/task.js';
import type { UnsentWork } from '../tasks/unsent-work.js';
import { CoalescedReplies } from './coalesced-replies.js';
import { addLabel, schedulerMetadata } from './routing.js';
import type { BalancedFlags, BroadcastFlags, ViewFlags } from './view-flags.js';
import type { Work, WorkFor } from './work.js';

/** The work for one engine. */
export interface Piece {
  readonly engine: EngineInfo;
  readonly work: WorkFor;
}

export interface SubmitterParts {
  readonly transport: Transport;
  readonly registry: EngineRegistry;
  readonly targets: TargetFinder;
  readonly languages: EngineLanguages;
  readonly submittedTasks: SubmittedTasks;
  readonly unsentWork: UnsentWork;
  readonly connectionState: ConnectionState;
}

/** Creates tasks from work and submits them to engines, the task scheduler or the broadcast scheduler. */
export class Submitter {
  readonly #parts: SubmitterParts;
  /** The broadcasts whose replies are combined by the scheduler. */
  readonly coalesced: CoalescedReplies;
  /** The submissions whose messages have not all been passed to the transport. */
  readonly #pendingSubmissions = new Set<Promise<void>>();

  constructor(parts: SubmitterParts) {
    this.#parts = parts;
    this.coalesced = new CoalescedReplies(parts.submittedTasks);
  }

  /** Resolves when the transport has received all submissions, or they have failed; undefined if there are none. */
  submissionsSent(): Promise<void> | undefined {
    if (this.#pendingSubmissions.size === 0) return undefined;
    return Promise.all(this.#pendingSubmissions).then(() => this.submissionsSent());
  }

  /** Submits one task to each engine. All tasks fail if one engine cannot run its work. */
  toEngines(pieces: readonly Piece[], flags: ViewFlags): Task[] {
    const { registry, unsentWork, submittedTasks } = this.#parts;
    const metadata = addLabel({}, flags);
    const engines = pieces.map(({ engine }) => engine);
    const sends = pieces.map(({ engine, work }) => {
      const header = this.#header(work);
      const request = { header, metadata, content: contentOf(work) };
      return { engine, work, header, task: submittedTasks.add(header.msg_id, engine.uuid, request) };
    });
    const added = sends.map(({ task }) => task);
    const languages = pieces.map(({ work }) => languageOf(work) ?? flags.language);
    // Code for a single engine of unknown language is sent without a check.
    const skipCheck =
      engines.length === 1 && typeof pieces[0]?.work !== 'function' && languages[0] === undefined;
    this.#withLanguages(skipCheck ? [] : engines, added, (known) => {
      if (pieces.every(({ work }) => typeof work !== 'function'))
        requireCommonLanguage(engines, known, languages[0]);
      sends.forEach(({ engine, work, header, task }, i) => {
        if (!registry.has(engine.uuid) && !unsentWork.returningEngines.has(engine.uuid)) {
          task.settle({ ok: false, error: engineDied(task.msgId, engine.uuid, engine.id) }, 'failed');
          return;
        }
        const encodedWork = typeof work === 'function' ? work(known[i] ?? 'python') : work;
        unsentWork.submit('mux', message(header, encodedWork, metadata), [engine.uuid]);
        task.markSent();
      });
    });
    return added;
  }

  /** Submits one task to the task scheduler, which chooses an engine. */
  toScheduler(work: Work, flags: BalancedFlags): Task {
    const [task] = this.eachToScheduler(1, () => work, flags);
    if (task === undefined) throw new UsageError('the submitter created no task for this work');
    return task;
  }

  /**
   * Submits many tasks to the task scheduler. Each one is encoded when it is sent, and other events are processed in
   * between. An error of the first task is thrown; errors of other tasks fail these tasks.
   */
  eachToScheduler(count: number, workAt: (index: number) => Work, flags: BalancedFlags): Task[] {
    const { transport, targets, submittedTasks, unsentWork } = this.#parts;
    if (count === 0) return [];
    const named = flags.targets === undefined || flags.targets === 'all' ? undefined : flags.targets;
    const engines = targets.enginesForScheduler(named ?? 'all');
    const scheme = transport.connection.info.task_scheme;
    const first = workAt(0);
    const language = first.language ?? flags.language;
    const uuids = named === undefined ? [] : engines.map(({ uuid }) => uuid);
    const requested = schedulerMetadata(flags, uuids, scheme);
    const headers = Array.from({ length: count }, () => this.#header(first));
    const content = contentOf(first);
    const added = headers.map((header) =>
      submittedTasks.add(header.msg_id, undefined, { header, metadata: requested, content }),
    );
    this.#withLanguages(engines, added, (languages) => {
      const matchingEngines = enginesOfLanguage(engines, languages, language);
      // Without targets the scheduler may also use engines that register later.
      const isRestricted = matchingEngines.length < engines.length;
      if (isRestricted && scheme === 'pure') {
        throw new LanguageMismatchError(
          "this controller's task scheduler is of the pure scheme, which may assign the work to an engine of another language; start the controller with another scheme (--scheme=leastload)",
        );
      }
      const metadata = isRestricted
        ? { ...requested, targets: matchingEngines.map(({ uuid }) => uuid) }
        : requested;
      const rest = inSlices(count, (i) => {
        const [header, task] = [headers[i], added[i]];
        if (header === undefined || task === undefined || task.outcome !== undefined) return;
        this.#failOnError([task], () => {
          unsentWork.submit('task', message(header, i === 0 ? first : workAt(i), metadata));
          task.markSent();
        });
      });
      if (rest !== undefined) this.#track(rest);
    });
    return added;
  }

  /** Submits one task for each engine in one message through the broadcast scheduler. */
  broadcast(
    engines: readonly EngineInfo[],
    work: WorkFor,
    flags: BroadcastFlags & { readonly inOrder: boolean },
  ): Task[] {
    const { submittedTasks, unsentWork } = this.#parts;
    const header = this.#header(work);
    // Stock broadcast schedulers sort engines by id, which determines the order of combined replies.
    const sorted = [...engines].sort((a, b) => a.id - b.id);
    const added = new Map(
      sorted.map(({ uuid }) => {
        const request = { header, metadata: addLabel({}, flags), content: contentOf(work) };
        return [uuid, submittedTasks.add(`${header.msg_id}_${uuid}`, uuid, request)] as const;
      }),
    );
    const inSortedOrder = [...added.values()];
    this.#withLanguages(sorted, inSortedOrder, (languages) => {
      const language = languageOf(work) ?? flags.language;
      requireCommonLanguage(sorted, languages, language);
      const encodedWork = typeof work === 'function' ? work(languages[0] ?? 'python') : work;
      // The combined reply of a stock scheduler lacks the digests of the JavaScript engines' buffers.
      const coalescing =
        flags.coalescing === true && (flags.inOrder || encodedWork.language !== 'javascript');
      const metadata = addLabel(
        {
          targets: sorted.map(({ uuid, id }) => [uuid, id]),
          is_broadcast: true,
          is_coalescing: coalescing,
        },
        flags,
      );
      if (coalescing) {
        this.coalesced.expect(header.msg_id, {
          engines: sorted,
          tasks: inSortedOrder,
          inOrder: flags.inOrder,
        });
      }
      unsentWork.submit('broadcast', message(header, encodedWork, metadata));
      for (const task of inSortedOrder) task.markSent();
    });
    return engines.flatMap(({ uuid }) => added.get(uuid) ?? []);
  }

  /**
   * Submits the request of a record again, with its metadata: to its engine if it was a direct task and the engine is
   * registered, else to the task scheduler.
   */
  resubmit({ header, metadata, content, buffers, queue, engine_uuid }: Row): Task {
    const { transport, targets, submittedTasks, unsentWork, connectionState } = this.#parts;
    connectionState.assertReachable();
    const request = transport.session.rawMessage(String(header?.msg_type ?? ''), content ?? {}, {
      metadata: metadata ?? {},
      buffers: buffers ?? [],
    });
    const engine = targets.engines('all').find(({ uuid }) => queue === 'mux' && uuid === engine_uuid);
    const task = submittedTasks.add(request.msg_id, engine?.uuid, request);
    if (engine === undefined) unsentWork.submit('task', request);
    else unsentWork.submit('mux', request, [engine.uuid]);
    task.markSent();
    return task;
  }

  #header(work: WorkFor): Header & { readonly msg_type: Work['msgType'] } {
    return this.#parts.transport.session.header(typeof work === 'function' ? 'apply_request' : work.msgType);
  }

  /** Calls `send` at once if the languages of the engines are known, else after the engines have reported them. */
  #withLanguages(
    engines: readonly EngineInfo[],
    tasks: readonly Task[],
    send: (languages: readonly EngineLanguage[]) => void,
  ): void {
    const { languages } = this.#parts;
    const known = engines.flatMap(({ uuid }) => languages.languageOf(uuid) ?? []);
    if (known.length === engines.length) {
      this.#failOnError(tasks, () => send(known));
      return;
    }
    const reported = Promise.all(engines.map((engine) => languages.of(engine)));
    this.#track(reported.then((known) => this.#failOnError(tasks, () => send(known))));
  }

  #track(sending: Promise<void>): void {
    this.#pendingSubmissions.add(sending);
    void sending.then(() => this.#pendingSubmissions.delete(sending));
  }

  /** Calls `send`. If it throws, the tasks that have not been sent fail; tasks that have been sent continue. */
  #failOnError(tasks: readonly Task[], send: () => void): void {
    try {
      this.#parts.connectionState.assertReachable();
      send();
    } catch (error) {
      const failure =
        error instanceof IpyparallelError ? error : new UsageError(String(error), { cause: error });
      for (const task of tasks) if (!task.sent) task.settle({ ok: false, error: failure }, 'failed');
    }
  }
}

function languageOf(work: WorkFor): EngineLanguage | undefined {
  return typeof work === 'function' ? undefined : work.language;
}

function contentOf(work: WorkFor): Dict {
  return typeof work === 'function' ? {} : work.content;
}

function message<T extends string>(
  header: Header & { readonly msg_type: T },
  work: Work,
  metadata: Dict,
): NewMessage<T> {
  return {
    header,
    msg_id: header.msg_id,
    msg_type: header.msg_type,
    parent_header: {},
    metadata: work.metadata === undefined ? metadata : { ...work.metadata, ...metadata },
    content: work.content,
    buffers: work.buffers,
  };
}

/** The maximum time for which one slice of work may block the event loop, in ms. */
const SLICE_MS = 8;

/**
 * Calls `each` for the numbers below `count` in order: at once for the length of one slice, and the rest in further slices.
 * @returns a promise that resolves at the end; undefined if the first slice was enough
 */
function inSlices(count: number, each: (index: number) => void): Promise<void> | undefined {
  let next = 0;
  const slice = (): boolean => {
    const end = performance.now() + SLICE_MS;
    while (next < count) {
      each(next++);
      if (next < count && performance.now() >= end) return false;
    }
    return true;
  };
  if (slice()) return undefined;
  return new Promise((resolve) => {
    const continueLater = (): void => {
      if (slice()) resolve();
      else setImmediate(continueLater);
    };
    setImmediate(continueLater);
  });
}
