import { TaskLostError, taskStatus } from '@ipyparallel-js/protocol';
import { taskError } from '@ipyparallel-js/protocol/internal';
import { expect, test } from 'vitest';

test('the record and the error of a task that a restart lost both report it as lost', () => {
  const content = {
    status: 'error',
    ename: 'TaskLost',
    evalue: "task 'abc' was lost when the controller was restarted",
    traceback: [],
  };
  expect(taskStatus({ engine_uuid: 'e', completed: new Date(), result_content: content })).toBe('lost');
  const error = taskError(content);
  expect(error).toBeInstanceOf(TaskLostError);
  expect(error).toMatchObject({ code: 'TASK_LOST', msgIds: ['abc'] });
});
