import { type AnyMessage, type Dict, formatWireDate } from '@ipyparallel-js/protocol';
import { getOwn } from '@ipyparallel-js/protocol/internal';

/** Who an engine is. */
export interface EngineIdentity {
  readonly id: number;
  readonly uuid: string;
}

/** A task's ending, as its reply's metadata tells it. */
export interface Ending {
  readonly status: 'ok' | 'error' | 'aborted';
  readonly ename?: string;
}

/** The metadata of an `execute_reply` or `apply_reply`, which schedulers and the hub read. */
export function replyMetadata(
  request: Pick<AnyMessage, 'metadata'>,
  engine: EngineIdentity,
  started: Date,
  ending: Ending,
): Dict {
  const { metadata } = request;
  return {
    started: formatWireDate(started),
    // The scheduler tries another engine when a task says that it cannot run on this one.
    dependencies_met: ending.ename !== 'UnmetDependency',
    engine: engine.uuid,
    is_broadcast: getOwn(metadata, 'is_broadcast') ?? false,
    is_coalescing: getOwn(metadata, 'is_coalescing') ?? false,
    original_msg_id: getOwn(metadata, 'original_msg_id') ?? '',
    // Controllers before 8 know no labels.
    ...(Object.hasOwn(metadata, 'label') ? { label: metadata.label } : {}),
    status: ending.status,
    ...(ending.status === 'error' ? { engine_info: { engine_uuid: engine.uuid, engine_id: engine.id } } : {}),
  };
}

/** Where an error happened, as its content tells it. */
export function errorPlace(engine: EngineIdentity, method: string): Dict {
  return { engine_uuid: engine.uuid, engine_id: engine.id, method };
}
