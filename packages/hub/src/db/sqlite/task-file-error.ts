import { IpyparallelError } from '@ipyparallel-js/protocol';

/** The file of a Task Database cannot be used: it is not a database, locked, read-only, or on a full disk. */
export class TaskFileError extends IpyparallelError {
  readonly path: string;

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super('TASK_DATABASE', `Task Database ${path}: ${problem}`, options);
    this.path = path;
  }
}
