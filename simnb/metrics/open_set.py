"""How well distances tell queries of known classes from others: the nearer, the likelier known.

Every metric follows from how many queries of each kind lie within each distance. They are counted for many
draws at once, each query as often as it was drawn; in the draw of a plain metric that is once.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.metrics import _inputs


def auroc(distances: ArrayLike, known: ArrayLike) -> float:
    """Probability that a known query is nearer than an unknown one, a tie counting one half.

    Args:
        distances: Distance of each query's nearest neighbor, ``inf`` for none, shape [num_queries].
        known: Whether the query is of a known class, shape [num_queries] bool.

    Returns:
        A float: 1 where every known query is nearer than every unknown one, 0.5 by chance.

    Raises:
        ValueError: If a distance is NaN, the lengths differ, or not both kinds of queries are there.

    References:
        Fawcett, An introduction to ROC analysis, 2006. https://doi.org/10.1016/j.patrec.2005.10.010

    Example:
        >>> from simnb import metrics
        >>> distances, known = [0.1, 0.2, 0.5, 0.6, 0.4], [True, True, True, True, False]
        >>> metrics.auroc(distances, known), metrics.fpr_at_recall(distances, known)
        (0.5, 1.0)
        >>> round(metrics.aupr(distances, known), 3)
        0.887
        >>> metrics.detection_and_identification_rate(distances, [True, False, True, True, False], known)
        0.25
    """
    return Curves(distances, known).of_all(_auroc)


def aupr(distances: ArrayLike, known: ArrayLike, positive: str = "known") -> float:
    """Area under precision against recall, as average precision; by chance the share of positive queries.

    Args:
        distances, known: As in ``auroc``, which raises the same.
        positive: What is looked for: ``known`` queries, by small distances, or ``unknown``, by large ones.

    References:
        Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, 2006.
        https://doi.org/10.1145/1143844.1143874
    """
    _checks.one_of(positive, ("known", "unknown"), name="positive")
    return Curves(distances, known).of_all(_aupr_known if positive == "known" else _aupr_unknown)


def fpr_at_recall(distances: ArrayLike, known: ArrayLike, recall: float = 0.95) -> float:
    """Share of the unknown queries accepted where the threshold accepts enough of the known ones.

    The threshold is the smallest that accepts at least the share ``recall`` of the known queries. A query
    without a neighbor lies farther than all others; a threshold that takes it in accepts everything.
    Smaller is better.

    Args:
        distances, known: As in ``auroc``, which raises the same.
        recall: Above 0 and at most 1.

    References:
        Liang et al., Enhancing The Reliability of Out-of-distribution Image Detection, 2018.
        https://arxiv.org/abs/1706.02690
    """
    return Curves(distances, known).of_all(partial(_fpr_at_recall, recall=_recall(recall)))


def detection_and_identification_rate(
    distances: ArrayLike, right: ArrayLike, known: ArrayLike, *, false_acceptance: float = 0.01
) -> float:
    """Share of the known queries that are accepted and given their own label.

    The threshold is the largest that accepts at most the share ``false_acceptance`` of the unknown queries.

    Args:
        distances, known: As in ``auroc``, which raises the same.
        right: Whether the nearest neighbor carries the query's label, shape [num_queries] bool. Those of
            unknown queries do not count.
        false_acceptance: At least 0 and below 1. Below 1 / the number of unknown queries it means 0.

    References:
        Phillips et al., Evaluation Methods in Face Recognition, 2011 (open-set identification).
        https://doi.org/10.1007/978-0-85729-932-1_21
        Günther et al., Toward Open-Set Face Recognition, 2017. https://arxiv.org/abs/1705.01567
    """
    formula = partial(_dir, false_acceptance=_false_acceptance(false_acceptance))
    return Curves(distances, known, np.asarray(right)).of_all(formula)


def formulas(recall, false_acceptance):
    """Every formula by the name that reports give it; the last one looks at which neighbors are right."""
    recall, false_acceptance = _recall(recall), _false_acceptance(false_acceptance)
    return {
        "auroc": _auroc,
        "aupr_known": _aupr_known,
        "aupr_unknown": _aupr_unknown,
        f"fpr@{recall:g}": partial(_fpr_at_recall, recall=recall),
        f"dir@{false_acceptance:g}": partial(_dir, false_acceptance=false_acceptance),
    }


class Counts(NamedTuple):
    """Queries within each distance, the smallest first: shape [num_draws, num_distances]."""

    known: NDArray[np.float64]
    unknown: NDArray[np.float64]
    right: NDArray[np.float64]


class Curves:
    """Queries in the order of their distances, from which ``Counts`` are made.

    Takes and raises what ``detection_and_identification_rate`` does; without ``right`` for the other metrics.
    """

    def __init__(self, distances, known, right=None):
        distances = _inputs.distances(distances)
        self.known = _inputs.flags(known, count=len(distances), name="known")
        _inputs.both_kinds(self.known)
        named = self.known if right is None else _inputs.flags(right, count=len(distances), name="right")
        self._order = np.argsort(distances, kind="stable")
        ordered = distances[self._order]
        # Where each distance has its last query.
        self._ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        self._kinds = [kind[self._order] for kind in (self.known, ~self.known, self.known & named)]

    def __len__(self) -> int:
        return len(self.known)

    def counts(self, weights):
        """Count queries by how often each was drawn: ``weights`` of shape [num_draws, num_queries]."""
        weights = weights[:, self._order].astype(np.float64)
        return Counts(*(np.cumsum(weights * kind, axis=1)[:, self._ends] for kind in self._kinds))

    def of_all(self, formula):
        """What a formula gives where every query counts once."""
        return float(formula(self.counts(np.ones((1, len(self)))))[0])


# Each formula takes Counts and gives the metric of each draw, shape [num_draws].


def _auroc(within):
    known, unknown = within.known, within.unknown
    # An unknown query has won against the known ones before it, and half against those as far.
    wins = (np.diff(unknown, axis=1, prepend=0) * (2 * known - np.diff(known, axis=1, prepend=0))).sum(axis=1)
    return wins / (2 * known[:, -1] * unknown[:, -1])


def _aupr_known(within):
    return _average_precision(within.known, within.unknown)


def _aupr_unknown(within):
    return _average_precision(_from_the_far_end(within.unknown), _from_the_far_end(within.known))


def _fpr_at_recall(within, recall):
    first = (within.known / within.known[:, -1:] >= recall).argmax(axis=1)
    return _at(within.unknown, first) / within.unknown[:, -1]


def _dir(within, false_acceptance):
    allowed = (within.unknown / within.unknown[:, -1:] <= false_acceptance).sum(axis=1)
    return np.where(allowed > 0, _at(within.right, allowed - 1), 0) / within.known[:, -1]


def _average_precision(positive, negative):
    gained = np.diff(positive, axis=1, prepend=0)
    # Before the first query that was drawn there are none of either kind, and nothing is gained.
    return (gained * positive / np.maximum(positive + negative, 1)).sum(axis=1) / positive[:, -1]


def _from_the_far_end(counts):
    return np.cumsum(np.diff(counts, axis=1, prepend=0)[:, ::-1], axis=1)


def _at(counts, columns):
    return np.take_along_axis(counts, columns[:, None], axis=1)[:, 0]


def _recall(value):
    return _checks.number(value, name="recall", above=0, at_most=1)


def _false_acceptance(value):
    return _checks.number(value, name="false_acceptance", at_least=0, below=1)
