import type { DropReason } from '@ipyparallel-js/wire';

/** What an engine has dropped, by reason. */
export type EngineStats = { readonly [R in DropReason]: number };
