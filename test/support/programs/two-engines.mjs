// A program that starts two engines, sends the pids of their kernels to its parent and waits to be killed.
import { Engine } from '@ipyparallel-js/engine';

const engines = [await Engine.start({ logLevel: 'error' }), await Engine.start({ logLevel: 'error' })];
process.send?.(engines.map((engine) => engine.kernelPid));
