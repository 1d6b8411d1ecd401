# ipyparallel's own client: waits for tasks of others, and submits tasks. Reads a request per line as JSON.
#   {"wait": msg_id}  -> ms from the task's end, as its record has it, to the end of AsyncHubResult.wait()
#   {"submit": n}     -> ms from the first submission of n load-balanced tasks to the last result
import json
import sys
import time
from datetime import datetime, timezone

import ipyparallel

rc = ipyparallel.Client(sys.argv[1], timeout=30)
rc.wait_for_engines(int(sys.argv[2]), timeout=60)
view = rc.load_balanced_view()
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        result = rc.get_result([request["wait"]], owner=False)
        print(json.dumps("waiting"), flush=True)
        result.wait()
        now = datetime.now(timezone.utc)
        completed = result.metadata[0]["completed"]
        print(json.dumps((now - completed).total_seconds() * 1000), flush=True)
    else:
        start = time.perf_counter()
        results = [view.apply_async(abs, -i) for i in range(request["submit"])]
        for result in results:
            result.get()
        print(json.dumps((time.perf_counter() - start) * 1000), flush=True)
        rc.purge_local_results("all")
