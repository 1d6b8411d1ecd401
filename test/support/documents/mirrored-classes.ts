import type {
  AsyncResult,
  BroadcastView,
  Client,
  DirectView,
  LoadBalancedView,
} from '@ipyparallel-js/client';

/** The classes of docs/python-api.md, as types for our-signatures.ts to read. */
export interface MirroredClasses {
  readonly Client: Client;
  readonly DirectView: DirectView<'all'>;
  readonly LoadBalancedView: LoadBalancedView;
  readonly BroadcastView: BroadcastView<'all'>;
  // Includes its static members.
  readonly AsyncResult: AsyncResult<unknown[]> & typeof AsyncResult;
}
