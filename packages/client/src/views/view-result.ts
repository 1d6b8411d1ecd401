import type { Targets } from '../engines/targets.js';
import type { AsyncMapResult } from '../results/async-map-result.js';
import type { AsyncResult } from '../results/async-result.js';

/** One engine gives one result, several give a list. */
export type PerTarget<T extends Targets, R> = T extends number ? R : R[];

/** The results of the same work on each of some engines. */
export type ViewResult<T extends Targets, R> = AsyncResult<PerTarget<T, R>, R>;

/** The results of a map: a list of elements, in chunks. */
export type MapResult<R> = AsyncMapResult<R>;
