"""What a forked process may do with an index of its parent.

SQLite's locks do not survive a fork, and a lock of another thread would never be released in the child. So
before a fork every index is waited for, and lets go of its file; parent and child open it again by
themselves. An index in use for longer than that cannot be used by the child, which says so.
"""

import concurrent.futures.thread  # noqa: F401  first, so that it locks its pools after our wait for searches
import os
import sys
import threading
import weakref

SECONDS_TO_WAIT = 2.0  # for a call of another thread; a fork that waits for ever would be worse
_live, _adding = [], threading.Lock()  # weak references: without callbacks, in which Ctrl-C would get lost
_forking = threading.local()  # of this thread's fork under way: indexes, and whether nobody was using them


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
