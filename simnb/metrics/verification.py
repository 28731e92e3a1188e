"""Whether embeddings tell the classes apart, without an index: by pairs of examples, and by clusters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simnb import _checks
from simnb.distances import DISTANCES, paired
from simnb.index import UNKNOWN
from simnb.metrics import _inputs

_BLOCK = 4_096  # pairs at a time
_STARTS = 4  # runs of k-means, of which the tightest counts


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of examples.

    Attributes:
        distances: Distance of the two, shape [num_pairs].
        same: Whether they are of the same class, shape [num_pairs] bool.
    """

    distances: np.ndarray
    same: np.ndarray

    def __post_init__(self):
        distances = _inputs.distances(self.distances)
        object.__setattr__(self, "distances", distances)
        object.__setattr__(self, "same", _inputs.flags(self.same, count=len(distances), name="same"))

    def __len__(self) -> int:
        return len(self.distances)

    def __repr__(self) -> str:
        same = int(np.count_nonzero(self.same))
        return f"Pairs({same} same, {len(self) - same} different)"


@dataclass(frozen=True, eq=False)
class Roc:
    """What each threshold does: a pair is accepted as the same where ``distance <= threshold``.

    Attributes:
        thresholds: Ascending, shape [num_thresholds]; the first, ``-inf``, accepts nothing.
        false_acceptance: Share of the different pairs accepted, shape [num_thresholds].
        true_acceptance: Share of the same pairs accepted, shape [num_thresholds].
    """

    thresholds: np.ndarray
    false_acceptance: np.ndarray
    true_acceptance: np.ndarray


def pairs(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    distance: str = "cosine",
    max_pairs: int = 1_000_000,
    seed: int = 0,
) -> Pairs:
    """Measure pairs of examples, those of the same class first: all of them, or as many as wanted.

    Where there are more than ``max_pairs``, half of those taken are of the same class, or all such pairs if
    these are fewer: among many classes they are rare. Every pair of a kind is as likely as another.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples]. Examples labelled ``UNKNOWN`` are left out: whether two
            of them are of the same class cannot be told.
        distance: One of ``simnb.distances.DISTANCES``; ``snr``, which is not symmetric, is taken one way.
        max_pairs: At most how many pairs.
        seed: Seed of the choice of pairs.

    Raises:
        ValueError: If lengths differ, a value is not finite, or fewer than two examples have a class.

    Example:
        >>> from simnb import metrics
        >>> embeddings, labels = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]], [0, 0, 1, 1]
        >>> pairs = metrics.pairs(embeddings, labels)
        >>> pairs.distances.round(2)
        array([0.2 , 0.2 , 1.  , 0.4 , 0.4 , 0.04], dtype=float32)
        >>> metrics.equal_error_rate(pairs), metrics.tar_at_far(pairs, 0.5)
        (0.25, 1.0)
        >>> metrics.roc(pairs).thresholds.round(2)
        array([-inf, 0.04, 0.2 , 0.4 , 1.  ])
        >>> sorted(metrics.clustering_scores(embeddings, labels))
        ['ari', 'nmi']
    """
    _checks.one_of(distance, DISTANCES, name="distance")
    embeddings = _checks.embeddings(embeddings)
    labels = _checks.labels(labels, count=len(embeddings))
    max_pairs = _checks.positive_int(max_pairs, name="max_pairs")
    rng = np.random.default_rng(_checks.seed(seed))
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] != UNKNOWN]
    if len(order) < 2:
        raise ValueError(f"at least two examples must have a class, got {len(order)}")
    ends = np.searchsorted(labels[order], labels[order], side="right")
    places = np.arange(len(order))
    # With examples in the order of their classes, the partners of each lie behind it, side by side.
    of_same, of_different = (places + 1, ends), (ends, np.full(len(order), len(order)))
    num_same, num_different = (int((stop - start).sum()) for start, stop in (of_same, of_different))
    if num_same + num_different > max_pairs:
        wanted = max(max_pairs // 2, max_pairs - num_different)
        num_same, num_different = min(num_same, wanted), max_pairs - min(num_same, wanted)
    same, different = _draw(*of_same, num_same, rng), _draw(*of_different, num_different, rng)
    first, second = (order[np.concatenate(side)] for side in zip(same, different, strict=True))
    return Pairs(_distances(embeddings, first, second, distance), np.arange(len(first)) < num_same)


def roc(pairs: Pairs) -> Roc:
    """Trace every threshold from the smallest distance to the largest.

    Raises:
        ValueError: If all pairs are of the same class, or all of different ones.
    """
    from sklearn.metrics import roc_curve

    _inputs.both_kinds(pairs.same, name="pairs", kinds=("same", "different"))
    distances, ranks = np.unique(pairs.distances, return_inverse=True)
    far, tar, _ = roc_curve(pairs.same, -ranks, drop_intermediate=False)
    return Roc(np.concatenate([[-np.inf], distances]), far, tar)


def equal_error_rate(pairs: Pairs) -> float:
    """Rate at which as large a share of different pairs is accepted as of same ones is rejected.

    From 0 to 1; smaller is better, 0.5 by chance. Between two thresholds the rates are taken to change
    evenly. Takes and raises what ``roc`` does.
    """
    curve = roc(pairs)
    excess = curve.false_acceptance + curve.true_acceptance - 1  # from -1 up to 1, no two alike
    return float(np.interp(0, excess, curve.false_acceptance))


def tar_at_far(pairs: Pairs, far: float = 1e-3) -> float:
    """True acceptance rate, 0 to 1, at the largest threshold whose false acceptance rate is at most ``far``.

    Args:
        pairs: ``Pairs`` of both kinds.
        far: Above 0 and below 1, and no less than 1 / the number of different pairs.

    Raises:
        ValueError: If ``far`` is too small to be measured on so many pairs, or not both kinds are there.
    """
    far = _checks.number(far, name="far", above=0, below=1)
    curve = roc(pairs)
    different = int(np.count_nonzero(~pairs.same))
    if far < 1 / different:
        raise ValueError(
            f"far must be at least 1 / {different}, one of the different pairs, got {far:g}; "
            "measure more pairs"
        )
    return float(curve.true_acceptance[curve.false_acceptance <= far][-1])


def clustering_scores(
    embeddings: ArrayLike, labels: ArrayLike, *, num_clusters: int | None = None, seed: int = 0
) -> dict[str, float]:
    """Compare the clusters k-means finds with the classes.

    Rows are scaled to length 1 first, so that clusters are by cosine distance.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples]. Examples labelled ``UNKNOWN`` are left out.
        num_clusters: How many clusters; None for as many as there are classes.
        seed: Seed of the starting points.

    Returns:
        A dict of floats: ``nmi``, normalized mutual information, 0 to 1; and ``ari``, adjusted Rand index,
        1 where clusters are the classes, around 0 by chance.

    Raises:
        ValueError: If lengths differ, a row is zero or not finite, no example has a class, or there are more
            clusters than examples.

    References:
        Vinh et al., Information Theoretic Measures for Clusterings Comparison, 2010.
        https://jmlr.org/papers/v11/vinh10a.html
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    embeddings = _checks.embeddings(embeddings, nonzero=True)
    labels = _checks.labels(labels, count=len(embeddings))
    classes = _checks.not_empty(labels[labels != UNKNOWN], name="labels other than UNKNOWN")
    if num_clusters is None:
        num_clusters = len(np.unique(classes))
    if _checks.positive_int(num_clusters, name="num_clusters") > len(classes):
        raise ValueError(f"num_clusters must be at most the {len(classes)} examples, got {num_clusters}")
    # By the largest entry first: the squares of small and of large ones do not fit float32.
    rows = embeddings[labels != UNKNOWN]
    rows /= np.abs(rows).max(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    clusters = KMeans(num_clusters, n_init=_STARTS, random_state=_checks.seed(seed)).fit_predict(rows)
    return {
        "nmi": float(normalized_mutual_info_score(classes, clusters)),
        "ari": float(adjusted_rand_score(classes, clusters)),
    }


def _draw(start, stop, count, rng):
    """Some of the pairs (i, j) with start[i] <= j < stop[i], or all: two arrays of shape [count]."""
    before = np.concatenate([[0], np.cumsum(stop - start)])
    total = int(before[-1])
    # One of each of as many stretches of all pairs, turned around by chance: as likely and never twice.
    edges = np.arange(count + 1) * total // max(count, 1)
    chosen = rng.integers(edges[:-1], edges[1:])
    if count < total:
        chosen = (chosen + rng.integers(total)) % total
    first = np.searchsorted(before, chosen, side="right") - 1
    return first, start[first] + chosen - before[first]


def _distances(embeddings, first, second, distance):
    distances = np.empty(len(first), np.float32)
    for start in range(0, len(first), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distances[rows] = paired(embeddings[first[rows]], embeddings[second[rows]], distance)
    return distances
