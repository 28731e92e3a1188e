"""Several things done at once, and how many."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def in_threads(function: Callable[[int], _T], count: int, workers: int) -> Iterator[_T]:
    """Iterate over ``function(0)``, ``function(1)``, ...; when closed, only what has begun is waited for."""
    pool = ThreadPoolExecutor(min(workers, max(count, 1)))
    try:
        yield from pool.map(function, range(count))
    finally:
        pool.shutdown(cancel_futures=True)


def one_ahead(function: Callable[[int], _T], count: int) -> Iterator[_T]:
    """Iterate over ``function(0)``, ``function(1)``, ..., each begun when the one before it is handed out."""
    with ThreadPoolExecutor(1) as pool:
        begun = [pool.submit(function, 0)] if count else []
        for i in range(1, count + 1):
            done = begun.pop().result()
            if i < count:
                begun.append(pool.submit(function, i))
            yield done


def processors() -> int:
    """How many threads may be busy at once: the processors of this process, or fewer by OMP_NUM_THREADS."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        found = os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # "4,2" where threads start threads
    return min(found, max(int(limit), 1)) if limit.isdecimal() else found
