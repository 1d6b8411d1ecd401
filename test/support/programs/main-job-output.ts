import { expect } from 'vitest';

/** What a reader has to find, in this order. */
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
  /^ +1\.5 \(it slept/,
  /^What failed, selected and submitted again$/,
  /^ +3 records$/,
  /^ +(?:300, 400, 7|300, 7, 400|7, 300, 400)$/,
  /^What is finished, selected and purged$/,
  /^ +0 records$/,
  /: 14 completed, 3 failed; these were submitted again and completed\. 22 records purged\./,
];

/** Expects all that `npm start` has to show in its output, in order. */
export function expectTheStory(output: string): void {
  let left = output.split('\n');
  for (const line of lines) {
    const index = left.findIndex((candidate) => line.test(candidate));
    expect(index, `no line like ${line} here:\n${output}`).toBeGreaterThanOrEqual(0);
    left = left.slice(index + 1);
  }
}
