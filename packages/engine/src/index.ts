export type { LogLevel, LogSink } from '@ipyparallel-js/wire';
export { Engine, type EngineEnd } from './engine.js';
export type { EngineOptions } from './options/options.js';
export type { EngineStats } from './tasks/engine-stats.js';
