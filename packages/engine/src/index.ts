export { Engine, type EngineEnd } from './engine.js';
export type { EngineStats } from './intake.js';
export type { LogLevel, LogSink } from './log.js';
export type { EngineOptions } from './options.js';
