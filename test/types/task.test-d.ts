import { capture, fromModule, type TaskContext, task } from '@ipyparallel-js/client';
import { task as engineTask } from '@ipyparallel-js/engine/task';
import type { TaskResult } from '@ipyparallel-js/protocol';
import { describe, expectTypeOf, it } from 'vitest';

describe('the result of a task', () => {
  it('is the value of a promise', () => {
    expectTypeOf<TaskResult<number>>().toEqualTypeOf<number>();
    expectTypeOf<TaskResult<Promise<string[]>>>().toEqualTypeOf<string[]>();
    expectTypeOf<TaskResult<void>>().toEqualTypeOf<void>();
    expectTypeOf<TaskResult<unknown>>().toEqualTypeOf<unknown>();
  });

  it('is the return value of a generator, or the list of its yielded values', () => {
    expectTypeOf<TaskResult<Generator<number, void>>>().toEqualTypeOf<number[]>();
    expectTypeOf<TaskResult<AsyncGenerator<number, undefined>>>().toEqualTypeOf<number[]>();
    expectTypeOf<TaskResult<Promise<AsyncGenerator<number, string>>>>().toEqualTypeOf<string>();
    expectTypeOf<TaskResult<Generator<Promise<number>, void>>>().toEqualTypeOf<number[]>();
  });
});

describe('functions', () => {
  it('keep their types', () => {
    const fn = capture((x: number) => String(x), { k: 1 });
    expectTypeOf(fn).toEqualTypeOf<(x: number) => string>();
    const basename = fromModule<typeof import('node:path').basename>('node:path', 'basename');
    expectTypeOf(basename).toEqualTypeOf<(path: string, suffix?: string) => Promise<string>>();
    expectTypeOf(fromModule('a', 'b')).returns.toEqualTypeOf<Promise<unknown>>();
  });

  it('have access to the task', () => {
    expectTypeOf(task).toEqualTypeOf<TaskContext>();
    expectTypeOf(engineTask).toEqualTypeOf<TaskContext>();
    expectTypeOf(ipyparallel.task).toEqualTypeOf<TaskContext>();
    // @ts-expect-error not a valid progress
    task.progress('half');
  });
});
