// Loaded into every process of the soak's cluster (NODE_OPTIONS), and each of their threads: writes what is in use after a
// collection into a file of its own, now and then. Resident memory says little: Node gives hardly any of it back.
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
