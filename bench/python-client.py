# Times ipyparallel's own client: reads "NAME COUNT" lines, answers each with the milliseconds of every run as JSON.
import json
import sys
import time

import ipyparallel

rc = ipyparallel.Client(sys.argv[1], timeout=30)
actions = {
    "queue_status": lambda: rc.queue_status(),
    "db_query": lambda: rc.db_query({"msg_id": {"$ne": None}}),
}
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    name, count = line.split()
    times = []
    for _ in range(int(count)):
        start = time.perf_counter()
        result = actions[name]()
        times.append((time.perf_counter() - start) * 1000)
    print(json.dumps({"ms": times, "size": len(result)}), flush=True)
