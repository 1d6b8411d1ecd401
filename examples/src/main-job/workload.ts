import type { AsyncResult, Client, ExecuteReply } from '@ipyparallel-js/client';
import { type Code, sameCode, sleep } from '../shared/work.js';
import type { Participants } from './participants.js';

/** A task of the workload. */
export interface Job {
  readonly title: string;
  readonly msgId: string;
  readonly result: AsyncResult<ExecuteReply>;
}

/** Prints three lines at equal intervals. */
function printProgress(seconds: number): Code {
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

/** Submits tasks, alternately in both languages if the cluster has engines of both. */
export class Workload {
  readonly jobs: Job[] = [];
  readonly #participants: Participants;
  readonly #missing: string;
  #nextLanguage = 0;

  /** No engine may have a variable with the name `missing`. */
  constructor(participants: Participants, missing: string) {
    this.#participants = participants;
    this.#missing = missing;
  }

  /** Submits quick, slow, failing and printing tasks of two clients: one direct, the others load-balanced. */
  submit(): void {
    const { rc, colleague } = this.#participants;
    const missing = this.#missing;
    this.#add(rc, 'prints', printProgress(1.5));
    this.#add(colleague, 'slow', sleep(1.2));
    this.#add(rc, 'quick', sameCode('12 * 12'));
    this.#add(rc, 'fails', sameCode(`100 * ${missing}[0]`));
    this.#add(colleague, 'quick', sameCode('[1, 2, 3]'));
    this.#add(rc, 'slow', sleep(1.8));
    this.#add(rc, 'fails', sameCode(`100 * ${missing}[1]`));
    this.#add(colleague, 'fails', sameCode(`${missing}[0] + ${missing}[1]`));
    this.#add(rc, 'quick', sameCode('2 ** 64'));
    this.#add(rc, 'slow', sleep(1));
    this.#add(colleague, 'slow', sleep(0.8));
    this.#add(rc, 'prints', printProgress(1.2));
    this.#add(rc, 'quick', sameCode('"abc" + "def"'));
    const last = colleague.ids.at(-1) ?? 0;
    this.#push(`on engine ${last}`, colleague.directView(last).execute('6 * 7'));
  }

  /** Submits slow tasks of the colleague: one per engine and one that must wait. */
  submitMore(seconds: number): Job[] {
    const { colleague } = this.#participants;
    const before = this.jobs.length;
    for (let i = 0; i <= colleague.ids.length; i++) this.#add(colleague, 'slow', sleep(seconds));
    return this.jobs.slice(before);
  }

  #add(client: Client, title: string, code: Code): void {
    const { languages } = this.#participants;
    const language = languages[this.#nextLanguage++ % languages.length] ?? 'javascript';
    this.#push(title, client.loadBalancedView().execute(code[language], { language, label: title }));
  }

  #push(title: string, result: AsyncResult<ExecuteReply>): void {
    this.jobs.push({ title, msgId: result.msgIds[0] ?? '', result });
  }
}
