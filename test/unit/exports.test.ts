import * as client from '@ipyparallel-js/client';
import * as cluster from '@ipyparallel-js/cluster';
import * as engine from '@ipyparallel-js/engine';
import * as hub from '@ipyparallel-js/hub';
import * as protocol from '@ipyparallel-js/protocol';
import { expect, test } from 'vitest';

// What users may import, by hand: a name that appears or goes is a decision, not an accident.
test('client', () => {
  expect(Object.keys(client).sort()).toMatchInlineSnapshot(`
    [
      "AsyncMapResult",
      "AsyncResult",
      "AuthenticationError",
      "BroadcastView",
      "Client",
      "Complex",
      "CompositeError",
      "ConnectionClosedError",
      "ConnectionFileError",
      "DataFrame",
      "DbQuery",
      "Decimal",
      "Dependency",
      "DirectView",
      "EngineError",
      "Fraction",
      "HubError",
      "Index",
      "InvalidQueryError",
      "IpyparallelError",
      "Kwargs",
      "LanguageMismatchError",
      "LazyMap",
      "LoadBalancedView",
      "NdArray",
      "NoDatabaseError",
      "OpaqueValue",
      "PlainDate",
      "PlainTime",
      "ProtocolError",
      "PyCallable",
      "PyReference",
      "RemoteError",
      "Series",
      "TaskAbortedError",
      "TaskLostError",
      "TaskNotFoundError",
      "TaskPendingError",
      "TimeDelta",
      "TimeoutError",
      "TransportError",
      "UnpickleError",
      "UsageError",
      "Uuid",
      "View",
      "ViewExecutor",
      "Watch",
      "capture",
      "dependency",
      "exactTime",
      "fromModule",
      "groupByStatus",
      "isDone",
      "kwargs",
      "progress",
      "py",
      "records",
      "ref",
      "task",
      "tuple",
      "untilDone",
    ]
  `);
});

test('cluster', () => {
  expect(Object.keys(cluster).sort()).toMatchInlineSnapshot(`
    [
      "Cluster",
      "ClusterError",
    ]
  `);
});

test('engine', () => {
  expect(Object.keys(engine).sort()).toMatchInlineSnapshot(`
    [
      "Engine",
    ]
  `);
});

test('hub', () => {
  expect(Object.keys(hub).sort()).toMatchInlineSnapshot(`
    [
      "Controller",
    ]
  `);
});

test('protocol', () => {
  expect(Object.keys(protocol).sort()).toMatchInlineSnapshot(`
    [
      "AuthenticationError",
      "Complex",
      "CompositeError",
      "ConnectionClosedError",
      "ConnectionFileError",
      "DELIMITER",
      "DataFrame",
      "Decimal",
      "EngineError",
      "Fraction",
      "HubError",
      "Index",
      "InvalidQueryError",
      "IpyparallelError",
      "LanguageMismatchError",
      "MalformedMessageError",
      "NdArray",
      "NoDatabaseError",
      "OpaqueValue",
      "PROTOCOL_VERSION",
      "PlainDate",
      "PlainTime",
      "ProtocolError",
      "PyCallable",
      "PyReference",
      "RemoteError",
      "ReplayError",
      "ReplayHistory",
      "Series",
      "Session",
      "SignatureError",
      "TASK_STATUSES",
      "TaskAbortedError",
      "TaskLostError",
      "TaskNotFoundError",
      "TaskPendingError",
      "TimeDelta",
      "TimeoutError",
      "TransportError",
      "UnpickleError",
      "UnsupportedPackerError",
      "UsageError",
      "Uuid",
      "capture",
      "channelAddress",
      "createSigner",
      "exactTime",
      "formatWireDate",
      "isDone",
      "isKnownMessage",
      "isMessageOf",
      "newId",
      "packApplyMessage",
      "packObject",
      "packerFor",
      "parentId",
      "parseConnectionFile",
      "parseWireDate",
      "py",
      "readPickle",
      "ref",
      "splitFrames",
      "task",
      "taskStatus",
      "tuple",
      "unpackApplyMessage",
      "unpackResult",
      "validateClientConnectionInfo",
      "validateEngineConnectionInfo",
      "writePickle",
    ]
  `);
});
