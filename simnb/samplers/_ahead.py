"""Batches made in threads before they are asked for."""

import collections
import threading
from concurrent.futures import Future

#: Seconds without work after which a thread ends: none is left over, nor holds up the end of the process.
IDLE_SECONDS = 0.1


class Ahead:
    """The results of ``make(*order)``, several of them in the making at once.

    An order is known by its first two values.

    Args:
        make: The function; called in several threads.
        threads: The most there are, and only while there is something to make.
    """

    def __init__(self, make, threads):
        """Keep the function; nothing is made yet."""
        self._make = make
        self._most, self._threads = threads, 0
        self._jobs = {}
        self._waiting = collections.deque()
        self._idle = 0
        self._changed = threading.Condition()

    def get(self, order, later):
        """Have the orders in ``later`` made, and return the result of ``order`` as soon as it is there.

        What was begun before and is neither of them is forgotten. An error is raised where the result is
        asked for.
        """
        with self._changed:
            before = self._jobs
            job = before.pop(order[:2], None)
            self._jobs = {o[:2]: before.pop(o[:2], None) or self._begin(o) for o in later}
            for forgotten in filter(None, before.values()):
                forgotten.cancel()
        return self._make(*order) if job is None else job.result()

    def _begin(self, order):
        job = Future()
        self._waiting.append((order, job))
        if len(self._waiting) <= self._idle or self._threads == self._most:
            self._changed.notify()
            return job
        try:
            # No daemon, even where TensorFlow's threads ask: the process ends after the thread, not in it.
            threading.Thread(target=self._work, name="simnb batches", daemon=False).start()
        except RuntimeError:  # no thread can be had: it is made when it is asked for
            self._waiting.pop()
            return None
        self._threads += 1
        return job

    def _work(self):
        while True:
            with self._changed:
                self._idle += 1
                asked = self._changed.wait_for(lambda: self._waiting, timeout=IDLE_SECONDS)
                self._idle -= 1
                if not asked:
                    self._threads -= 1
                    return
                order, job = self._waiting.popleft()
            if job.set_running_or_notify_cancel():
                try:
                    job.set_result(self._make(*order))
                except BaseException as error:  # whoever waits for the result must not wait for ever
                    job.set_exception(error)
            del order, job  # held while idle, they would keep a batch in memory
