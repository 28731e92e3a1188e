"""How calls of an index are kept apart: those of threads, one from within another, and those after a fork.

SQLite's locks do not survive a fork, and a lock of another thread would never be released in the child. So
before a fork every index is waited for, and lets go of its file; parent and child open it again by
themselves. An index in use for longer than that cannot be used by the child, which says so.
"""

import concurrent.futures.thread  # noqa: F401  first, so that it locks its pools after our wait for searches
import os
import sys
import threading
import time
import weakref

SECONDS_TO_WAIT = 2.0  # for a call of another thread; a fork that waits for ever would be worse
_live: list[weakref.ref] = []  # without callbacks, in which Ctrl-C would get lost
_adding = threading.Lock()
_forking = threading.local()  # of this thread's fork under way: indexes, and whether nobody was using them


class Calls:
    """Has calls of one index, as messages name it, done one at a time, whichever threads they come from."""

    def __init__(self, name):
        self._name = name
        self._lock = threading.RLock()  # widgets call from other threads
        self._running = _no_call  # gives the _Call under way, or None
        self._fork_waits = self._held = False  # whether a fork waits for the lock, and holds it

    def alone(self, work, *arguments):
        """Call ``work(*arguments)`` while no other thread does so; refuse a call from within another."""
        while self._fork_waits:  # else a thread that calls without a pause would keep the lock
            time.sleep(0.001)
        running = self._running()
        if running is not None and running.thread == threading.get_ident():
            raise ValueError(
                f"{self._name} was called from within one of its own calls: make what it is given before "
                "you call it"
            )
        with self._lock:
            call = _Call()
            try:
                self._running = weakref.ref(call)
                return work(*arguments)
            finally:
                self._running = _no_call

    def before_fork(self, seconds):
        """Wait until no other thread is in a call; says whether a forked process may use the index."""
        self._fork_waits = True
        self._held = self._lock.acquire(timeout=seconds)
        return self._held

    def after_fork(self, ready, child):
        """Go on, in parent and child."""
        held, self._held, self._fork_waits = self._held, False, False
        if child:
            self._running = _no_call
        if child and not ready:
            self._lock = threading.RLock()  # a thread of the parent holds the old one for ever
        elif held:
            self._lock.release()


class _Call:
    """A call under way in a thread; an interrupt that keeps it from being taken back ends it all the same."""

    def __init__(self):
        self.thread = threading.get_ident()


def _no_call():
    """Where no call is under way."""


def watch(index):
    """Tell an index of forks: by ``before_fork(seconds) -> bool``, then ``after_fork(ready, child)``."""
    with _adding:
        _live[:] = [one for one in _live if one() is not None]
        _live.append(weakref.ref(index))


def _before():
    _forking.waited = []
    for index in [index for one in list(_live) if (index := one()) is not None]:
        of_index = [index, False]
        _forking.waited.append(of_index)  # first, so that it is told of the end, whatever happens
        try:
            of_index[1] = index.before_fork(SECONDS_TO_WAIT)
        except (Exception, KeyboardInterrupt) as error:  # a fork cannot be refused: the child may not use it
            print(f"simnb: a forked process cannot use an index of its parent ({error!r})", file=sys.stderr)


def _after(child):
    global _adding
    if child:
        _adding = threading.Lock()  # another thread of the parent may have held it
    for index, ready in _forking.__dict__.pop("waited", ()):
        index.after_fork(ready, child)


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(child=False),
        after_in_child=lambda: _after(child=True),
    )
