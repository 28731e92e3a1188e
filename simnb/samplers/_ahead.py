"""Batches made in threads before they are asked for."""

import threading
from concurrent.futures import Future


class Ahead:
    """The results of ``make(*order)``, several of them in the making at once.

    An order is known by its first two values.

    Args:
        make: The function; called in several threads.
        threads: How many results are made at a time. A thread lives as long as one of them is made, so that
            none is left over when nothing is asked for any more.
    """

    def __init__(self, make, threads):
        self._make = make
        self._free = threading.Semaphore(threads)
        self._lock = threading.Lock()
        self._jobs = {}

    def get(self, order, later):
        """Have the orders in ``later`` made, and return the result of ``order`` as soon as it is there.

        What was begun before and is neither of them is forgotten. An error is raised where the result is
        asked for.
        """
        with self._lock:
            before = self._jobs
            job = before.pop(order[:2], None)
            self._jobs = {o[:2]: before.pop(o[:2], None) or self._begin(o) for o in later}
            for forgotten in filter(None, before.values()):
                forgotten.cancel()
        return self._make(*order) if job is None else job.result()

    def _begin(self, order):
        job = Future()
        # No daemon, even where TensorFlow's threads ask: the process ends after the thread, not in it.
        thread = threading.Thread(target=self._work, args=(order, job), name="simnb batches", daemon=False)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had: it is made when it is asked for
            return None
        return job

    def _work(self, order, job):
        with self._free:
            if job.set_running_or_notify_cancel():
                try:
                    job.set_result(self._make(*order))
                except BaseException as error:  # whoever waits for the result must not wait for ever
                    job.set_exception(error)
