// Our hub with a Task Database that the test controls, behind a socket for clients: no engines, schedulers or thread.
import { Hub, type Schedulers, systemClock, type TaskDatabase } from '@ipyparallel-js/hub/internal';
import { newId, Session } from '@ipyparallel-js/protocol';
import { createLogger, type Frames } from '@ipyparallel-js/wire';
import { Publisher, Router } from 'zeromq';

export class BareHub implements AsyncDisposable {
  /** The content of its connection file. */
  readonly info: { readonly [key: string]: unknown };
  /** The size in bytes of the frames of each reply so far. */
  readonly replies: number[] = [];
  readonly #router: Router;
  readonly #notices: Publisher;
  readonly #hub: Hub;
  #sending: Promise<void> = Promise.resolve();

  private constructor(db: TaskDatabase, router: Router, notices: Publisher, key: string) {
    this.#router = router;
    this.#notices = notices;
    const clock = systemClock();
    const none = (): void => undefined;
    const schedulers: Schedulers = {
      ...{ notify: none, awaitHeart: none, forgetHeart: none, addEngine: none, removeEngine: none },
      ...{ submitTask: none, submitDirect: none, shutdown: none },
    };
    this.#hub = new Hub({
      ...{
        session: new Session({ key, now: clock.now }),
        schedulers,
        reply: (frames: Frames) => this.#reply(frames),
        db,
        connectionInfo: {},
        hbPeriod: 1_000,
        clock,
      },
      registrationTimeout: 60_000,
      log: createLogger('warn', (_level, line) => console.error(line)),
    });
    const port = portOf(router.lastEndpoint);
    this.info = {
      ...{ interface: 'tcp://127.0.0.1', location: '', ssh: '', key, curve_serverkey: null },
      ...{ pack: 'json', unpack: 'json', signature_scheme: 'hmac-sha256', task_scheme: 'leastload' },
      ...{
        registration: port,
        notification: portOf(notices.lastEndpoint),
        iopub: portOf(notices.lastEndpoint),
      },
      // No test submits a task here.
      ...{ mux: port, task: port, control: port, broadcast: port },
    };
    void this.#read();
  }

  static async start(db: TaskDatabase): Promise<BareHub> {
    const router = new Router({ linger: 0 });
    await router.bind('tcp://127.0.0.1:*');
    const notices = new Publisher({ linger: 0 });
    await notices.bind('tcp://127.0.0.1:*');
    return new BareHub(db, router, notices, newId());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sending;
    this.#router.close();
    this.#notices.close();
    await this.#hub.close();
  }

  #reply(frames: Frames): void {
    this.replies.push(frames.reduce((sum, frame) => sum + frame.length, 0));
    this.#sending = this.#sending.then(() => this.#router.send([...frames] as (Uint8Array | string)[]));
  }

  async #read(): Promise<void> {
    try {
      for await (const frames of this.#router) this.#hub.query(frames);
    } catch (error) {
      if (!this.#router.closed) throw error;
    }
  }
}

function portOf(endpoint: string | null): number {
  return Number(endpoint?.split(':').at(-1));
}
