// A program that holds two engines, tells the pids of their kernels and then waits to be killed.
import { Engine } from '@ipyparallel-js/engine';

const engines = [await Engine.start({ logLevel: 'error' }), await Engine.start({ logLevel: 'error' })];
process.send?.(engines.map((engine) => engine.kernelPid));
