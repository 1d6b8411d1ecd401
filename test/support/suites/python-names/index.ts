import { AsyncResult, BroadcastView, Client, DirectView, LoadBalancedView } from '@ipyparallel-js/client';
import type { Class } from '../../documents/member-proof.js';
import { asyncResultProofs } from './async-result.js';
import { clientProofs } from './client.js';
import type { Proofs } from './ground.js';
import { broadcastViewProofs, directViewProofs, loadBalancedViewProofs } from './views.js';

/** The classes that docs/python-api.md is about, with a proof for each name of Python's that is here. */
export const mirrored: Readonly<Record<string, { readonly owner: Class; readonly proofs: Proofs }>> = {
  Client: { owner: Client, proofs: clientProofs },
  DirectView: { owner: DirectView, proofs: directViewProofs },
  LoadBalancedView: { owner: LoadBalancedView, proofs: loadBalancedViewProofs },
  BroadcastView: { owner: BroadcastView, proofs: broadcastViewProofs },
  AsyncResult: { owner: AsyncResult, proofs: asyncResultProofs },
};
