"""A threshold for each class against a single one, on queries that chose neither."""

import numpy as np

from simnb import _checks
from simnb.calibration.choosing import calibrate
from simnb.matching import match
from simnb.metrics import evaluate_matches, known_queries


def compare_per_class(neighbors, labels, *, known_labels=None, folds=5, seed=0, **options):
    """Measure a single threshold and one for each class by cross-validation.

    On the queries that chose them, thresholds of classes always look better: they are more. So the queries
    are dealt into folds, and each fold is matched with thresholds that the others chose.

    Args:
        neighbors: ``Neighbors`` of the calibration queries.
        labels: True class of each, shape [num_queries].
        known_labels: The classes of the gallery, as in ``calibrate``.
        folds: How many parts.
        seed: Seed of the parts.
        **options: What ``calibrate`` takes: ``maximize`` or one target, ``matcher``, ``shrinkage``.

    Returns:
        A dict: for ``single`` and ``per_class`` the metrics of all queries together, by name.

    Raises:
        ValueError: If there are fewer queries than folds, or ``calibrate`` refuses the queries or options.
    """
    _checks.not_empty(neighbors, name="neighbors")
    labels = _checks.labels(labels, count=len(neighbors), of="neighbors")
    folds = _checks.positive_int(folds, name="folds")
    if not 2 <= folds <= len(labels):
        raise ValueError(f"folds must be from 2 to the {len(labels)} queries, got {folds}")
    for name in ("per_class", "confidence", "gallery"):
        if name in options:
            raise ValueError(f"compare_per_class takes no {name}=...")
    known = known_queries(labels, known_labels)
    fold = _deal(np.where(known, labels, -1), folds, seed)
    predicted = {"single": np.empty_like(labels), "per_class": np.empty_like(labels)}
    for number in range(folds):
        apart = fold == number
        rest = neighbors[~apart]
        for name, answers in predicted.items():
            calibration = calibrate(
                rest, labels[~apart], known_labels=known_labels, per_class=name == "per_class", **options
            )
            limits = calibration.limits()
            answers[apart] = match(neighbors[apart], limits, matcher=calibration.matcher).labels
    return {
        name: evaluate_matches(answers, labels, known_labels=known_labels)
        for name, answers in predicted.items()
    }


def _deal(groups, folds, seed):
    """A fold for each query, every group spread evenly over them."""
    order = np.random.default_rng(_checks.seed(seed)).permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    fold = np.empty(len(groups), np.int64)
    fold[order] = np.arange(len(groups)) % folds
    return fold
