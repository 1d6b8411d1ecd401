import type { AsyncResult, Client, ExecuteReply } from '@ipyparallel-js/client';
import { both, type Code, sleep } from '../shared/work.js';
import type { Cast } from './cast.js';

/** A task of the workload. */
export interface Job {
  readonly title: string;
  readonly msgId: string;
  readonly result: AsyncResult<ExecuteReply>;
}

/** Prints three lines, one each third of the time. */
function report(seconds: number): Code {
  const ms = Math.round((seconds * 1000) / 3);
  return {
    javascript: `for (let part = 1; part <= 3; part++) {
  await new Promise((done) => setTimeout(done, ${ms}));
  console.log(\`part \${part} of 3\`);
}`,
    python: `import time
for part in (1, 2, 3):
    time.sleep(${ms / 1000})
    print(f"part {part} of 3")`,
  };
}

/** Submits work; where engines of both languages are there, to both in turn. */
export class Workload {
  readonly jobs: Job[] = [];
  readonly #cast: Cast;
  readonly #missing: string;
  #turn = 0;

  /** `missing` names a variable that no engine has. */
  constructor(cast: Cast, missing: string) {
    this.#cast = cast;
    this.#missing = missing;
  }

  /** Quick, slow, failing and printing tasks of two clients, most load-balanced, one for a given engine. */
  submit(): void {
    const { rc, colleague } = this.#cast;
    const missing = this.#missing;
    this.#add(rc, 'prints', report(1.5));
    this.#add(colleague, 'slow', sleep(1.2));
    this.#add(rc, 'quick', both('12 * 12'));
    this.#add(rc, 'fails', both(`100 * ${missing}[0]`));
    this.#add(colleague, 'quick', both('[1, 2, 3]'));
    this.#add(rc, 'slow', sleep(1.8));
    this.#add(rc, 'fails', both(`100 * ${missing}[1]`));
    this.#add(colleague, 'fails', both(`${missing}[0] + ${missing}[1]`));
    this.#add(rc, 'quick', both('2 ** 64'));
    this.#add(rc, 'slow', sleep(1));
    this.#add(colleague, 'slow', sleep(0.8));
    this.#add(rc, 'prints', report(1.2));
    this.#add(rc, 'quick', both('"abc" + "def"'));
    const last = colleague.ids.at(-1) ?? 0;
    this.#push(`on engine ${last}`, colleague.directView(last).execute('6 * 7'));
  }

  /** More slow ones of the colleague: as many as there are engines, and one that has to wait. */
  submitMore(seconds: number): Job[] {
    const { colleague } = this.#cast;
    const before = this.jobs.length;
    for (let i = 0; i <= colleague.ids.length; i++) this.#add(colleague, 'slow', sleep(seconds));
    return this.jobs.slice(before);
  }

  #add(client: Client, title: string, code: Code): void {
    const { languages } = this.#cast;
    const language = languages[this.#turn++ % languages.length] ?? 'javascript';
    this.#push(title, client.loadBalancedView().execute(code[language], { language, label: title }));
  }

  #push(title: string, result: AsyncResult<ExecuteReply>): void {
    this.jobs.push({ title, msgId: result.msgIds[0] ?? '', result });
  }
}
