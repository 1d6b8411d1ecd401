import { getEventListeners } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type Connection,
  type ConnectionOptions,
  openConnection,
  parseSshServer,
} from '@ipyparallel-js/client/internal';
import {
  ConnectionFileError,
  IpyparallelError,
  TimeoutError,
  TransportError,
  UsageError,
} from '@ipyparallel-js/protocol';
import type { Machine } from '@ipyparallel-js/wire';
import { startDeadline } from '@ipyparallel-js/wire';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const info = {
  ssh: '',
  interface: 'tcp://127.0.0.1',
  registration: 20_001,
  control: 20_002,
  mux: 20_003,
  task: 20_004,
  task_scheme: 'leastload',
  iopub: 20_005,
  notification: 20_006,
  broadcast: 20_007,
  key: 'a-key',
  curve_serverkey: null,
  location: 'localhost',
  pack: 'json',
  unpack: 'json',
  signature_scheme: 'hmac-sha256',
};
const text = JSON.stringify(info);

/** Resolves two names, and sends no network request. */
const machine: Machine = {
  hostname: () => 'desk',
  addresses: () => ['127.0.0.1', '::1', '192.0.2.10'],
  lookUp: async (name) => {
    const known: Record<string, string[]> = {
      'desk.example': ['192.0.2.10'],
      node17: ['192.0.2.17'],
      six: ['2001:db8::6'],
    };
    const addresses = known[name];
    if (addresses === undefined) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    return addresses;
  },
};

let home = '';
let env: NodeJS.ProcessEnv = {};

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ipp-connection-'));
  env = { HOME: home, USERPROFILE: home };
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

interface WaitLimits {
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

function open(options: ConnectionOptions = {}, wait: WaitLimits = {}): Promise<Connection> {
  return openConnection(options, startDeadline(wait, 5_000), env, machine);
}

/** Writes a file below the home directory. */
function write(path: string, content = text): string {
  const file = join(home, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

async function failure(promise: Promise<unknown>): Promise<IpyparallelError> {
  const error: unknown = await promise.then(
    () => new Error('did not fail'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(IpyparallelError);
  return error as IpyparallelError;
}

async function fileError(promise: Promise<unknown>): Promise<ConnectionFileError> {
  const error = await failure(promise);
  expect(error).toBeInstanceOf(ConnectionFileError);
  expect(error.code).toBe('CONNECTION_FILE');
  return error as ConnectionFileError;
}

describe('finding the file', () => {
  it('accepts a path, a path below ~, a file: URL, and the content of a file', async () => {
    const file = write('here.json');
    expect((await open({ connectionFile: file })).path).toBe(file);
    expect((await open({ connectionFile: '~/here.json' })).path).toBe(file);
    expect((await open({ connectionFile: pathToFileURL(file) })).path).toBe(file);
    expect((await open({ connectionFile: pathToFileURL(file).href })).path).toBe(file);
    const connection = await open({ connectionFile: info });
    expect(connection.path).toBe('(object)');
    expect(connection.info.key).toBe('a-key');
    expect(connection.addresses).toEqual({
      registration: 'tcp://127.0.0.1:20001',
      control: 'tcp://127.0.0.1:20002',
      mux: 'tcp://127.0.0.1:20003',
      task: 'tcp://127.0.0.1:20004',
      broadcast: 'tcp://127.0.0.1:20007',
      iopub: 'tcp://127.0.0.1:20005',
      notification: 'tcp://127.0.0.1:20006',
    });
    expect(connection.tunnelled).toBe(false);
    await connection.close();
    await connection.close();
  });

  it('uses the default profile below ~/.ipython by default', async () => {
    const file = write('.ipython/profile_default/security/ipcontroller-client.json');
    expect((await open()).path).toBe(file);
    expect((await open({ profile: 'default', clusterId: '' })).path).toBe(file);
  });

  it('uses profile, clusterId, profileDir and ipythonDir', async () => {
    const profile = write('.ipython/profile_mpi/security/ipcontroller-client.json');
    const id = write('.ipython/profile_mpi/security/ipcontroller-two-client.json');
    const other = write('elsewhere/profile_mpi/security/ipcontroller-client.json');
    const loose = write('loose/security/ipcontroller-two-client.json');
    expect((await open({ profile: 'mpi' })).path).toBe(profile);
    expect((await open({ profile: 'mpi', clusterId: 'two' })).path).toBe(id);
    expect((await open({ profile: 'mpi', ipythonDir: '~/elsewhere' })).path).toBe(other);
    expect((await open({ profile: 'mpi', profileDir: join(home, 'loose'), clusterId: 'two' })).path).toBe(
      loose,
    );
    env.IPYTHONDIR = '~/elsewhere';
    expect((await open({ profile: 'mpi' })).path).toBe(other);
  });

  it('uses the environment for profile directory and cluster id unless options are given', async () => {
    const fromEnv = write('env/security/ipcontroller-e-client.json');
    const fromProfile = write('.ipython/profile_chosen/security/ipcontroller-client.json');
    const fromProfileAndId = write('.ipython/profile_chosen/security/ipcontroller-e-client.json');
    const idOnly = write('env/security/ipcontroller-x-client.json');
    env.IPP_CLUSTER_ID = 'e';
    expect((await open({ profile: 'chosen' })).path).toBe(fromProfileAndId);
    env.IPP_PROFILE_DIR = join(home, 'env');
    expect((await open()).path).toBe(fromEnv);
    expect((await open({ clusterId: 'x' })).path).toBe(idOnly);
    expect((await open({ profile: 'chosen' })).path).toBe(fromProfile);
    expect((await open({ profileDir: '~/.ipython/profile_chosen' })).path).toBe(fromProfile);
    env.IPP_PROFILE_DIR = '';
    env.IPP_CLUSTER_ID = '';
    const plain = write('.ipython/profile_default/security/ipcontroller-client.json');
    expect((await open()).path).toBe(plain);
  });

  it('refuses names that would leave the directory, and addresses', async () => {
    for (const options of [
      { profile: '../x' },
      { clusterId: 'a/b' },
      { profileDir: '' },
      { connectionFile: '' },
      { connectionFile: 'tcp://127.0.0.1:5555' },
      { connectionFile: new URL('https://example.org/x.json') },
    ]) {
      const error = await failure(open(options));
      expect(error).toBeInstanceOf(UsageError);
      expect(error.code).toBe('USAGE');
    }
  });
});

describe('waiting for the file', () => {
  it('waits until the profile directory and the file exist', async () => {
    const opening = open({ profile: 'late' });
    const timer = setTimeout(() => write('.ipython/profile_late/security/ipcontroller-client.json'), 60);
    expect((await opening).info.registration).toBe(20_001);
    clearTimeout(timer);
  });

  it('waits until the file is complete', async () => {
    const file = write('growing.json', '');
    const opening = open({ connectionFile: file });
    const timers = [
      setTimeout(() => writeFileSync(file, text.slice(0, 40)), 40),
      setTimeout(() => writeFileSync(file, text), 100),
    ];
    expect((await opening).info.notification).toBe(20_006);
    for (const timer of timers) clearTimeout(timer);
  });

  it('reports what is missing, the time waited, other files, and what to do', async () => {
    write('.ipython/profile_default/security/ipcontroller-b-client.json');
    write('.ipython/profile_other/security/ipcontroller-client.json');
    const byProfile = await fileError(open({}, { timeout: 50 }));
    expect(byProfile.path).toBe(join(home, '.ipython/profile_default/security/ipcontroller-client.json'));
    expect(byProfile.message).toContain(byProfile.path);
    expect(byProfile.message).toMatch(/no such file \(waited \d+ ms\)/);
    expect(byProfile.message).toMatch(/profile_default exists; it has ipcontroller-b-client\.json; start/);

    const missingProfile = await fileError(open({ profile: 'gone', clusterId: 'q' }, { timeout: 50 }));
    expect(missingProfile.message).toMatch(/profile_gone does not exist/);
    expect(missingProfile.message).toContain(join('profile_other', 'security', 'ipcontroller-client.json'));
    expect(missingProfile.message).toContain('ipcontroller --profile=gone --cluster-id=q');

    const byPath = await fileError(open({ connectionFile: join(home, 'no.json') }, { timeout: 0 }));
    expect(byPath.message).toMatch(/no\.json: no such file .*is a controller running\?/);
  });

  it('reads the file once even after the deadline', async () => {
    const file = write('there.json');
    expect((await open({ connectionFile: file }, { timeout: 0 })).path).toBe(file);
  });

  it('reports a file that stays truncated or empty', async () => {
    const cut = await fileError(
      open({ connectionFile: write('cut.json', text.slice(0, 99)) }, { timeout: 60 }),
    );
    expect(cut.message).toMatch(/is truncated: its JSON breaks off after 99 characters \(waited \d+ ms/);
    const empty = await fileError(open({ connectionFile: write('empty.json', '\n') }, { timeout: 60 }));
    expect(empty.message).toMatch(/is empty/);
  });

  it('rejects with the reason of the signal, and removes its listener', async () => {
    const controller = new AbortController();
    const reason = new Error('changed my mind');
    const opening = open(
      { profile: 'none' },
      { timeout: Number.POSITIVE_INFINITY, signal: controller.signal },
    );
    const timer = setTimeout(() => controller.abort(reason), 40);
    await expect(opening).rejects.toBe(reason);
    clearTimeout(timer);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    await expect(open({ connectionFile: info }, { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe('a file that cannot be a connection file', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['is not JSON', 'hello', /is not JSON/],
    ['is broken JSON', '{"interface": nope}', /is not JSON/],
    ['is a list', '[1, 2]', /must contain a JSON object/],
    ['is a number', '12', /must contain a JSON object/],
    ['is JSON of another kind', '{"name": "left-pad", "version": "1.0.0"}', /field "interface" is missing/],
    ['lacks a field', JSON.stringify({ ...info, mux: undefined }), /field "mux" is missing/],
    [
      'has an invalid port',
      JSON.stringify({ ...info, task: 70_000 }),
      /field "task" must be a port from 1 to 65535, got 70000/,
    ],
    ['lacks its key', JSON.stringify({ ...info, key: undefined }), /field "key" is missing/],
    ['is for engines', JSON.stringify({ ...info, hb_ping: 1, hb_pong: 2 }), /is for engines.*-client\.json/],
    [
      'has no host',
      JSON.stringify({ ...info, interface: 'tcp://-x y' }),
      /field "interface" must have a host/,
    ],
    [
      'has a port in its interface',
      JSON.stringify({ ...info, interface: 'tcp://1.2.3.4:5' }),
      /must have a host/,
    ],
    [
      'describes a Cluster',
      JSON.stringify({ cluster: { profile_dir: '/p', cluster_id: 'c1' }, controller: {} }),
      /describes a Cluster.*profileDir "\/p" and clusterId "c1"/,
    ],
    [
      'has its fields below __proto__',
      '{"__proto__": {"interface": "tcp://127.0.0.1"}}',
      /field "interface" is missing/,
    ],
    [
      'has a CURVE key that is too short',
      JSON.stringify({ ...info, curve_serverkey: 'short' }),
      /curve_serverkey/,
    ],
    ['has a CURVE key that is not Z85', JSON.stringify({ ...info, curve_serverkey: '~'.repeat(40) }), /Z85/],
    ['is too large', `${' '.repeat(1_000_001)}${text}`, /too large/],
  ];
  for (const [fault, content, message] of cases) {
    it(`is refused at once if it ${fault}`, async () => {
      const file = write('bad.json', content);
      const started = performance.now();
      const error = await fileError(open({ connectionFile: file }, { timeout: 30_000 }));
      expect(performance.now() - started).toBeLessThan(20_000);
      expect(error.path).toBe(file);
      expect(error.message).toContain(file);
      expect(error.message).toMatch(message);
    });
  }

  it('is refused if it is an object that lacks a field', async () => {
    const error = await fileError(open({ connectionFile: { ...info, iopub: undefined } }));
    expect(error.message).toMatch(/\(object\): field "iopub" is missing/);
  });

  it('is refused at once if it is a directory or below a file', async () => {
    expect((await fileError(open({ connectionFile: home }))).message).toMatch(/is a directory/);
    const file = write('file.json');
    expect((await fileError(open({ connectionFile: join(file, 'x.json') }))).message).toMatch(/ENOTDIR/);
  });

  it('is refused at once if reading is not permitted', async () => {
    const file = write('secret.json');
    chmodSync(file, 0);
    const isRoot = process.geteuid?.() === 0;
    // Root may read every file.
    if (isRoot) chmodSync(home, 0o755);
    if (isRoot) process.seteuid?.(65_534);
    try {
      const error = await fileError(open({ connectionFile: file }));
      expect(error.message).toMatch(/permission denied \(EACCES\)/);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
});

describe('the address', () => {
  const addressWith = async (change: object): Promise<string | undefined> =>
    (await open({ connectionFile: { ...info, ...change } })).addresses.registration;

  it('is 127.0.0.1 for a wildcard and a controller on this machine', async () => {
    for (const wildcard of ['tcp://*', 'tcp://0.0.0.0', 'tcp://[::]']) {
      for (const location of [
        '',
        'localhost',
        'desk',
        'DESK',
        '127.0.1.1',
        '::1',
        '192.0.2.10',
        'desk.example',
      ]) {
        expect(await addressWith({ interface: wildcard, location })).toBe('tcp://127.0.0.1:20001');
      }
      expect(await addressWith({ interface: wildcard, location: undefined })).toBe('tcp://127.0.0.1:20001');
    }
  });

  it('is the location for a wildcard and a controller on another machine', async () => {
    expect(await addressWith({ interface: 'tcp://*', location: 'node17' })).toBe('tcp://node17:20001');
    expect(await addressWith({ interface: 'tcp://0.0.0.0', location: '192.0.2.99' })).toBe(
      'tcp://192.0.2.99:20001',
    );
    expect(await addressWith({ interface: 'tcp://[::]', location: '2001:db8::1' })).toBe(
      'tcp://[2001:db8::1]:20001',
    );
    const six = await open({ connectionFile: { ...info, interface: 'tcp://*', location: 'six' } });
    expect(six.addresses.registration).toBe('tcp://[2001:db8::6]:20001');
    expect(six.ipv6).toBe(true);
  });

  it('is unchanged if the interface has a host or is ipc', async () => {
    expect(await addressWith({ interface: 'tcp://192.0.2.7', location: 'node17' })).toBe(
      'tcp://192.0.2.7:20001',
    );
    expect(await addressWith({ interface: 'tcp://node17' })).toBe('tcp://node17:20001');
    expect(await addressWith({ interface: 'tcp://[::1]' })).toBe('tcp://[::1]:20001');
    expect(await addressWith({ interface: 'ipc:///tmp/x/ipc', location: 'nowhere' })).toBe(
      'ipc:///tmp/x/ipc-20001',
    );
  });

  it('has no broadcast socket for a controller before 7', async () => {
    const { addresses } = await open({ connectionFile: { ...info, broadcast: undefined } });
    expect(addresses.broadcast).toBeUndefined();
  });

  it('is an error that names the file when the host name cannot be resolved', async () => {
    for (const change of [{ interface: 'tcp://*', location: 'nowhere' }, { interface: 'tcp://nowhere' }]) {
      const file = write('remote.json', JSON.stringify({ ...info, ...change }));
      const error = await failure(open({ connectionFile: file }));
      expect(error).toBeInstanceOf(TransportError);
      expect(error.code).toBe('HOST_NOT_FOUND');
      expect(error.message).toContain(file);
      expect(error.message).toMatch(/has the host nowhere in its field .*ENOTFOUND/);
    }
    const invalid = { ...info, interface: 'tcp://*', location: 'a b;c' };
    expect((await fileError(open({ connectionFile: invalid }))).message).toMatch(
      /field "location" must be a host name or address/,
    );
  });

  it('is resolved within the deadline', async () => {
    const silent: Machine = { ...machine, lookUp: () => new Promise(() => undefined) };
    const options = { connectionFile: { ...info, interface: 'tcp://*', location: 'slow' } };
    const error = await failure(openConnection(options, startDeadline({ timeout: 50 }, 0), env, silent));
    expect(error).toBeInstanceOf(TimeoutError);
    expect(error.message).toMatch(/host name slow was not resolved within \d+ ms/);
  });

  it('has a hint if it is the loopback of another machine', async () => {
    const elsewhere = await open({ connectionFile: { ...info, location: 'node17' } });
    expect(elsewhere.addresses.registration).toBe('tcp://127.0.0.1:20001');
    expect(elsewhere.hint()).toMatch(/listens on 127\.0\.0\.1 of node17.*sshServer: 'user@node17'/);
    expect((await open({ connectionFile: { ...info, location: 'desk' } })).hint()).toBe('');
  });
});

describe('CURVE', () => {
  const serverKey = 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7';
  const publicKey = 'Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID';
  const secretKey = 'D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs';

  it('is off without a key', async () => {
    expect((await open({ connectionFile: info })).curve).toBeNull();
  });

  it('uses the server key of the file, and generates a key pair', async () => {
    env.IPP_CURVE_SERVERKEY = publicKey;
    env.IPP_CURVE_PUBLICKEY = publicKey;
    const first = (await open({ connectionFile: { ...info, curve_serverkey: serverKey } })).curve;
    const second = (await open({ connectionFile: { ...info, curve_serverkey: serverKey } })).curve;
    expect(first?.serverKey).toBe(serverKey);
    expect(first?.publicKey).toHaveLength(40);
    expect(first?.secretKey).toHaveLength(40);
    expect(second?.secretKey).not.toBe(first?.secretKey);
  });

  it('uses keys from the environment', async () => {
    env.IPP_CURVE_SERVERKEY = serverKey;
    env.IPP_CURVE_PUBLICKEY = publicKey;
    env.IPP_CURVE_SECRETKEY = secretKey;
    expect((await open({ connectionFile: info })).curve).toEqual({ serverKey, publicKey, secretKey });
  });

  it('names the variable with an invalid key, but not its value', async () => {
    env.IPP_CURVE_SERVERKEY = serverKey;
    env.IPP_CURVE_PUBLICKEY = publicKey;
    env.IPP_CURVE_SECRETKEY = 'hush';
    const error = await failure(open({ connectionFile: info }));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain('IPP_CURVE_SECRETKEY');
    expect(error.message).not.toContain('hush');
  });
});

describe('the ssh server', () => {
  const parse = (server: string) =>
    parseSshServer(server, (problem) => {
      throw new UsageError(problem);
    });

  it('is user, host and port', () => {
    expect(parse('node17')).toEqual({ user: undefined, host: 'node17', port: undefined });
    expect(parse('me@node17.example:2222')).toEqual({ user: 'me', host: 'node17.example', port: 2222 });
    expect(parse('me@corp@node17')).toEqual({ user: 'me@corp', host: 'node17', port: undefined });
    expect(parse('me@[2001:db8::1]:22')).toEqual({ user: 'me', host: '2001:db8::1', port: 22 });
    expect(parse('2001:db8::1')).toEqual({ user: undefined, host: '2001:db8::1', port: undefined });
  });

  const bad = [
    '',
    '-oProxyCommand=touch x',
    'me@-oProxyCommand=x',
    '-lroot@node17',
    'node 17',
    'node17\n',
    'node17\t-v',
    'me@',
    '@node17',
    'me@node17:',
    'me@node17:0',
    'me@node17:99999',
    'me@node17:-v',
    'ssh://node17',
    '$(reboot)@node17',
    '`reboot`',
    'me;reboot@node17',
    '[::1',
    '[-x]:22',
  ];
  for (const server of bad) {
    it(`is refused if it is ${JSON.stringify(server)}`, async () => {
      expect((await failure(open({ connectionFile: info, sshServer: server }))).code).toBe('USAGE');
      if (server === '') return;
      const file = { ...info, interface: 'tcp://*', location: 'node17', ssh: server };
      expect((await fileError(open({ connectionFile: file }))).message).toContain('field "ssh"');
    });
  }

  it('is ignored if the file names it and the controller is on this machine', async () => {
    const local = await open({ connectionFile: { ...info, ssh: 'me@nowhere', location: 'desk.example' } });
    expect(local.tunnelled).toBe(false);
    expect(local.addresses.registration).toBe('tcp://127.0.0.1:20001');
  });

  it('is refused for ipc, and with invalid options or keys', async () => {
    const sshServer = 'me@node17';
    const ipc = { ...info, interface: 'ipc:///tmp/x' };
    expect((await failure(open({ connectionFile: ipc, sshServer }))).message).toMatch(
      /tunnel needs a tcp address/,
    );
    const sshKey = join(home, 'no-key');
    expect((await failure(open({ connectionFile: info, sshServer, sshKey }))).message).toContain('no-key');
    for (const option of ['-v', 'UserKnownHostsFile=/x\nProxyCommand=y', '']) {
      const error = await failure(open({ connectionFile: info, sshServer, sshOptions: [option] }));
      expect(error.message).toMatch(/sshOptions/);
    }
  });

  it('requires the program ssh', async () => {
    env.PATH = home;
    const error = await failure(open({ connectionFile: info, sshServer: 'me@node17' }));
    expect(error).toBeInstanceOf(TransportError);
    expect(error.code).toBe('SSH_TUNNEL');
    expect(error.message).toMatch(/me@node17 needs the program ssh/);
  });
});
