import { type AddressInfo, createServer } from 'node:net';
import { Client } from '@ipyparallel-js/client';
import { AuthenticationError, newId, ProtocolError, Session, TimeoutError } from '@ipyparallel-js/protocol';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Answer, FakeHub, type Request } from '../support/fakes/fake-hub.js';
import { stopClock } from '../support/stopped-clock.js';
import { waitFor } from '../support/wait-for.js';

/** Starts a scripted hub and connects a client. */
async function connected(answer?: Answer): Promise<{ hub: FakeHub; rc: Client }> {
  const hub = await FakeHub.start(answer === undefined ? {} : { answer });
  onTestFinished(() => hub.stop());
  const rc = await Client.connect({ connectionFile: hub.info, timeout: 60_000 });
  onTestFinished(() => rc.close());
  return { hub, rc };
}

/** Returns the warnings that the process emits during a test. */
function warnings(): string[] {
  const seen: string[] = [];
  const emit = vi.spyOn(process, 'emitWarning').mockImplementation((warning: string | Error) => {
    seen.push(String(warning));
  });
  onTestFinished(() => emit.mockRestore());
  return seen;
}

const DELIMITER = '<IDS|MSG>';

describe('malformed replies', () => {
  it('are dropped and counted, and the request still receives its reply', async () => {
    const warned = warnings();
    const stranger = new Session({ key: newId(), now: () => new Date() });
    const sendAll = (hub: FakeHub, request: Request): void => {
      const good = hub.reply(request, { status: 'ok', history: ['the answer'] });
      const [delimiter = '', signature = '', header = '', parent = '', metadata = '', content = ''] = good;
      const signed = (...dicts: string[]): (Buffer | string)[] => {
        const frames = dicts.map((dict) => Buffer.from(dict));
        return [DELIMITER, hub.session.codec.signer.sign(frames), ...frames];
      };
      const malformed: (Buffer | string)[][] = [
        ['garbage'],
        [''],
        [DELIMITER],
        [DELIMITER, DELIMITER],
        ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
        [...Array(50).fill('ident'), ...good],
        [delimiter, signature, header, parent, metadata],
        signed('{', '{}', '{}', '{}'),
        signed('[]', '{}', '{}', '{}'),
        signed('null', '{}', '{}', '{}'),
        signed('{}', '{}', '{}', '{}'),
        signed('{"msg_id": 5, "msg_type": "history_reply"}', '{}', '{}', '{}'),
        signed(header.toString(), '[]', '{}', '{}'),
        signed(header.toString(), '{}', '"x"', '{}'),
        signed(header.toString(), '{}', '{}', '5'),
        signed(header.toString(), '{}', '{}', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`),
        signed(header.toString(), '{}', '{}', '\xff\xfe'),
      ];
      const forged: (Buffer | string)[][] = [
        [delimiter, '', header, parent, metadata, content],
        [delimiter, 'short', header, parent, metadata, content],
        [delimiter, signature.toString().replace(/./g, '0'), header, parent, metadata, content],
        [delimiter, signature, header, parent, metadata, '{"status": "ok", "history": ["forged"]}'],
        stranger.encode(
          stranger.rawMessage(
            'history_reply',
            { status: 'ok', history: ['forged'] },
            { parent: request.message.header },
          ),
        ),
      ];
      for (const frames of [...malformed, ...forged, good, good, good]) hub.send(request, frames);
      counts = { malformed: malformed.length, forged: forged.length };
    };
    let counts = { malformed: 0, forged: 0 };
    const { rc } = await connected((request, hub) => {
      if (request.message.msg_type !== 'history_request') return undefined;
      sendAll(hub, request);
      return false;
    });
    expect(await rc.hubHistory({ timeout: 60_000 })).toEqual(['the answer']);
    await waitFor(() => rc.stats.replayed === 2, { what: () => JSON.stringify(rc.stats) });
    expect(rc.stats).toMatchObject({ ...counts, replayed: 2, unexpected: 0 });
    expect(counts.malformed).toBe(17);
    // The client warns once of each kind.
    expect(warned.filter((text) => text.includes('malformed'))).toHaveLength(1);
    expect(warned.filter((text) => text.includes('forged'))).toHaveLength(1);
    expect(warned.filter((text) => text.includes('replayed'))).toHaveLength(1);
    expect(warned.join('\n')).not.toContain(String(rc.session.codec.signer));
    // The client continues to work.
    expect(await rc.dbQuery({}, 'msg_id')).toEqual([]);
  });

  it('to unknown requests, or after the deadline, are counted', async () => {
    const { hub, rc } = await connected((request) =>
      request.message.msg_type === 'history_request' ? false : undefined,
    );
    const late = rc.hubHistory({ timeout: 50 });
    await expect(late).rejects.toThrow(TimeoutError);
    const request = await waitFor(() =>
      hub.requests.find(({ message }) => message.msg_type === 'history_request'),
    );
    hub.send(request, hub.reply(request, { status: 'ok', history: ['late'] }));
    hub.send(
      request,
      hub.session.encode(hub.session.rawMessage('history_reply', { status: 'ok', history: [] })),
    );
    hub.send(request, hub.session.encode(hub.session.rawMessage('nonsense', {})));
    await waitFor(() => rc.stats.unexpected === 3);
    expect(rc.stats).toMatchObject({ malformed: 0, forged: 0, replayed: 0 });
    expect(await rc.dbQuery({ msg_id: 'any' }, 'msg_id')).toEqual([]);
  });
});

describe('malformed notices', () => {
  it('change no engine, and valid notices still do', async () => {
    warnings();
    const { hub, rc } = await connected();
    const stranger = new Session({ key: newId(), now: () => new Date() });
    const notice = (session: Session, type: string, content: { [key: string]: unknown }): Buffer[] =>
      session.encode(session.rawMessage(type, content), ['topic']);
    // The subscription needs a moment to reach the hub.
    await waitFor(() => {
      hub.notify(hub.session.rawMessage('registration_notification', { id: 0, uuid: 'the first' }));
      return rc.ids.length > 0;
    });
    const first = notice(hub.session, 'registration_notification', { id: 1, uuid: 'the second' });
    hub.publish('notification', ['noise']);
    hub.publish('notification', notice(stranger, 'registration_notification', { id: 66, uuid: 'evil' }));
    hub.publish(
      'notification',
      notice(stranger, 'unregistration_notification', { id: 0, uuid: 'the first' }),
    );
    hub.publish('notification', notice(stranger, 'shutdown_notification', {}));
    for (const content of [{}, { id: '7', uuid: 'x' }, { id: 7 }, { id: null, uuid: 5 }])
      hub.publish('notification', notice(hub.session, 'registration_notification', content));
    hub.publish(
      'notification',
      notice(hub.session, 'unregistration_notification', { id: 0, uuid: 'another' }),
    );
    hub.publish('notification', notice(hub.session, 'unheard_of', {}));
    hub.publish('notification', first);
    hub.publish('notification', first);
    await waitFor(() => rc.stats.replayed === 1);
    expect([...rc.engines]).toEqual([
      [0, 'the first'],
      [1, 'the second'],
    ]);
    expect(rc.stats).toMatchObject({ malformed: 1, forged: 3, replayed: 1 });
    hub.notify(hub.session.rawMessage('unregistration_notification', { id: 0, uuid: 'the first' }));
    await waitFor(() => rc.ids.length === 1);
    expect(rc.ids).toEqual([1]);
  });

  it('of output for unknown tasks are ignored', async () => {
    warnings();
    const { hub, rc } = await connected();
    const output = (): Buffer[] =>
      hub.session.encode(
        hub.session.rawMessage(
          'stream',
          { name: 'stdout', text: 'x' },
          { parent: { msg_id: '__proto__', msg_type: 'execute_request' } },
        ),
        ['engine.0.stdout'],
      );
    const before = rc.stats.received;
    await waitFor(() => {
      hub.publish('iopub', output());
      return rc.stats.received > before;
    });
    hub.publish('iopub', ['noise']);
    await waitFor(() => rc.stats.malformed === 1);
    expect(await rc.dbQuery({}, 'msg_id')).toEqual([]);
  });
});

describe('invalid contents of replies', () => {
  const answers: [string, unknown][] = [
    ['no records', { status: 'ok' }],
    ['records that are no list', { status: 'ok', records: { a: 1 } }],
    ['a record that is no dict', { status: 'ok', records: [5] }],
    ['a record without msg_id', { status: 'ok', records: [{ queue: 'mux' }] }],
    ['a msg_id that is no text', { status: 'ok', records: [{ msg_id: 5 }] }],
  ];

  it.each(answers)('%s cause a ProtocolError', async (_, content) => {
    const { rc } = await connected(({ message }) =>
      message.msg_type === 'db_request' ? (content as { [key: string]: unknown }) : undefined,
    );
    await expect(Promise.resolve(rc.dbQuery({}, 'queue'))).rejects.toThrow(ProtocolError);
  });

  it.each([[[5]], [[-1]], [[1.5]], [['1']], [[null]], [5]])(
    'buffer lengths of %j without buffers cause a ProtocolError',
    async (lens) => {
      const { rc } = await connected(({ message }) =>
        message.msg_type === 'db_request'
          ? { status: 'ok', records: [{ msg_id: 'a' }], buffer_lens: lens, result_buffer_lens: null }
          : undefined,
      );
      await expect(Promise.resolve(rc.dbQuery({}, 'buffers'))).rejects.toThrow(ProtocolError);
    },
  );

  it('hostile keys of a record affect that record only', async () => {
    const record = JSON.parse(
      '{"msg_id": "a", "__proto__": {"polluted": 1}, "constructor": 5, "content": {"__proto__": {"polluted": 1}}, "queue": 7}',
    ) as { [key: string]: unknown };
    const { rc } = await connected(({ message }) =>
      message.msg_type === 'db_request' ? { status: 'ok', records: [record] } : undefined,
    );
    const [row] = await rc.dbQuery({});
    expect(row?.msg_id).toBe('a');
    expect(Object.keys(row ?? {})).not.toContain('constructor');
    expect('polluted' in {}).toBe(false);
    expect(await rc.dbQuery({ 'content.__proto__.polluted': 1 }, [])).toEqual([{ msg_id: 'a' }]);
  });

  it('an error reply becomes a HubError with the text of the hub', async () => {
    const { rc } = await connected(({ message }) =>
      message.msg_type === 'db_request'
        ? { status: 'error', ename: 'OperationalError', evalue: 'disk full', traceback: ['line 1'] }
        : undefined,
    );
    await expect(Promise.resolve(rc.dbQuery({}, 'queue'))).rejects.toMatchObject({
      code: 'HUB',
      ename: 'OperationalError',
      evalue: 'disk full',
      traceback: ['line 1'],
      message: 'OperationalError: disk full',
    });
  });

  it('a connection reply without engines, or with invalid ones, does not crash the client', async () => {
    for (const engines of [undefined, null, 5, { x: 5 }, { '-1': 'a' }, ['a']]) {
      await using hub = await FakeHub.start({
        answer: ({ message }) =>
          message.msg_type === 'connection_request' ? { status: 'ok', engines } : undefined,
      });
      try {
        await using rc = await Client.connect({ connectionFile: hub.info, timeout: 60_000 });
        for (const [id, uuid] of rc.engines) {
          expect(Number.isInteger(id)).toBe(true);
          expect(typeof uuid).toBe('string');
        }
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }
  });
});

describe('a hub that does not reply', () => {
  it('causes a TimeoutError with the address and the time if nothing listens', async () => {
    await using hub = await FakeHub.start();
    const { info, address } = hub;
    await hub.stop();
    const started = performance.now();
    const failure = await Client.connect({ connectionFile: info, timeout: 1_500 }).catch(
      (error: unknown) => error,
    );
    const waited = performance.now() - started;
    expect(failure).toBeInstanceOf(TimeoutError);
    expect(failure).toMatchObject({ code: 'TIMEOUT' });
    expect((failure as TimeoutError).message).toContain(address);
    expect((failure as TimeoutError).message).toMatch(/within [1-9][\d.]* s/);
    expect((failure as TimeoutError).message).toMatch(/nothing accepts connections/);
    expect((failure as TimeoutError).waitedMs).toBeGreaterThanOrEqual(1_450);
    expect(waited).toBeLessThan(30_000);
  });

  it('causes a TimeoutError and not a refused key if the hub ended while the client connected', async () => {
    let broken = 0;
    const ending = createServer((socket) => {
      broken++;
      socket.resetAndDestroy();
    });
    await new Promise<void>((resolve) => ending.listen(0, '127.0.0.1', resolve));
    const { port } = ending.address() as AddressInfo;
    await using hub = await FakeHub.start();
    const ports = Object.fromEntries(
      Object.entries(hub.info).map(([name, value]) => [name, typeof value === 'number' ? port : value]),
    );
    const connecting = Client.connect({ connectionFile: ports, timeout: 5_000 }).catch(
      (error: unknown) => error,
    );
    await waitFor(() => broken > 0, { what: 'a broken connection' });
    await new Promise((resolve) => ending.close(resolve));
    const failure = await connecting;
    expect(failure).toBeInstanceOf(TimeoutError);
    expect((failure as TimeoutError).message).toMatch(/nothing accepts connections/);
  });

  it('causes a TimeoutError with this reason if the hub is silent', async () => {
    await using hub = await FakeHub.start({ answer: () => false, answersProbes: false });
    // The timeout must not end before the client is linked.
    const clock = stopClock();
    const connecting = Client.connect({ connectionFile: hub.info, timeout: 1_500 }).catch(
      (error: unknown) => error,
    );
    await waitFor(() => hub.probes > 0, { what: 'the request and the probe of the client' });
    clock.advance(1_500);
    const failure = await connecting;
    expect(failure).toBeInstanceOf(TimeoutError);
    expect((failure as TimeoutError).message).toContain(hub.address);
    expect((failure as TimeoutError).message).toMatch(/does not reply/);
  });

  it('causes an error with the address if another program listens', async () => {
    const server = createServer((socket) =>
      socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await using hub = await FakeHub.start();
    try {
      const failure = await Client.connect({
        connectionFile: { ...hub.info, registration: port },
        timeout: 1_500,
      }).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: expect.stringMatching(/^(TIMEOUT|TRANSPORT|AUTHENTICATION)$/) });
      expect(String(failure)).toContain(`tcp://127.0.0.1:${port}`);
    } finally {
      server.close();
    }
  });

  it('causes an AuthenticationError long before the timeout if the hub has another key', async () => {
    await using hub = await FakeHub.start();
    const key = newId();
    const started = performance.now();
    const failure = await Client.connect({ connectionFile: { ...hub.info, key }, timeout: 30_000 }).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(AuthenticationError);
    expect(failure).toMatchObject({ code: 'AUTHENTICATION' });
    expect((failure as Error).message).toContain(hub.address);
    expect((failure as Error).message).not.toContain(key);
    expect((failure as Error).message).not.toContain(hub.key);
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(hub.probes).toBe(1);
  });

  it('is used if it replies after the probe for a wrong key', async () => {
    const { hub, rc } = await connected((request, fake) => {
      if (request.message.msg_type !== 'connection_request') return undefined;
      const answer = setInterval(() => {
        if (fake.probes === 0) return;
        clearInterval(answer);
        fake.send(request, fake.reply(request, { status: 'ok', engines: { 0: 'a' } }));
      }, 10);
      return false;
    });
    expect(hub.probes).toBe(1);
    expect(rc.ids).toEqual([0]);
  });

  it('fails only the request without a reply, at its own timeout', async () => {
    const { rc } = await connected(({ message }) => (message.msg_type === 'db_request' ? false : undefined));
    const started = performance.now();
    const query = rc.dbQuery({}, { keys: 'queue', timeout: 400 });
    const polled = new Promise((_, reject) => {
      rc.dbQuery({}, { keys: 'queue', timeout: 300 }).poll(10).subscribe({ error: reject });
    });
    const expected = Promise.all([
      expect(Promise.resolve(query)).rejects.toMatchObject({ code: 'TIMEOUT' }),
      expect(polled).rejects.toMatchObject({ code: 'TIMEOUT' }),
      expect(rc.dbQuery({}, { timeout: 300 }).stream().next()).rejects.toMatchObject({ code: 'TIMEOUT' }),
      expect(rc.resultStatus('a', { timeout: 300 })).rejects.toMatchObject({ code: 'TIMEOUT' }),
    ]);
    expect(await rc.hubHistory()).toEqual([]);
    await expected;
    // A later await of the query rejects with the same error.
    await expect(Promise.resolve(query)).rejects.toMatchObject({ code: 'TIMEOUT' });
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe('a hub that shuts down', () => {
  it('with a notice fails outstanding and later requests at once', async () => {
    const { hub, rc } = await connected(({ message }) =>
      message.msg_type === 'connection_request' ? { status: 'ok', engines: { 0: 'a' } } : false,
    );
    // The client requests the engine's language on the control socket, which does not reply.
    const ar = rc.directView(0).execute('x');
    const waiting = expect(ar.get()).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
    const asked = expect(rc.hubHistory({ timeout: 60_000 })).rejects.toMatchObject({
      code: 'CONNECTION_CLOSED',
    });
    await waitFor(() => {
      hub.notify(hub.session.rawMessage('shutdown_notification', {}));
      return ar.ready;
    });
    await waiting;
    await asked;
    await expect(rc.loadBalancedView().execute('x').get({ timeout: 60_000 })).rejects.toMatchObject({
      code: 'CONNECTION_CLOSED',
    });
  });
});
