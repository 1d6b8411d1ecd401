import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageSocket } from '@ipyparallel-js/wire';
import { expect, it, onTestFinished } from 'vitest';
import { Dealer, Router } from 'zeromq';
import { PortBlock } from '../support/clusters/ports.js';

const MESSAGES = 40;
const BYTES = 2_000_000;

async function boundRouter(): Promise<{ router: Router; address: string }> {
  const router = new Router({ linger: 0, receiveHighWaterMark: 0 });
  onTestFinished(() => router.close());
  await router.bind('tcp://127.0.0.1:*');
  return { router, address: router.lastEndpoint ?? '' };
}

it('close() resolves when all earlier messages have been sent, even if the process exits then', async () => {
  const { router, address } = await boundRouter();
  const directory = mkdtempSync(join(tmpdir(), 'ipp-test-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const program = join(directory, 'sender.mjs');
  const from = (name: string): string => JSON.stringify(import.meta.resolve(name));
  writeFileSync(
    program,
    `import { MessageSocket } from ${from('@ipyparallel-js/wire')};
     import { Dealer } from ${from('zeromq')};
     const dealer = new Dealer({ linger: 60_000, sendHighWaterMark: 0 });
     const socket = new MessageSocket('test', dealer, { onFailure: (doing, error) => { throw error; } });
     socket.connect(${JSON.stringify(address)});
     for (let i = 0; i < ${MESSAGES}; i++) socket.send([Buffer.alloc(${BYTES}, i)]);
     await socket.flush(60_000);
     await socket.close();
     process.exit(7);`,
  );
  const child = fork(program);
  const exited = once(child, 'exit');
  const [code] = (await exited) as [number];
  expect(code).toBe(7);
  for (let i = 0; i < MESSAGES; i++) {
    const [, body] = await router.receive();
    expect([body?.length, body?.[0]]).toEqual([BYTES, i]);
  }
});

it('close() resolves after the linger time if no peer receives, and returns the same promise when repeated', async () => {
  const dealer = new Dealer({ linger: 50, sendHighWaterMark: 0 });
  const socket = new MessageSocket('test', dealer, { onFailure: () => undefined });
  const block = await PortBlock.reserve(2);
  onTestFinished(() => block.release());
  socket.connect(`tcp://127.0.0.1:${block.range(1, 1).from}`);
  socket.send(['never received']);
  await socket.flush(1_000);
  const closing = socket.close();
  expect(socket.close()).toBe(closing);
  await closing;
});
