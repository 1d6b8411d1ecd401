import { defineConfig } from 'vitest/config';

/** Two cores are common on a build machine, and a Python cluster is a dozen processes; but most of the time they wait. */
const clustersAtOnce = 3;

function folder(kind: string) {
  return { name: kind, include: [`test/${kind}/**/*.test.ts`] };
}

export default defineConfig({
  test: {
    projects: [
      { test: { ...folder('unit'), testTimeout: 60_000 } },
      { test: { ...folder('integration'), testTimeout: 120_000, hookTimeout: 120_000 } },
      { test: { ...folder('conformance'), testTimeout: 120_000, hookTimeout: 120_000 } },
      {
        test: {
          ...folder('interop'),
          testTimeout: 120_000,
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
