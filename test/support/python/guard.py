"""Runs the processes of one test cluster, and kills all of them when it ends.

Speaks JSON lines: requests on stdin, replies and exit notices on stdout.
    {"id": 1, "op": "spawn", "argv": [...], "env": {...}, "cwd": "...", "log": "..."}  -> {"id": 1, "pid": 123}
    {"id": 2, "op": "kill", "pid": 123, "signal": "SIGKILL", "tree": true, "timeout": 10}
                                                        -> {"id": 2, "left": [pids that are still alive]}
    {"id": 3, "op": "tree", "pid": 123}                 -> {"id": 3, "tree": [[pid, ppid], ...]}
    {"exit": 123, "code": -9}                           whenever a spawned process has ended
At the end of stdin, which the death of the test process also causes, the guard kills all its descendants and removes the
directory that its first argument names.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LINUX = sys.platform.startswith("linux")
libc = ctypes.CDLL(None, use_errno=True) if LINUX else None

members = {}
busy = False
ended = False


def die_with_guard():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def send(**message):
    try:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        pass


def linux_processes():
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as stat:
                # The command, in parentheses, may contain spaces and parentheses.
                fields = stat.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if fields[0] != b"Z":
            yield int(name), int(fields[1]), int(fields[2])


def posix_processes():
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], stdout=subprocess.PIPE).stdout
    for line in listing.decode().splitlines():
        pid, ppid, group, state = line.split(None, 3)
        if not state.startswith("Z"):
            yield int(pid), int(ppid), int(group)


def descendants(root):
    """Returns [pid, ppid] of each process that descends from root or belongs to its process group, parents first."""
    children = {}
    found = []
    for pid, ppid, group in linux_processes() if LINUX else posix_processes():
        if group == root and ppid == os.getpid() != root and pid != root:
            # Its parent was root, which has died; for example, the schedulers of a killed hub keep running.
            found.append([pid, root])
        children.setdefault(ppid, []).append(pid)
    parents = [root] + [pid for pid, _ in found]
    while parents:
        parent = parents.pop(0)
        for pid in children.get(parent, ()):
            found.append([pid, parent])
            parents.append(pid)
    return found


def is_running(pid):
    if pid in members:
        return True
    if LINUX:
        try:
            with open("/proc/%d/stat" % pid, "rb") as stat:
                return stat.read().rpartition(b")")[2].split()[0] != b"Z"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def send_signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def reap():
    """Reaps every child that has ended and reports its exit; returns whether no child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            return False
        process = members.pop(pid, None)
        if process is not None:
            process.returncode = code = os.waitstatus_to_exitcode(status)
            send(exit=pid, code=code)


def reap_ended():
    """Reaps the children that have ended. During this function and during a request, the signal handler only sets `ended`,
    because the output lines must not interleave."""
    global busy, ended
    while ended and not busy:
        busy = True
        ended = False
        reap()
        busy = False


def on_child(number, frame):
    global ended
    ended = True
    reap_ended()


def spawn(request):
    with open(request["log"], "ab") as log:
        process = subprocess.Popen(
            request["argv"],
            env=request["env"],
            cwd=request["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_guard if LINUX else None,
        )
    members[process.pid] = process
    return {"pid": process.pid}


def kill(request):
    root = request["pid"]
    number = getattr(signal, request["signal"])
    pids = [root] + [pid for pid, _ in descendants(root)]
    for pid in pids if request["tree"] else [root]:
        send_signal(pid, number)
    deadline = time.monotonic() + request["timeout"]
    while True:
        reap()
        left = [pid for pid in (pids if request["tree"] else [root]) if is_running(pid)]
        if not left or time.monotonic() > deadline:
            return {"left": left}
        time.sleep(0.005)


def tree(request):
    return {"tree": descendants(request["pid"])}


def kill_everything():
    deadline = time.monotonic() + 60
    # Repeats until no child is left, because a listing misses processes whose parent changes meanwhile.
    while not reap() and time.monotonic() < deadline:
        for pid, _ in descendants(os.getpid()):
            send_signal(pid, signal.SIGKILL)
        time.sleep(0.005)


def main():
    global busy, ended
    if LINUX:
        # A process whose parent dies (a nanny, a scheduler of a killed hub) becomes a child of this process, not of init.
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # The exception interrupts the read below, so a signal has the same effect as the end of stdin.
        signal.signal(getattr(signal, name), lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGCHLD, on_child)
    operations = {"spawn": spawn, "kill": kill, "tree": tree}
    try:
        for line in sys.stdin:
            request = json.loads(line)
            # A process that ends at once must not be reaped before spawn() has recorded it, and its exit notice must not
            # interrupt a reply.
            busy = True
            try:
                reply = operations[request["op"]](request)
            except Exception as error:
                reply = {"error": "%s: %s" % (type(error).__name__, error)}
            send(id=request["id"], **reply)
            busy = False
            ended = True
            reap_ended()
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        kill_everything()
        shutil.rmtree(sys.argv[1], ignore_errors=True)


main()
