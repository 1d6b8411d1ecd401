import { IpyparallelError } from '@ipyparallel-js/protocol';

/** A Task Database's file that cannot be used: no database, locked, read-only, on a full disk; `path` names it. */
export class TaskFileError extends IpyparallelError {
  readonly path: string;

  constructor(path: string, problem: string, options?: ErrorOptions) {
    super('TASK_DATABASE', `Task Database ${path}: ${problem}`, options);
    this.path = path;
  }
}
