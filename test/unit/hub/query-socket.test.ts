// The query socket in the hub's thread waits for copies of earlier traffic before a request, and for the schedulers before a reply.
import { LinkCounts, QuerySocket } from '@ipyparallel-js/hub/internal';
import type { Frames } from '@ipyparallel-js/wire';
import { expect, test } from 'vitest';

function openSocket() {
  const counts = new LinkCounts();
  const sent: string[] = [];
  const handled: string[] = [];
  let copyRequests = 0;
  let receive: (frames: Buffer[]) => void = () => {};
  const socket = new QuerySocket({
    socket: {
      read: (handler) => {
        receive = handler;
      },
      send: (frames: Frames) => void sent.push(String(frames[0])),
      flush: async () => {},
      close: async () => {},
      abandon: () => {},
    },
    counts,
    requestCopies: () => copyRequests++,
  });
  socket.serve((frames) => handled.push(String(frames[0])));
  const request = (text: string): void => receive([Buffer.from(text)]);
  return { counts, sent, handled, socket, request, copyRequests: () => copyRequests };
}

test('the socket handles a request at once if no copies are in transit', () => {
  const { handled, request, copyRequests } = openSocket();
  request('a');
  expect(handled).toEqual(['a']);
  expect(copyRequests()).toBe(0);
});

test('a request waits for the copies made before it arrived, and later requests wait with it', () => {
  const { counts, handled, socket, request, copyRequests } = openSocket();
  counts.addCopy();
  counts.addCopy();
  request('a');
  counts.addCopy();
  request('b');
  expect([handled, copyRequests()]).toEqual([[], 1]);
  socket.onCopies(1);
  expect(handled).toEqual([]);
  socket.onCopies(1);
  expect(handled).toEqual(['a']);
  socket.onCopies(1);
  expect(handled).toEqual(['a', 'b']);
  request('c');
  expect(handled).toEqual(['a', 'b', 'c']);
});

test('the socket requests copies again if the first batch does not include all that a request waits for', () => {
  const { counts, socket, request, copyRequests } = openSocket();
  counts.addCopy();
  counts.addCopy();
  request('a');
  socket.onCopies(1);
  expect(copyRequests()).toBe(2);
});

test('a reply waits until the schedulers have processed earlier calls', () => {
  const { counts, sent, socket } = openSocket();
  socket.reply(['a']);
  socket.onCall();
  socket.reply(['b']);
  socket.onCall();
  socket.reply(['c']);
  expect(sent).toEqual(['a']);
  expect(counts.addCalls(1)).toBe(true);
  socket.onCallsDone();
  expect(sent).toEqual(['a', 'b']);
  expect(counts.addCalls(1)).toBe(true);
  socket.onCallsDone();
  expect(sent).toEqual(['a', 'b', 'c']);
  socket.onCall();
  expect(counts.addCalls(1)).toBe(false);
  socket.reply(['d']);
  expect(sent).toEqual(['a', 'b', 'c', 'd']);
});

test('the counts wrap around without losing their order', () => {
  const { counts, handled, socket, request } = openSocket();
  const values = new Int32Array(counts.shared);
  values[0] = 2 ** 31 - 1;
  socket.onCopies(2 ** 31 - 1);
  for (let i = 0; i < 2; i++) counts.addCopy();
  request('a');
  expect(handled).toEqual([]);
  socket.onCopies(2);
  expect(handled).toEqual(['a']);
});
