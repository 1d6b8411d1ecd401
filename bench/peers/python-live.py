# Runs ipyparallel's client: waits for tasks of other clients and submits tasks. Reads one request per line as JSON.
#   {"wait": msg_id}               -> "waiting", then ms from the record's `completed` to the return of AsyncHubResult.wait()
#   {"count": n}                   -> n load-balanced calls at once: ms until the last result, and ms of processor time
#   {"count": n, "chunksize": m}   -> the same for a map of n elements
import json
import sys
import time
from datetime import datetime, timezone

import ipyparallel

rc = ipyparallel.Client(sys.argv[1], timeout=30)
rc.wait_for_engines(int(sys.argv[2]), timeout=60)
view = rc.load_balanced_view()


def submit(numbers, chunksize=None):
    if chunksize is not None:
        return view.map_async(abs, numbers, chunksize=chunksize).get()
    results = [view.apply_async(abs, n) for n in numbers]
    return [result.get() for result in results]


def reply(value):
    print(json.dumps(value), flush=True)


reply("ready")
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        result = rc.get_result([request["wait"]], owner=False)
        reply("waiting")
        result.wait()
        now = datetime.now(timezone.utc)
        completed = result.metadata[0]["completed"]
        reply((now - completed).total_seconds() * 1000)
    else:
        numbers = [-i for i in range(request["count"])]
        used = time.process_time()
        start = time.perf_counter()
        found = submit(numbers, request.get("chunksize"))
        elapsed, used = time.perf_counter() - start, time.process_time() - used
        assert found == list(range(request["count"]))
        reply({"elapsed": elapsed * 1000, "client": used * 1000})
    rc.purge_local_results("all")
