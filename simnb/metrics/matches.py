"""How good the answers are: matches against the truth."""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.index import UNKNOWN


def match_rates(
    accepted_right: ArrayLike,
    accepted_wrong: ArrayLike,
    rejected: ArrayLike,
    accepted_unknown: ArrayLike,
    rejected_unknown: ArrayLike,
) -> dict[str, NDArray[np.float64]]:
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

    Example:
        >>> from simnb.metrics import match_rates
        >>> float(match_rates(8, 1, 1, 1, 3)["precision"])
        0.8
    """
    counts = (accepted_right, accepted_wrong, rejected, accepted_unknown, rejected_unknown)
    a, w, r, u, v = (np.asarray(count, np.float64) for count in counts)
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


def evaluate_matches(
    predicted: ArrayLike, labels: ArrayLike, *, known_labels: Collection[int] | int | None = None
) -> dict[str, float]:
    """Measure answers against the truth: the rates of ``match_rates``, by name.

    Args:
        predicted: Label given to each query, ``UNKNOWN`` where it was rejected, shape [num_queries].
        labels: True class of each query, shape [num_queries].
        known_labels: The classes of the gallery. A query of any other class is unknown, and right
            when it is rejected. None where only queries labelled ``UNKNOWN`` are.

    Raises:
        ValueError: If there is no query or the lengths differ.

    Example:
        >>> from simnb import metrics
        >>> labels, answers = [5, 6, 6, 9], [5, 6, -1, 5]  # 9 is in no gallery
        >>> rates = metrics.evaluate_matches(answers, labels, known_labels=[5, 6])
        >>> [(name, round(float(rates[name]), 2)) for name in ("precision", "coverage", "false_acceptance")]
        [('precision', 0.67), ('coverage', 0.67), ('false_acceptance', 1.0)]
        >>> metrics.known_queries(labels, [5, 6])
        array([ True,  True,  True, False])
    """
    counts = outcomes(predicted, labels, known_labels).sum(axis=1)
    return {name: float(rate) for name, rate in match_rates(*counts).items()}


def outcomes(
    predicted: ArrayLike, labels: ArrayLike, known_labels: Collection[int] | int | None = None
) -> NDArray[np.bool_]:
    """Which of the counts of ``match_rates`` each query is in: shape [5, num_queries]."""
    predicted = _checks.not_empty(_checks.labels(predicted, name="predicted"), name="predicted")
    labels = _checks.labels(labels, count=len(predicted), of="predicted")
    known = known_queries(labels, known_labels)
    accepted = predicted != UNKNOWN
    right = accepted & known & (predicted == labels)
    wrong = accepted & known & ~right
    return np.stack([right, wrong, ~accepted & known, accepted & ~known, ~accepted & ~known])


def known_queries(labels: ArrayLike, known_labels: Collection[int] | int | None = None) -> NDArray[np.bool_]:
    """Whether each label is of a known class: in ``known_labels``, or not ``UNKNOWN`` without them."""
    known = np.asarray(labels) != UNKNOWN
    return known if known_labels is None else known & np.isin(labels, check_known_labels(known_labels))


def check_known_labels(known_labels: Collection[int] | int) -> NDArray[np.int64]:
    """Return one class, or several in any collection, as an array."""
    listed = list(known_labels) if isinstance(known_labels, Iterable) else [known_labels]
    return _checks.labels(listed, name="known_labels")
