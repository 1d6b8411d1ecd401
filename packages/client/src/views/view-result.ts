import type { Targets } from '../engines/targets.js';
import type { AsyncMapResult } from '../results/async-map-result.js';
import type { AsyncResult } from '../results/async-result.js';

/** The value for one engine, or a list for several. */
export type PerTarget<T extends Targets, R> = T extends number ? R : R[];

/** The result of the same work on each target engine. */
export type ViewResult<T extends Targets, R> = AsyncResult<PerTarget<T, R>, R>;

/** The result of a map: a list of elements, computed in chunks. */
export type MapResult<R> = AsyncMapResult<R>;
