"""A threshold for each class, since near is not equally near everywhere."""

import numpy as np

from simnb.calibration.curves import Curves, candidates
from simnb.calibration.cutpoints import choose

#: How many queries' worth of all classes are added to the queries of one.
SHRINKAGE = 50.0
_GRID = 1_000  # thresholds that each class tries besides its own


def thresholds_by_class(goal, curves, queries, answers, shrinkage):
    """Choose a threshold for each label that was answered, and count what they do together.

    A class is calibrated on the queries whose answer it is. So that a small class is not left to chance, all
    queries are added to its own with the weight of ``shrinkage`` queries: a class of few queries gets nearly
    the threshold of all, one of many its own.

    Args:
        goal: A ``Goal``.
        curves: ``Curves`` of all queries.
        queries: What ``Curves.count`` takes of each query: distances, answered, known and right.
        answers: Label that each query gets, whatever its distance, shape [num_queries].
        shrinkage: A number of queries; 0 for none.

    Returns:
        The thresholds, a dict of floats by label, and the five counts A, W, R, U, V at them.
    """
    distances, answered, known, right = queries
    order = np.argsort(answers, kind="stable")
    order = order[answered[order]]
    labels, starts = np.unique(answers[order], return_index=True)
    grid = _some_of(curves, choose(goal, curves)[0])
    thresholds, accepted = {}, np.zeros(len(distances), bool)
    for label, start, end in zip(labels.tolist(), starts, [*starts[1:], len(order)], strict=False):
        rows = order[start:end]
        own = Curves.count(*(part[rows] for part in queries))
        mixed = _mixed(own, curves, grid, shrinkage / len(distances))
        threshold = mixed.threshold[choose(goal, mixed)[0]]
        thresholds[label] = float(threshold)
        accepted[rows] = distances[rows] <= threshold
    a, w, u = (np.count_nonzero(accepted & kind) for kind in (right, known & ~right, ~known))
    counts = (a, w, curves.num_known - a - w, u, curves.num_unknown - u)
    return thresholds, counts


def _some_of(curves, chosen):
    """Distances of all queries between which a class may choose: evenly many, and those around a choice."""
    count = len(curves.distances)
    if count == 0:
        return curves.distances
    even = np.linspace(0, count - 1, min(count, _GRID)).round().astype(np.int64)
    around = np.clip([chosen - 1, chosen], 0, count - 1)
    return curves.distances[np.union1d(even, around)]


def _mixed(own, pooled, grid, share):
    """Curves of a class, with all queries added to its own at a share of one each."""
    distances = np.union1d(own.distances, grid)
    of_own = np.concatenate([[0], np.searchsorted(own.distances, distances, side="right")])
    of_pooled = np.searchsorted(pooled.distances, candidates(distances), side="right")
    return Curves(
        distances,
        own.accepted_right[of_own] + share * pooled.accepted_right[of_pooled],
        own.accepted_wrong[of_own] + share * pooled.accepted_wrong[of_pooled],
        own.accepted_unknown[of_own] + share * pooled.accepted_unknown[of_pooled],
        own.num_known + share * pooled.num_known,
        own.num_unknown + share * pooled.num_unknown,
    )
