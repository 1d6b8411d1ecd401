import { defineConfig } from 'vitest/config';

/** Two cores are common on a build machine, where Vitest would run one file at a time; but tests of processes mostly wait. */
const filesAtOnce = 2;
/** A Python cluster is a dozen processes, which wait even more. */
const clustersAtOnce = 3;

function folder(kind: string) {
  return { name: kind, include: [`test/${kind}/**/*.test.ts`] };
}

export default defineConfig({
  test: {
    maxWorkers: filesAtOnce,
    projects: [
      { test: { ...folder('unit'), testTimeout: 60_000 } },
      { test: { ...folder('integration'), testTimeout: 120_000, hookTimeout: 120_000 } },
      { test: { ...folder('conformance'), testTimeout: 120_000, hookTimeout: 120_000 } },
      {
        test: {
          ...folder('interop'),
          testTimeout: 300_000,
          hookTimeout: 120_000,
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
