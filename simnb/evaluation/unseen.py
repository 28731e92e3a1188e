"""Classes that the network never saw."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.distances import BY_NAME, DISTANCES
from simnb.evaluation._inputs import Labelled, pair
from simnb.index import open_index
from simnb.metrics import recall_at_k


def few_shot(
    gallery: Labelled,
    queries: Labelled,
    classes: ArrayLike,
    *,
    shots: int | Sequence[int] = (1, 5, 20),
    repeats: int = 10,
    prototypes: bool = False,
    distance: str = "cosine",
    seed: int = 0,
) -> dict[str, NDArray[np.float64]]:
    """Measure how well classes are found of which the gallery holds only a few examples.

    All other classes are in the gallery with all their rows, so that the few stand against many: by chance a
    query is likelier near one of a thousand rows than near one of five. With ``prototypes`` one row stands
    against one.

    Args:
        gallery: Embeddings and labels.
        queries: Those of the queries.
        classes: Labels of the classes of which only some rows are indexed.
        shots: How many rows of each, in turn.
        repeats: How many draws of these rows.
        prototypes: Whether each class is indexed as one row, the mean of its rows; under ``cosine`` these are
            scaled to length 1 first.
        distance: One of ``simnb.distances.DISTANCES``.
        seed: Seed of the draws.

    Returns:
        A dict of two arrays of shape [repeats, num_shots]: recall@1 of the queries of ``few`` classes and of
        the ``other`` ones; NaN where there is no query of the kind.

    Raises:
        ValueError: If a class has fewer rows than the largest of ``shots``, or something is malformed.

    References:
        Snell et al., Prototypical Networks for Few-shot Learning, 2017. https://arxiv.org/abs/1703.05175
    """
    (rows, labels), (asked, truth) = pair(gallery, "gallery"), pair(queries, "queries")
    classes = np.unique(_checks.labels(classes, name="classes"))
    sizes = [_checks.positive_int(size, name="shots") for size in np.atleast_1d(shots).tolist()]
    _checks.not_empty(sizes, name="shots")
    repeats = _checks.positive_int(repeats, name="repeats")
    rng = np.random.default_rng(_checks.seed(seed))
    of_class = {label: np.flatnonzero(labels == label) for label in classes.tolist()}
    short = [label for label, positions in of_class.items() if len(positions) < max(sizes)]
    if short:
        raise ValueError(
            f"every one of classes must have {max(sizes)} rows in the gallery, "
            f"but {short[0]} has {len(of_class[short[0]])}"
        )
    if prototypes:
        rows = BY_NAME[_checks.one_of(distance, DISTANCES, name="distance")].prepare(rows)
    pick = _means if prototypes else lambda rows, labels: (rows, labels)
    index, others = open_index(distance=distance), ~np.isin(labels, classes)
    if others.any():
        index.add(*pick(rows[others], labels[others]))
    few = np.isin(truth, classes)
    measured = {name: np.full((repeats, len(sizes)), np.nan) for name in ("few", "other")}
    for repeat in range(repeats):
        drawn = {label: rng.permutation(positions) for label, positions in of_class.items()}
        for column, size in enumerate(sizes):
            chosen = np.concatenate([positions[:size] for positions in drawn.values()])
            ids = index.add(*pick(rows[chosen], labels[chosen]))
            found = index.search(asked, k=1)
            index.remove(ids)
            for name, kind in (("few", few), ("other", ~few)):
                if kind.any():
                    measured[name][repeat, column] = recall_at_k(found[kind], truth[kind])
    return measured


def _means(rows, labels):
    """Mean of the rows of each class."""
    classes, position, counts = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(classes), rows.shape[1]))
    np.add.at(sums, position, rows)
    return sums / counts[:, None], classes
