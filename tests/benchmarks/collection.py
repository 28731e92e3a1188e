"""Looking after a collection: seconds and memory of what compares all images with one another."""

import time
import tracemalloc

import numpy as np

from simnb.collection import near_duplicates
from simnb.index import open_index

PLANTED = 0.01  # share of the images that are there a second time, with a little noise


def embedded(count, dim, seed=0, free=24):
    """Embeddings of ``free`` directions in ``dim`` values, the last of them nearly copies of the first."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, free), dtype=np.float32)
    copies = int(PLANTED * count)
    rows[-copies:] = rows[:copies] + 0.01 * rng.standard_normal((copies, free), dtype=np.float32)
    return rows @ rng.standard_normal((free, dim), dtype=np.float32)


def duplicates(count=50_000, dim=384):
    """Near-duplicates of many images: the limits are those of a machine with two cores."""
    index = open_index()
    index.add(embedded(count, dim))
    tracemalloc.start()
    start = time.perf_counter()
    found = near_duplicates(index)
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    name = f"near_duplicates {count:,} x {dim}"
    return {
        f"{name}, s": (seconds, "<=", 60),
        f"{name}: peak MB above the index": (peak, "<=", 1_000),
        f"{name}: groups / planted ones": (len(found) / int(PLANTED * count), ">=", 1.0),
    }


BENCHMARKS = (duplicates,)
