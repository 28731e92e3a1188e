"""The report and the bootstrap, in seconds."""

import numpy as np

from simnb.index import Neighbors
from simnb.metrics import bootstrap_mean
from simnb.metrics import report as report_of
from tests.benchmarks.index import in_turns


def neighbors_of_classes(num_queries, k, num_classes):
    """Neighbors of which the first are right most of the time, the labels of the queries and of a gallery."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, num_queries)
    found = rng.integers(0, num_classes, (num_queries, k))
    right = rng.random((num_queries, k)) < np.linspace(0.95, 0.2, k)
    found = np.where(right, labels[:, None], found)
    distances = np.sort(rng.random((num_queries, k), dtype=np.float32), axis=1)
    return Neighbors(distances, found, found), labels, np.repeat(np.arange(num_classes), k)


def report():
    """Every metric of 10,000 queries with 1,000 neighbors each, without intervals and with them."""
    neighbors, labels, gallery_labels = neighbors_of_classes(10_000, 1_000, 10)
    labels[:500] = -1
    given = {"gallery_labels": gallery_labels}
    seconds = in_turns(
        {
            "plain": lambda: report_of(neighbors, labels, **given),
            "intervals": lambda: report_of(neighbors, labels, **given, confidence=0.95),
        }
    )
    name = "report of 10,000 x 1,000"
    return {
        f"{name}, s": (seconds["plain"], "<=", 3),
        f"{name}, with intervals, s": (seconds["intervals"], "", None),
    }


def bootstrap():
    """An interval of 10,000 scores from 1,000 resamples, of all at once and by class."""
    rng = np.random.default_rng(0)
    scores, strata = rng.random(10_000), rng.integers(0, 100, 10_000)
    seconds = in_turns(
        {
            "all": lambda: bootstrap_mean(scores, resamples=1_000),
            "by class": lambda: bootstrap_mean(scores, strata=strata, resamples=1_000),
        }
    )
    name = "bootstrap_mean of 10,000, 1,000 resamples"
    return {f"{name}, s": (seconds["all"], "<=", 2), f"{name}, by class, s": (seconds["by class"], "<=", 2)}


BENCHMARKS = (report, bootstrap)
