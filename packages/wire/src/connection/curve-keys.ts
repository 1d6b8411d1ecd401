import { ConnectionFileError, TransportError, UsageError } from '@ipyparallel-js/protocol';
import { capability, curveKeyPair } from 'zeromq';

/** The CURVE keys of a connecting socket, in Z85 with 40 characters. */
export interface CurveKeys {
  readonly serverKey: string;
  readonly publicKey: string;
  readonly secretKey: string;
}

const Z85_KEY = /^[0-9a-zA-Z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;

/**
 * Determines the CURVE keys. The server key is from the connection file, or else from `IPP_CURVE_SERVERKEY`. The client's
 * pair is from `IPP_CURVE_PUBLICKEY` and `IPP_CURVE_SECRETKEY` if both are set; otherwise it is generated.
 * @returns null without a server key: the connection does not use CURVE
 * @throws {ConnectionFileError} when the server key in the file is invalid
 * @throws {UsageError} when a key in an environment variable is invalid
 * @throws {TransportError} when libzmq was built without CURVE
 */
export function curveKeys(
  info: { readonly curve_serverkey: string | null },
  path: string,
  env: NodeJS.ProcessEnv,
  supported = capability.curve === true,
): CurveKeys | null {
  const fileKey = info.curve_serverkey || undefined;
  if (fileKey !== undefined && !Z85_KEY.test(fileKey)) {
    throw new ConnectionFileError(path, 'field "curve_serverkey" must be a Z85 key of 40 characters');
  }
  const serverKey = fileKey ?? keyFrom(env, 'IPP_CURVE_SERVERKEY');
  if (serverKey === undefined) return null;
  if (!supported) {
    throw new TransportError(
      `the controller of connection file ${path} uses CURVE, but the installed zeromq package was built without CURVE`,
      { code: 'CURVE_UNSUPPORTED' },
    );
  }
  const publicKey = keyFrom(env, 'IPP_CURVE_PUBLICKEY');
  const secretKey = keyFrom(env, 'IPP_CURVE_SECRETKEY');
  const pair = publicKey === undefined || secretKey === undefined ? curveKeyPair() : { publicKey, secretKey };
  return { serverKey, ...pair };
}

/** Reads a key from an environment variable. The error omits the value, because it may be a secret. */
function keyFrom(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name]?.trim() || undefined;
  if (value !== undefined && !Z85_KEY.test(value)) {
    throw new UsageError(`environment variable ${name} must be a Z85 key of 40 characters`);
  }
  return value;
}
