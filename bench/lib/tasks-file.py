# Arguments: FILE [RECORDS NOW]. Writes a tasks.db in the format of ipyparallel 9's SQLiteDB and prints its query
# parameters as JSON. With FILE alone it only prints.
#
# The last hour before NOW always contains 2,000 records, 200 of them of the queried client, so that a query's time grows
# with the store and not with the size of the result. The other records lie one second apart before that hour.
import json
import pickle
import random
import sqlite3
import sys
from datetime import datetime, timedelta, timezone

from ipyparallel.controller.sqlitedb import SQLiteDB

RECENT, OF_CLIENT = 2000, 200
seed = random.Random(1)


def uuid():
    text = f"{seed.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:]}"


clients = [uuid() for _ in range(20)]
engines = [uuid() for _ in range(8)]
canned = [seed.randbytes(310), seed.randbytes(52), seed.randbytes(5)]
frame = "\x1b[36mFile \x1b[39m\x1b[32m<ipython-input>:{}\x1b[39m, in \x1b[36mwork\x1b[39m\x1b[34m(x)\x1b[39m\n"
failure = {
    "traceback": ["\x1b[31m" + "-" * 75 + "\x1b[39m"] + [frame.format(n) * 4 for n in range(6)],
    "ename": "ZeroDivisionError",
    "evalue": "division by zero",
    "status": "error",
    "engine_info": {"engine_uuid": engines[0], "engine_id": 0, "method": "apply"},
}


def wire_date(date):
    return date.isoformat().replace("+00:00", "Z")


def record(i):
    """Returns a finished task: 60 % are execute, 40 % apply; one in fifty has failed."""
    recent = i - (count - RECENT)
    if recent >= 0:
        submitted = now - timedelta(hours=1) + timedelta(milliseconds=500 + recent * 3598000 // RECENT)
        client = clients[0] if recent % (RECENT // OF_CLIENT) == 0 else clients[1 + seed.randrange(19)]
    else:
        submitted = now - timedelta(hours=1, seconds=-recent)
        client = clients[seed.randrange(20)]
    submitted += timedelta(microseconds=seed.randrange(1000))
    engine = seed.choice(engines)
    started = submitted + timedelta(microseconds=1500 + seed.randrange(900))
    completed = started + timedelta(microseconds=900 + seed.randrange(80000))
    received = completed + timedelta(microseconds=1800)
    failed, execute, label = i % 50 == 7, seed.random() < 0.6, f"run-{i % 97}" if i % 4 == 0 else None
    kind, msg_id = "execute" if execute else "apply", f"{client}_{4000 + i % 7}_{i}"
    head = {"username": "username", "version": "5.4"}
    code = f"result = simulate(step={i}, seed={seed.randrange(10**6)})\nprint(result.summary())"
    printed = f"step {i}: converged after {seed.randrange(100)} rounds\n"
    result = {"status": "ok"}
    if failed:
        result = failure
    elif execute:
        result = {"status": "ok", "execution_count": i, "user_expressions": {}, "payload": []}
    return (
        msg_id,
        json.dumps({"msg_id": msg_id, "msg_type": f"{kind}_request", "session": client, "date": wire_date(submitted), **head}),
        json.dumps({"after": [], "follow": [], "timeout": 0.0, "targets": [], "retries": 0, "label": label}),
        json.dumps({"code": code, "silent": False, "user_expressions": {}} if execute else {}),
        None if execute else pickle.dumps(canned, -1),
        submitted.isoformat(),
        client,
        engine,
        started.isoformat(),
        completed.isoformat(),
        None,
        received.isoformat(),
        json.dumps(
            {"msg_id": f"{engine}_3731_{i}", "msg_type": f"{kind}_reply", "session": engine, "date": wire_date(completed), **head}
        ),
        json.dumps(
            {
                "started": wire_date(started),
                "dependencies_met": True,
                "engine": engine,
                "is_broadcast": False,
                "is_coalescing": False,
                "original_msg_id": "",
                "label": label,
                "status": result["status"],
            }
        ),
        json.dumps(result),
        None if execute or failed else pickle.dumps([b"\x80\x04K*."], -1),
        "task",
        code if execute else None,
        None,
        json.dumps(failure) if failed else None,
        printed if execute else "",
        "",
        label,
    )


path = sys.argv[1]
if len(sys.argv) > 2:
    count, now = int(sys.argv[2]), datetime.fromisoformat(sys.argv[3]).astimezone(timezone.utc)
    # ipyparallel itself creates the table.
    SQLiteDB(filename=path, location="/").close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    marks = ",".join("?" * 23)
    db.executemany(f"INSERT INTO 'ipython-tasks' VALUES ({marks})", (record(i) for i in range(count)))
    db.execute("COMMIT")
    db.close()
db = sqlite3.connect(path)
(count,) = db.execute("SELECT max(rowid) FROM 'ipython-tasks'").fetchone()
(one_id,) = db.execute("SELECT msg_id FROM 'ipython-tasks' WHERE rowid = ?", (count // 2,)).fetchone()
db.close()
print(json.dumps({"client": clients[0], "oneId": one_id, "matches": OF_CLIENT}))
