"""For scripts of tests with ipyparallel's Client: `from subscribed import wait_until_subscribed`."""

import time


def wait_until_subscribed(view, seconds=60):
    """Waits until this client receives the output of the view's engines.

    The Client does not wait until its subscription to output has reached the controller. Output that engines publish
    earlier is lost.
    """
    end = time.time() + seconds
    while time.time() < end:
        ar = view.execute("1", silent=False, block=False)
        ar.get(seconds)
        if ar.wait_for_output(1):
            return
    raise TimeoutError(f"no output of {view.targets} in {seconds} s")
