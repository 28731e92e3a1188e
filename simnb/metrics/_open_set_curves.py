"""The open-set metrics of many resamples at once, from how often each query was drawn."""

import numpy as np

# Each takes how many known, unknown and rightly named known queries lie within each distance, from the
# smallest on: arrays of shape [some, num_distances], whose last column holds all. Each gives shape [some].


def _auroc(known, unknown, right):
    # An unknown query has won against the known ones before it, and half against those as far.
    wins = (np.diff(unknown, axis=1, prepend=0) * (2 * known - np.diff(known, axis=1, prepend=0))).sum(axis=1)
    return wins / (2 * known[:, -1] * unknown[:, -1])


def _aupr_known(known, unknown, right):
    return _average_precision(known, unknown)


def _aupr_unknown(known, unknown, right):
    return _average_precision(*(_from_the_far_end(counts) for counts in (unknown, known)))


def _fpr_at_recall(known, unknown, right, recall):
    first = (known / known[:, -1:] >= recall).argmax(axis=1)
    return _at(unknown, first) / unknown[:, -1]


def _detection_and_identification_rate(known, unknown, right, false_acceptance):
    allowed = (unknown / unknown[:, -1:] <= false_acceptance).sum(axis=1)
    return np.where(allowed > 0, _at(right, allowed - 1), 0) / known[:, -1]


def formulas(recall, false_acceptance):
    """Every formula by the name that reports give it."""
    return {
        "auroc": _auroc,
        "aupr_known": _aupr_known,
        "aupr_unknown": _aupr_unknown,
        f"fpr@{recall:g}": lambda *counts: _fpr_at_recall(*counts, recall),
        f"dir@{false_acceptance:g}": lambda *counts: _detection_and_identification_rate(
            *counts, false_acceptance
        ),
    }


class Curves:
    """Counts within each distance, for draws of the queries."""

    def __init__(self, distances, known, right):
        """Sort the queries by distance."""
        self.order = np.argsort(distances, kind="stable")
        ordered = np.asarray(distances)[self.order]
        #: Where each distance has its last query.
        self.ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self.kinds = [kind[self.order] for kind in (known, ~known, known & right)]

    def counts(self, weights):
        """Known, unknown and right queries within each distance, of weights [some, num_queries]."""
        weights = weights[:, self.order].astype(np.float64)
        return [np.cumsum(weights * kind, axis=1)[:, self.ends] for kind in self.kinds]


def _average_precision(positive, negative):
    gained = np.diff(positive, axis=1, prepend=0)
    # Before the first query that was drawn there are none of either kind, and nothing is gained.
    return (gained * positive / np.maximum(positive + negative, 1)).sum(axis=1) / positive[:, -1]


def _from_the_far_end(counts):
    return np.cumsum(np.diff(counts, axis=1, prepend=0)[:, ::-1], axis=1)


def _at(counts, columns):
    return np.take_along_axis(counts, columns[:, None], axis=1)[:, 0]
