import { defineConfig } from 'vitest/config';
import { BaseSequencer } from 'vitest/node';

/** Files that run at once. Two cores are common on a build machine, but tests of processes mostly wait. */
const filesAtOnce = 3;
/** Files of interop tests that run at once: each has Python clusters of a dozen processes, which wait even more. */
const clustersAtOnce = 3;

/** A timeout only ends a test that hangs: on a machine with busy cores, a test takes several times as long. In ms. */
const TIMEOUT = 300_000;

/** Files that take 20 seconds or more. They start first, so that none of them runs alone at the end. */
const slowFiles = [
  'integration/kills',
  'conformance/differential',
  'integration/reconnect',
  'integration/watch-resume',
  'integration/controller-restart',
  'integration/main-job',
  'integration/results',
  'integration/watch',
  'integration/cluster-endings',
  'integration/returning-engines',
  'integration/examples',
  'integration/cluster',
  'integration/soak',
  'integration/controller',
  'integration/followed-task',
  'conformance/retention',
  'unit/protocol/pickle-memory',
  'unit/protocol/query-properties',
];

class SlowFilesFirst extends BaseSequencer {
  override async sort(files: Parameters<BaseSequencer['sort']>[0]): ReturnType<BaseSequencer['sort']> {
    const rank = (moduleId: string): number => {
      const index = slowFiles.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return index < 0 ? slowFiles.length : index;
    };
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a.moduleId) - rank(b.moduleId));
  }
}

function folder(kind: string) {
  return {
    name: kind,
    include: [`test/${kind}/**/*.test.ts`],
    // Node itself loads the built packages, as it does for users. Vite would transform them again for each test file,
    // which takes a second of processor time per file.
    server: { deps: { external: [/\/packages\/[a-z]+\/dist\//] } },
  };
}

export default defineConfig({
  test: {
    maxWorkers: filesAtOnce,
    sequence: { sequencer: SlowFilesFirst },
    projects: [
      // Unit tests share the modules of their worker: loading them for each file takes longer than the tests.
      { test: { ...folder('unit'), testTimeout: TIMEOUT, isolate: false } },
      { test: { ...folder('integration'), testTimeout: TIMEOUT, hookTimeout: TIMEOUT } },
      { test: { ...folder('conformance'), testTimeout: TIMEOUT, hookTimeout: TIMEOUT } },
      {
        test: {
          ...folder('interop'),
          testTimeout: 300_000,
          // A hook may start several clusters.
          hookTimeout: 300_000,
          maxWorkers: clustersAtOnce,
          // Projects that differ in maxWorkers must not share a group: this one runs after the others.
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'types',
          include: [],
          typecheck: {
            enabled: true,
            only: true,
            checker: 'tsc',
            include: ['test/types/**/*.test-d.ts'],
            tsconfig: 'test/types/tsconfig.json',
          },
        },
      },
    ],
  },
});
