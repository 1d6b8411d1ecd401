// Messages of our engine have the same fields and types as recorded messages of a Python engine.
import { readFileSync } from 'node:fs';
import { Engine } from '@ipyparallel-js/engine';
import { type AnyMessage, type Dict, parseWireDate } from '@ipyparallel-js/protocol';
import { encodeJsCall } from '@ipyparallel-js/protocol/internal';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakeController } from '../support/fakes/fake-controller.js';
import { waitFor } from '../support/wait-for.js';

interface Sample {
  readonly name: string;
  readonly idents: readonly string[];
  readonly header: Dict & { readonly msg_type: string };
  readonly parent_header: Dict;
  readonly metadata: Dict;
  readonly content: Dict;
}

const fixture = new URL('../fixtures/wire-samples.json', import.meta.url);
const { samples } = JSON.parse(readFileSync(fixture, 'utf8')) as { samples: Sample[] };

let controller: FakeController;
let engine: Engine;

beforeAll(async () => {
  controller = await FakeController.start();
  const { connectionInfo } = controller;
  engine = await Engine.start({ connectionInfo, timeout: 60_000, log: () => {} });
});

afterAll(async () => {
  await engine.stop();
  controller.stop();
});

function sample(name: string, msgType?: string): Sample {
  const found = samples.find(
    (each) => each.name === name && (msgType === undefined || each.header.msg_type === msgType),
  );
  if (found === undefined) throw new Error(`no sample ${name}`);
  return found;
}

/** Returns the type of a value and, recursively, of its parts. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'string') return parseWireDate(value) === undefined ? 'text' : 'date';
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, item]) => [key, shape(item)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function expectSame(ours: AnyMessage, theirs: Sample): void {
  expect(shape(ours.header)).toEqual(shape(theirs.header));
  expect(shape(ours.parent_header)).toEqual(shape(theirs.parent_header));
  expect(shape(ours.content)).toEqual(shape(theirs.content));
  expect(ours.header.username).toBe(theirs.header.username);
  expect(ours.header.version).toBe(theirs.header.version);
}

async function run(msgType: string, content: Dict, buffers: readonly Uint8Array[] = []): Promise<AnyMessage> {
  const message = controller.session.rawMessage(msgType, content, { buffers });
  controller.sendFrames('mux', engine.uuid, controller.frames(message));
  const { message: reply } = await controller.replyTo(message.msg_id);
  await waitFor(() => controller.published(message.msg_id, 'status').length === 2);
  expect(reply.parent_header).toEqual(message.header);
  expect(reply.idents.map(String)).toEqual([engine.uuid, 'the-client']);
  expect(reply.header.session).toBe(engine.uuid);
  return reply;
}

const published = (reply: AnyMessage, msgType: string): AnyMessage => {
  const [found] = controller.published(String(reply.parent_header.msg_id), msgType);
  if (found === undefined) throw new Error(`no ${msgType} was published`);
  return found;
};

const code = 'console.log("hello"); console.error("oops"); 6 * 7';

describe('replies', () => {
  test.each([
    ['execute_request', { code, silent: false }, 'execute_reply (mux)'],
    ['execute_request', { code: 'null.x', silent: false }, 'execute_reply (error)'],
  ])('%s with %j', async (msgType, content, name) => {
    const reply = await run(msgType, content);
    expectSame(reply, sample(name));
    expect(shape(reply.metadata)).toEqual(shape(sample(name).metadata));
  });

  test('apply_request', async () => {
    const { content, buffers } = encodeJsCall((n: number) => n, [1]);
    const reply = await run('apply_request', content, buffers);
    const theirs = sample('apply_reply (mux)');
    // Our reply also contains the language and the digests of its buffers.
    const { language, buffer_digests: digests, ...rest } = reply.content;
    expectSame({ ...reply, content: rest }, theirs);
    expect(language).toBe('javascript');
    expect(digests).toHaveLength(1);
    expect(shape(reply.metadata)).toEqual(shape(theirs.metadata));
    expect(reply.metadata).toMatchObject({ dependencies_met: true, engine: engine.uuid, status: 'ok' });
  });

  test('apply_request of a function that fails', async () => {
    const { content, buffers } = encodeJsCall(() => JSON.parse('{'), []);
    const reply = await run('apply_request', content, buffers);
    expectSame(reply, sample('apply_reply (error)'));
    expect(shape(reply.metadata)).toEqual(shape(sample('apply_reply (error)').metadata));
  });

  test.each([
    ['abort_request', { msg_ids: ['nope'] }, 'abort_reply'],
    ['clear_request', {}, 'clear_reply'],
  ])('%s', async (msgType, content, name) => {
    const id = controller.submit('control', engine.uuid, msgType, content);
    const { message } = await controller.replyTo(id);
    expectSame(message, sample(name));
    expect(shape(message.metadata)).toEqual(shape(sample(name).metadata));
  });

  test('the reply repeats a broadcast’s metadata, and a label if there is one', async () => {
    const metadata = { is_broadcast: true, is_coalescing: true, original_msg_id: 'x_1', label: 'mine' };
    const content = { code: '1', silent: true };
    const id = controller.submit('leaf-0', engine.uuid, 'execute_request', content, metadata);
    expect((await controller.replyTo(id)).message.metadata).toMatchObject(metadata);
    const plain = await run('execute_request', content);
    expect(plain.metadata).toMatchObject({ is_broadcast: false, is_coalescing: false, original_msg_id: '' });
    expect(plain.metadata).not.toHaveProperty('label');
  });
});

describe('iopub', () => {
  test.each([
    ['status', 'iopub of execute: status'],
    ['execute_input', 'iopub of execute: execute_input'],
    ['stream', 'iopub of execute: stream'],
    ['execute_result', 'iopub of execute: execute_result'],
  ])('%s', async (msgType, name) => {
    const ours = published(await run('execute_request', { code, silent: false }), msgType);
    expectSame(ours, sample(name, msgType));
    expect(ours.idents.map(String)).toEqual(sample(name, msgType).idents);
    expect(ours.metadata).toEqual({ engine: engine.uuid });
  });

  test('error', async () => {
    const ours = published(await run('execute_request', { code: 'null.x', silent: false }), 'error');
    expectSame(ours, sample('iopub of error: error'));
    expect(ours.idents.map(String)).toEqual(['engine.0.error']);
  });
});
