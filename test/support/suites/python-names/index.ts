import { AsyncResult, BroadcastView, Client, DirectView, LoadBalancedView } from '@ipyparallel-js/client';
import type { Class } from '../../documents/member-proof.js';
import { asyncResultProofs } from './async-result.js';
import { clientProofs } from './client.js';
import type { Proofs } from './proof-context.js';
import { broadcastViewProofs, directViewProofs, loadBalancedViewProofs } from './views.js';

/** The classes in docs/python-api.md, with a proof for each Python name that exists in this project. */
export const mirrored: Readonly<Record<string, { readonly owner: Class; readonly proofs: Proofs }>> = {
  Client: { owner: Client, proofs: clientProofs },
  DirectView: { owner: DirectView, proofs: directViewProofs },
  LoadBalancedView: { owner: LoadBalancedView, proofs: loadBalancedViewProofs },
  BroadcastView: { owner: BroadcastView, proofs: broadcastViewProofs },
  AsyncResult: { owner: AsyncResult, proofs: asyncResultProofs },
};
