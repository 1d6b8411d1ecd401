export type { LogLevel, LogSink } from '@ipyparallel-js/wire';
export type { EngineStats } from './connection/controller-links.js';
export { Engine, type EngineEnd } from './engine.js';
export type { EngineOptions } from './options/options.js';
