import { type AnyMessage, type Dict, formatWireDate } from '@ipyparallel-js/protocol';
import { getOwn } from '@ipyparallel-js/protocol/internal';

export interface EngineIdentity {
  readonly id: number;
  readonly uuid: string;
}

/** How a task ended, as its reply's metadata reports it. */
export interface TaskOutcome {
  readonly status: 'ok' | 'error' | 'aborted';
  readonly ename?: string;
}

/** The metadata of an `execute_reply` or `apply_reply`. Schedulers and the hub read it. */
export function replyMetadata(
  request: Pick<AnyMessage, 'metadata'>,
  engine: EngineIdentity,
  started: Date,
  outcome: TaskOutcome,
): Dict {
  const { metadata } = request;
  return {
    started: formatWireDate(started),
    // The scheduler tries another engine when a task cannot run on this one.
    dependencies_met: outcome.ename !== 'UnmetDependency',
    engine: engine.uuid,
    is_broadcast: getOwn(metadata, 'is_broadcast') ?? false,
    is_coalescing: getOwn(metadata, 'is_coalescing') ?? false,
    original_msg_id: getOwn(metadata, 'original_msg_id') ?? '',
    // Controllers before 8 do not send labels.
    ...(Object.hasOwn(metadata, 'label') ? { label: metadata.label } : {}),
    status: outcome.status,
    ...(outcome.status === 'error'
      ? { engine_info: { engine_uuid: engine.uuid, engine_id: engine.id } }
      : {}),
  };
}

/** The `engine_info` of an error's content. */
export function engineInfo(engine: EngineIdentity, method: string): Dict {
  return { engine_uuid: engine.uuid, engine_id: engine.id, method };
}
