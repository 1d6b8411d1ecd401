import {
  type EngineConnectionInfo,
  parseConnectionFile,
  validateEngineConnectionInfo,
} from '@ipyparallel-js/protocol';
import { type Deadline, type Logger, readConnectionFile } from '@ipyparallel-js/wire';
import type { ConnectionSource } from '../options/options.js';

/** Validated connection information and its source. */
export interface LoadedInfo {
  readonly info: EngineConnectionInfo;
  /** The file, or the name of the option or variable; for messages. */
  readonly path: string;
}

/**
 * Reads and validates the connection information. Waits for a file that is missing or incomplete.
 * @throws {ConnectionFileError} naming the file and the problem.
 * @throws The signal's reason when it aborts.
 */
export async function loadConnectionInfo(
  source: ConnectionSource,
  deadline: Deadline,
  log: Logger,
): Promise<LoadedInfo> {
  switch (source.kind) {
    case 'info':
      return { info: validateEngineConnectionInfo(source.info, source.name), path: source.name };
    case 'text': {
      const content = parseConnectionFile(source.text, source.name);
      return { info: validateEngineConnectionInfo(content, source.name), path: source.name };
    }
    case 'file': {
      const { path } = source.place;
      const content = await readConnectionFile(source.place, deadline, (problem) =>
        log.info(`waiting for ${path}, which ${problem}`),
      );
      return { info: validateEngineConnectionInfo(content, path), path };
    }
  }
}
