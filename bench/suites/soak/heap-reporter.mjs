// NODE_OPTIONS loads this file into every process of the soak's cluster and each of their threads. It periodically writes
// the memory in use after a garbage collection to one file per thread. Resident memory is not a useful measure, because
// Node returns hardly any memory to the system.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { threadId } from 'node:worker_threads';

const directory = process.env.SOAK_HEAPS ?? '';
if (directory !== '') {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const report = () => {
    collect();
    const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
    writeFileSync(join(directory, `${process.pid}-${threadId}`), String(heap + external));
  };
  setInterval(report, Number(process.env.SOAK_EVERY)).unref();
}
