export type { LogLevel, LogSink } from '@ipyparallel-js/wire';
export { Engine, type EngineEnd } from './engine.js';
export type { EngineStats } from './engine-stats.js';
export type { EngineOptions } from './options.js';
