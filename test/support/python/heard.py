"""For scripts of tests with ipyparallel's Client: `from heard import until_heard`."""

import time


def until_heard(view, seconds=60):
    """Runs nothing on the view's engines until their output is heard here.

    The Client does not wait until its subscription to output has reached the controller. What engines publish before
    that is lost to it, however long it waits.
    """
    end = time.time() + seconds
    while time.time() < end:
        ar = view.execute("1", silent=False, block=False)
        ar.get(seconds)
        if ar.wait_for_output(1):
            return
    raise TimeoutError(f"no output of {view.targets} in {seconds} s")
