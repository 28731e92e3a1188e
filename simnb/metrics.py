"""How good the retrieval is, and how good the answers are."""

import numbers

import numpy as np

from simnb import _checks
from simnb.index.protocol import UNKNOWN

__all__ = ["recall_at_k", "precision_at_k", "r_precision", "map_at_r", "match_rates", "evaluate_matches"]


def recall_at_k(neighbors, labels, k=1):
    """Share of queries with at least one neighbor of their own class among the first k.

    Args:
        neighbors: ``Neighbors`` of queries that are not in the gallery themselves.
        labels: True class of each query, shape [num_queries].
        k: At most ``neighbors.k``.

    Returns:
        A float, 0 to 1. A query whose class is not in the gallery counts as a miss.

    Raises:
        ValueError: If there is no query, the lengths differ, or k exceeds ``neighbors.k``.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    return float(_relevant(neighbors, labels, k).any(axis=1).mean())


def precision_at_k(neighbors, labels, k=1):
    """Share of the first k neighbors that are of the query's class, averaged over queries.

    Takes and raises what ``recall_at_k`` does. Places that a small gallery left empty count as wrong.
    """
    return float(_relevant(neighbors, labels, k).mean())


def r_precision(neighbors, labels, gallery_labels):
    """Precision among the first R neighbors, R being the size of the query's class in the gallery.

    Args:
        neighbors: ``Neighbors`` of queries that are not in the gallery, with k >= every R.
        labels: True class of each query, shape [num_queries].
        gallery_labels: Label of every gallery row, shape [num_gallery].

    Returns:
        A float, 0 to 1, the mean over queries.

    Raises:
        ValueError: If k is below the largest R, or a query's class is not in the gallery (R would be 0).

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    relevant, sizes = _relevant_within_r(neighbors, labels, gallery_labels)
    return float((relevant.sum(axis=1) / sizes).mean())


def map_at_r(neighbors, labels, gallery_labels):
    """Mean average precision over the first R neighbors (MAP@R).

    Precision is taken at every rank up to R that holds a relevant neighbor, and the sum divided by R.
    Takes and raises what ``r_precision`` does.

    References:
        Musgrave et al., A Metric Learning Reality Check, 2020. https://arxiv.org/abs/2003.08505
    """
    relevant, sizes = _relevant_within_r(neighbors, labels, gallery_labels)
    ranks = np.arange(1, relevant.shape[1] + 1, dtype=np.float32)
    precision = np.cumsum(relevant, axis=1, dtype=np.float32) / ranks
    return float(((precision * relevant).sum(axis=1, dtype=np.float64) / sizes).mean())


def match_rates(accepted_right, accepted_wrong, rejected, accepted_unknown, rejected_unknown):
    """The calibration metrics, from counts of queries.

    Args:
        accepted_right: A, queries of known classes that got their own label; a number or an array.
        accepted_wrong: W, queries of known classes that got another label.
        rejected: R, queries of known classes that got ``UNKNOWN``.
        accepted_unknown: U, queries of unknown classes that got a label.
        rejected_unknown: V, queries of unknown classes that got ``UNKNOWN``.

    Returns:
        A dict of arrays: precision A/(A+W+U), recall A/(A+W+R), f1 of these two, accuracy (A+V)/all,
        coverage (A+W)/(A+W+R), and false_acceptance U/(U+V). Where nothing was accepted precision
        is 1: no answer was wrong. The others are NaN where they divide by zero: recall and coverage
        without known queries, false_acceptance without unknown ones.
    """
    a, w, r, u, v = (
        np.asarray(n, np.float64)
        for n in (accepted_right, accepted_wrong, rejected, accepted_unknown, rejected_unknown)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(a + w + u > 0, a / (a + w + u), 1.0)
        recall = a / (a + w + r)
        # One division of whole numbers, so that equal scores are equal to the last bit.
        f1 = np.where(a + w + r > 0, 2 * a / (2 * a + 2 * w + u + r), np.nan)
        return {
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "accuracy": (a + v) / (a + w + r + u + v),
            "coverage": (a + w) / (a + w + r),
            "false_acceptance": u / (u + v),
        }


def evaluate_matches(predicted, labels, *, known_labels=None):
    """Measure answers against the truth.

    Args:
        predicted: Label given to each query, ``UNKNOWN`` where it was rejected, shape [num_queries].
        labels: True class of each query, shape [num_queries].
        known_labels: The classes of the gallery. A query of any other class is unknown, and right
            when it is rejected. When left out, only queries labelled ``UNKNOWN`` are.

    Returns:
        A dict of floats with the names ``match_rates`` gives.

    Raises:
        ValueError: If there is no query or the lengths differ.
    """
    predicted = _checks.not_empty(_checks.labels(predicted, name="predicted"), name="predicted")
    labels = _checks.labels(labels, count=len(predicted), of="predicted")
    known = known_queries(labels, known_labels)
    accepted = predicted != UNKNOWN
    right = accepted & known & (predicted == labels)
    counts = (right, accepted & known & ~right, ~accepted & known, accepted & ~known, ~accepted & ~known)
    return {name: float(rate) for name, rate in match_rates(*(c.sum() for c in counts)).items()}


def known_queries(labels, known_labels=None):
    """Whether each label is of a known class: in ``known_labels``, or not ``UNKNOWN`` without them."""
    known = labels != UNKNOWN
    if known_labels is None:
        return known
    single = isinstance(known_labels, numbers.Integral)
    known_labels = [known_labels] if single else list(known_labels)
    return known & np.isin(labels, _checks.labels(known_labels, name="known_labels"))


def _relevant(neighbors, labels, k):
    _checks.not_empty(neighbors, name="neighbors")
    labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
    if _checks.positive_int(k, name="k") > neighbors.k:
        raise ValueError(f"k must be at most the {neighbors.k} neighbors that were searched, got {k}")
    found = neighbors.labels[:, :k]
    return (found == labels[:, None]) & (found != UNKNOWN)


def _relevant_within_r(neighbors, labels, gallery_labels):
    gallery_labels = _checks.labels(gallery_labels, name="gallery_labels")
    classes, sizes = np.unique(gallery_labels[gallery_labels != UNKNOWN], return_counts=True)
    relevant = _relevant(neighbors, labels, neighbors.k)
    labels = np.asarray(labels)
    missing = ~np.isin(labels, classes)
    if missing.any():
        raise ValueError(
            f"the gallery must hold the class of every query, but {missing.sum()} queries have classes it "
            f"lacks, for example {labels[missing][0]}; measure queries of known classes only"
        )
    r = sizes[np.searchsorted(classes, labels)]
    needed = min(int(r.max()), len(gallery_labels))
    if neighbors.k < needed:
        raise ValueError(f"neighbors must have k >= {needed}, the largest class, got k={neighbors.k}")
    return relevant & (np.arange(neighbors.k) < r[:, None]), r
