"""Embeddings laid out on a plane, and how far such a map can be trusted.

Example:
    >>> import numpy as np
    >>> from simnb.projection import project, trust
    >>> embeddings = np.random.default_rng(0).normal(size=(50, 8))
    >>> points = project(embeddings, "pca")
    >>> points.shape, round(trust(embeddings, points, k=5).trustworthiness, 2)
    ((50, 2), 0.78)
"""

import warnings
from collections.abc import Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb.distances import DISTANCES, pairwise

__all__ = ["METHODS", "MapTrust", "project", "trust"]

#: Every way to make a map, and the name of its axes.
METHODS = {"pca": "principal component", "tsne": "t-SNE", "umap": "UMAP"}


def project(embeddings: ArrayLike, method: str = "pca", *, seed: int = 0) -> NDArray[np.float32]:
    """Lay embeddings out on a plane.

    Args:
        embeddings: What to lay out, shape [num_examples, dim].
        method: ``pca`` is immediate, and keeps the two directions of largest variance. ``tsne`` keeps
            neighbors together, and takes about ten seconds for 2,000 embeddings. ``umap`` does so too, and
            needs ``pip install "simnb[umap]"``.
        seed: For the random choices of t-SNE and UMAP, which hardly depend on it.

    Returns:
        Positions, shape [num_examples, 2] float32; the same every time with one version of the libraries.

    Raises:
        ValueError: If there is no embedding, or fewer than 4 for t-SNE or UMAP, or the method is unknown.
        ModuleNotFoundError: If ``umap`` is asked for and not installed.
    """
    embeddings = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings")
    _checks.one_of(method, METHODS, name="method")
    seed = _checks.seed(seed)
    flat = _principal_components(embeddings)
    if method != "pca":
        if len(embeddings) < 4:
            raise ValueError(
                f"{method} needs at least 4 embeddings, got {len(embeddings)}; pass method='pca'"
            )
        if flat[:, 0].std() > 0:  # otherwise all are the same: nothing to lay out
            flat = (_tsne if method == "tsne" else _umap)(embeddings, flat, seed)
            if np.ptp(flat[:, 1]) > np.ptp(flat[:, 0]):  # the axes mean nothing: let the longer one lie flat
                flat = flat[:, ::-1]
    return np.ascontiguousarray(flat, np.float32)


def check_points(points: ArrayLike, embeddings: Sized) -> NDArray[np.float32]:
    """Return ``points`` as float32 of shape [num_examples, 2], a row an embedding, or raise ValueError."""
    points = _checks.embeddings(points, name="points")
    if points.shape != (len(embeddings), 2):
        raise ValueError(
            f"points must have shape [{len(embeddings)}, 2], one row for each embedding, got {points.shape}"
        )
    return points


def in_unit_square(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """The points, keeping their proportions, in the middle of a square of side 1."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = max(float((high - low).max()), 1e-12)
    return (points - (low + high) / 2) / span + 0.5


def _tsne(embeddings, flat, seed):
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    # What init="pca" does, without its demand for two dimensions.
    start = (flat / flat[:, 0].std() * 1e-4).astype(np.float32)
    # One thread: several gain little, and wait for one another for minutes where cores are shared.
    with threadpool_limits(1, user_api="openmp"):
        return TSNE(init=start, perplexity=perplexity, random_state=seed).fit_transform(embeddings)


def _umap(embeddings, flat, seed):
    with warnings.catch_warnings():
        # That parametric UMAP would need TensorFlow; points without neighbors; internals of its compiler.
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f'umap needs {error.name}: pip install "simnb[umap]"', name=error.name
            ) from error
        neighbors = min(15, len(embeddings) - 1)
        # On UMAP's usual scale, and in one thread: several would give another map every time.
        start = (flat / np.abs(flat).max() * 10).astype(np.float32)
        layout = UMAP(n_neighbors=neighbors, init=start, random_state=seed, n_jobs=1)
        return np.nan_to_num(layout.fit_transform(embeddings))


def _principal_components(embeddings):
    centered = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    if len(centered) > centered.shape[1]:  # many short rows: ten times as fast as their singular vectors
        directions = np.linalg.eigh(centered.T @ centered)[1].T[::-1][:2]
    else:
        directions = np.linalg.svd(centered, full_matrices=False)[2][:2]
    # The sign of a direction is arbitrary; make its largest entry positive on every machine.
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    flat = centered @ directions.T
    return np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))


@dataclass(frozen=True)
class MapTrust:
    """What a map keeps of the neighborhoods in the embedding.

    Attributes:
        trustworthiness: 1 where the k nearest on the map are those in the embedding, less the farther away
            others are there; about 0.5 by chance.
        preservation: Share of the k nearest in the embedding that are among the k nearest on the map.
        k: How many neighbors were looked at.
        num_sampled: At how many points.
    """

    trustworthiness: float
    preservation: float
    k: int
    num_sampled: int


def trust(
    embeddings: ArrayLike,
    points: ArrayLike,
    *,
    k: int = 10,
    distance: str = "euclidean",
    sample: int = 1000,
    seed: int = 0,
) -> MapTrust:
    """Measure what a map keeps of the neighborhoods in the embedding.

    Args:
        embeddings: Shape [num_examples, dim].
        points: Their positions on the map, shape [num_examples, 2].
        k: How many neighbors of a point to look at, fewer than half of the points.
        distance: Between embeddings, one of ``simnb.distances.DISTANCES``; on the map it is Euclidean.
        sample: How many points to look at, drawn at random; their neighbors are among all points.
        seed: The same seed draws the same points.

    Returns:
        A ``MapTrust``.

    Raises:
        ValueError: If lengths differ, k is too large or a name is unknown.

    References:
        Venna and Kaski, Neighborhood Preservation in Nonlinear Projection Methods, 2001 (trustworthiness).
    """
    embeddings = _checks.embeddings(embeddings)
    points = check_points(points, embeddings)
    _checks.one_of(distance, DISTANCES, name="distance")
    count, k = len(embeddings), _checks.positive_int(k, name="k")
    if 2 * k >= count:
        raise ValueError(f"k must be less than half of the {count} points, got {k}")
    chosen = np.random.default_rng(_checks.seed(seed)).permutation(count)
    chosen = np.sort(chosen[: _checks.positive_int(sample, name="sample")])
    penalty = kept = 0
    for part in np.array_split(chosen, -(-len(chosen) * count // 4_000_000)):
        beyond, found = _ranks_beyond(embeddings, points, part, k, distance)
        penalty, kept = penalty + beyond, kept + found
    worst = len(chosen) * k * (2 * count - 3 * k - 1) / 2
    return MapTrust(1 - penalty / worst, kept / (len(chosen) * k), k, len(chosen))


def _ranks_beyond(embeddings, points, part, k, distance):
    """By how many ranks the k nearest on the map miss the k nearest in the embedding; and how many do not."""
    rows = np.arange(len(part))
    near = pairwise(points[part], points, "euclidean")
    far = pairwise(embeddings[part], embeddings, distance)
    near[rows, part] = far[rows, part] = np.inf
    neighbors = np.argpartition(near, k, axis=1)[:, :k]
    # The rank of each, from 1: how many others are nearer; of equally near ones those that come before.
    order = np.arange(len(embeddings))
    ranks = np.empty(neighbors.shape, np.int64)
    for column, found in enumerate(neighbors.T):
        at = far[rows, found][:, None]
        ranks[:, column] = 1 + ((far < at) | ((far == at) & (order < found[:, None]))).sum(axis=1)
    return int(np.maximum(ranks - k, 0).sum()), int((ranks <= k).sum())
