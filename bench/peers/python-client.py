# Measures ipyparallel's client. Reads one request per line as JSON, {action, count, args}. Replies with the milliseconds
# of every run, the length of the last result and the peak memory of this process.
import json
import resource
import sys
import time
from datetime import datetime

import ipyparallel


def decode_dates(value):
    return datetime.fromisoformat(value["$date"]) if "$date" in value else value


rc = ipyparallel.Client(sys.argv[1], timeout=30)
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    request = json.loads(line, object_hook=decode_dates)
    action = getattr(rc, request["action"])
    times = []
    for _ in range(request["count"]):
        result = None
        start = time.perf_counter()
        result = action(*request["args"])
        times.append((time.perf_counter() - start) * 1000)
    size = len(result)
    result = None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"ms": times, "size": size, "peak": peak}), flush=True)
