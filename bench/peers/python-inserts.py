# Arguments: FROM TO COUNT. Inserts the records of one tasks.db into a new one through ipyparallel's SQLiteDB as its hub
# does: reads the record, adds it if it is missing, and commits every 2 s. Prints the milliseconds as JSON.
import json
import sqlite3
import sys
import time

from ipyparallel.controller.sqlitedb import SQLiteDB

source, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
new = SQLiteDB(filename=target, location="/")
# Converts column types as the hub does.
old = sqlite3.connect(source, detect_types=sqlite3.PARSE_DECLTYPES)
rows = old.execute("SELECT * FROM 'ipython-tasks' ORDER BY rowid LIMIT ?", (count,)).fetchall()
records = [new._list_to_dict(row) for row in rows]
start = committed = time.perf_counter()
for record in records:
    try:
        new.get_record(record["msg_id"])
    except KeyError:
        new.add_record(record["msg_id"], record)
    if time.perf_counter() - committed >= 2:
        new._db.commit()
        committed = time.perf_counter()
new._db.commit()
print(json.dumps((time.perf_counter() - start) * 1000))
