"""Several things read at once."""

import os
from concurrent.futures import ThreadPoolExecutor


def in_threads(function, count, workers):
    """Iterate over ``function(0)``, ``function(1)``, ...; when closed, only what has begun is waited for."""
    pool = ThreadPoolExecutor(min(workers, max(count, 1)))
    try:
        yield from pool.map(function, range(count))
    finally:
        pool.shutdown(cancel_futures=True)


def processors():
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
