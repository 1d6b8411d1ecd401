import { describeRequiring } from '../requirements.js';
import { pythonEnv, type StockVersion } from './python.js';

/** A `describe` of tests that need the Python ipyparallel of this version. */
export function describeStock(version: StockVersion, name: string, body: () => void): void {
  const env = pythonEnv(version);
  describeRequiring('missing' in env ? env.missing : undefined, name, body);
}
