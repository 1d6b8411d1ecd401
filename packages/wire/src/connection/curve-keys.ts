import { ConnectionFileError, TransportError, UsageError } from '@ipyparallel-js/protocol';
import { capability, curveKeyPair } from 'zeromq';

/** What connecting sockets need to speak CURVE: Z85 texts of 40 characters. */
export interface CurveKeys {
  readonly serverKey: string;
  readonly publicKey: string;
  readonly secretKey: string;
}

const z85 = /^[0-9a-zA-Z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;

/**
 * The keys when the file, or else `IPP_CURVE_SERVERKEY`, has a server's key; null without CURVE. The own pair
 * comes from `IPP_CURVE_PUBLICKEY` and `IPP_CURVE_SECRETKEY` when both are set, and is made up otherwise.
 * @throws ConnectionFileError or UsageError for what is no key, TransportError when libzmq was built without CURVE
 */
export function curveKeys(
  info: { readonly curve_serverkey: string | null },
  path: string,
  env: NodeJS.ProcessEnv,
  supported = capability.curve === true,
): CurveKeys | null {
  const inFile = info.curve_serverkey || undefined;
  if (inFile !== undefined && !z85.test(inFile)) {
    throw new ConnectionFileError(path, 'field "curve_serverkey" is not a Z85 key of 40 characters');
  }
  const serverKey = inFile ?? keyFrom(env, 'IPP_CURVE_SERVERKEY');
  if (serverKey === undefined) return null;
  if (!supported) {
    throw new TransportError(
      `the controller of connection file ${path} speaks CURVE, which the libzmq of the installed zeromq package cannot`,
      { code: 'CURVE_UNSUPPORTED' },
    );
  }
  const publicKey = keyFrom(env, 'IPP_CURVE_PUBLICKEY');
  const secretKey = keyFrom(env, 'IPP_CURVE_SECRETKEY');
  const pair = publicKey === undefined || secretKey === undefined ? curveKeyPair() : { publicKey, secretKey };
  return { serverKey, ...pair };
}

/** The message does not repeat the value: it may be a secret. */
function keyFrom(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name]?.trim() || undefined;
  if (value !== undefined && !z85.test(value)) {
    throw new UsageError(`environment variable ${name} is not a Z85 key of 40 characters`);
  }
  return value;
}
