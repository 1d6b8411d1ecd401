import { expect } from 'vitest';

/** The lines that the output must contain, in this order. */
const lines = [
  /^A workload of two clients$/,
  /14 of 14 done, 3 of them failed; 0 running, 0 waiting$/,
  /^The example queries of the documentation$/,
  /> rc\.dbQuery\(\{ complete: null \}, \['msg_id', 'started'\]\)$/,
  /InvalidQueryError: unknown TaskRecord key "complete", did you mean "completed"\?$/,
  /> rc\.dbQuery\(\{ completed: null \}, \['msg_id', 'started'\]\)$/,
  /> rc\.dbQuery\(\{ started: \{ \$gte: hourAgo \}, client_uuid: rc\.session\.session \}\)$/,
  /^ +9 records$/,
  /> rc\.dbQuery\(\{ started: \{ \$lt: hourAgo \}, client_uuid: \{ \$ne: rc\.session\.session \} \}/,
  /> rc\.dbQuery\(\{ engine_uuid: \{ \$in: uuids \} \}, 'result_header'\)$/,
  /^The result of your colleague's task$/,
  /^ +1\.5 \(the number of seconds/,
  /^Failed tasks, selected and resubmitted$/,
  /^ +3 records$/,
  /^ +(?:300, 400, 7|300, 7, 400|7, 300, 400)$/,
  /^Finished tasks, selected and purged$/,
  /^ +0 records$/,
  /: 14 completed, 3 failed; the failed tasks were resubmitted and completed\. 22 records purged\./,
];

/** Expects the lines of the main job in the output of `npm start`. */
export function expectMainJobOutput(output: string): void {
  let remaining = output.split('\n');
  for (const line of lines) {
    const index = remaining.findIndex((candidate) => line.test(candidate));
    expect(index, `no line like ${line} here:\n${output}`).toBeGreaterThanOrEqual(0);
    remaining = remaining.slice(index + 1);
  }
}
