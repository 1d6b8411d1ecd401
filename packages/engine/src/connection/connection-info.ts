import {
  type EngineConnectionInfo,
  parseConnectionFile,
  validateEngineConnectionInfo,
} from '@ipyparallel-js/protocol';
import { type Deadline, type Logger, readConnectionFile } from '@ipyparallel-js/wire';
import type { ConnectionSource } from '../options/options.js';

/** Connection information that was checked, and where it is from. */
export interface LoadedInfo {
  readonly info: EngineConnectionInfo;
  /** The file, or the name of what stood in for it; for messages. */
  readonly path: string;
}

/**
 * Reads and checks the connection information. A file that is not there yet, or not yet whole, is waited for.
 * @throws ConnectionFileError naming the file and what is wrong; the signal's reason
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
      const raw = parseConnectionFile(source.text, source.name);
      return { info: validateEngineConnectionInfo(raw, source.name), path: source.name };
    }
    case 'file': {
      const { path } = source.place;
      const raw = await readConnectionFile(source.place, deadline, (problem) =>
        log.info(`waiting for ${path}, which ${problem}`),
      );
      return { info: validateEngineConnectionInfo(raw, path), path };
    }
  }
}
