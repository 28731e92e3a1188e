"""Distances by name, of all pairs or row by row. Smaller is closer, for every one of them."""

import numpy as np
from scipy.spatial.distance import cdist

from simnb import _checks

__all__ = ["DISTANCES", "pairwise", "paired"]

#: Between these, squares and their sums keep their digits in float32.
SMALLEST_SQUARE, LARGEST_SQUARE = 1e-30, 1e38
_LEAST_POWER = 1e-12  # of a row minus its mean: below this, for values around 1, there is only rounding
_SINGLE = float(np.finfo(np.float32).max)


def _normalize(x, ops):
    # By the largest entry first: the squares of small and of large ones do not fit float32.
    largest = ops.max(ops.abs(x), axis=-1, keepdims=True)
    least = 0.0 if ops is np else 1e-30  # a smaller one would make the gradient infinite
    x = x / ops.where(largest <= least, 1.0, largest)
    # Now 1 or more, but for a row of zeros: a floor of nearly 0 would make that row's gradient infinite.
    squared = ops.sum(x * x, axis=-1, keepdims=True)
    return x / ops.sqrt(ops.maximum(squared, 0.5))


def _inner_product(a, b, ops):
    return -ops.matmul(a, ops.transpose(b))


def _cosine(a, b, ops):
    return ops.maximum(1.0 + _inner_product(_normalize(a, ops), _normalize(b, ops), ops), 0.0)


def _squared_euclidean(a, b, ops):
    # Centred first: |a|^2 + |b|^2 - 2ab loses every digit in float32 when the data lie far from 0.
    center = ops.mean(b, axis=0, keepdims=True)
    a, b = a - center, b - center
    squares = ops.sum(a * a, axis=1)[:, None] + ops.sum(b * b, axis=1)[None, :]
    return ops.maximum(squares - 2.0 * ops.matmul(a, ops.transpose(b)), 0.0)


def _euclidean(a, b, ops):
    squared = _squared_euclidean(a, b, ops)
    zero = squared <= 0.0  # false for NaN, which stays NaN
    # The inner where keeps the gradient of sqrt finite at 0.
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, squared)))


def _manhattan(a, b, ops):
    if ops is np:
        return cdist(a, b, "cityblock").astype(np.result_type(a, b))
    return ops.sum(ops.abs(a[:, None, :] - b[None, :, :]), axis=-1)


def _snr(a, b, ops):
    # var(a - b) / var(a), over the dimensions: the squared distance of the rows less their own means.
    a = a - ops.mean(a, axis=1, keepdims=True)
    b = b - ops.mean(b, axis=1, keepdims=True)
    power = ops.sum(a * a, axis=1)[:, None]
    return _squared_euclidean(a, b, ops) / ops.maximum(power, _LEAST_POWER)


_FORMULAS = {
    "cosine": _cosine,
    "euclidean": _euclidean,
    "squared_euclidean": _squared_euclidean,
    "manhattan": _manhattan,
    "inner_product": _inner_product,
    "snr": _snr,
}

#: Names of the distances.
DISTANCES = tuple(_FORMULAS)


def pairwise(a, b, distance="cosine", *, ops=np):
    """Distance of every row of ``a`` to every row of ``b``.

    Args:
        a: Embeddings, shape [num_queries, dim].
        b: Embeddings, shape [num_gallery, dim].
        distance: ``cosine`` (1 - cosine similarity, 0 to 2), ``euclidean``,
            ``squared_euclidean``, ``manhattan``, ``inner_product`` (the negated product, so that
            smaller is closer) or ``snr`` (variance of a - b over the variance of a; not symmetric).
        ops: The module whose functions compute it: ``numpy``, or ``keras.ops`` inside a loss.

    Returns:
        Distances, shape [num_queries, num_gallery].

    Raises:
        ValueError: If the name is unknown or, for NumPy arrays, if a shape is wrong, a value
            is not finite or a distance is too large for float32.

    References:
        snr: Yuan et al., Signal-to-Noise Ratio, CVPR 2019. https://arxiv.org/abs/1904.02616
    """
    _checks.one_of(distance, DISTANCES, name="distance")
    if ops is np:
        a, b = _rows(a, b)
        if 0 in (len(a), len(b)):
            return np.zeros((len(a), len(b)), np.float32)
        again = _doubtful_rows(a, b, distance)
        if again.any():
            result = np.empty((len(a), len(b)), np.float32)
            if not again.all():
                result[~again] = _FORMULAS[distance](a[~again], b, ops)
            result[again] = in_float32(_pairwise_in_float64(a[again], b, distance), distance)
            return result
    return _FORMULAS[distance](a, b, ops)


def paired(a, b, distance="cosine"):
    """Distance of every row of ``a`` to the row of ``b`` beside it.

    Differences are taken first, so that equal rows are at 0 wherever they lie (but for ``inner_product``).

    Args:
        a: Embeddings, shape [num_pairs, dim].
        b: Embeddings, shape [num_pairs, dim].
        distance: As in ``pairwise``.

    Returns:
        Distances, shape [num_pairs] float32.

    Raises:
        ValueError: If the name is unknown, a shape is wrong, lengths differ, a value is not finite or a
            distance is too large for float32.
    """
    _checks.one_of(distance, DISTANCES, name="distance")
    a, b = _rows(a, b)
    _checks.same_length(a, b, "a and b")
    with np.errstate(over="ignore", invalid="ignore"):  # those are measured again
        result = _paired_in_float32(a, b, distance)
        again = doubtful(result, a, distance)
    if again.any():
        result[again] = in_float32(paired_in_float64(a[again], b[again], distance), distance)
    return result


def _paired_in_float32(a, b, distance):
    if distance == "inner_product":
        return -np.einsum("nd,nd->n", a, b)
    if distance == "cosine" and len(a):
        a, b = _normalize(a, np), _normalize(b, np)
    if distance == "snr":
        a, b = (rows - rows.mean(axis=1, keepdims=True) for rows in (a, b))
    difference = a - b
    if distance == "manhattan":
        return np.abs(difference).sum(axis=1)
    squared = np.einsum("nd,nd->n", difference, difference)
    if distance == "cosine":
        return 0.5 * squared  # of unit vectors
    if distance == "snr":
        return squared / np.maximum(np.einsum("nd,nd->n", a, a), np.float32(_LEAST_POWER))
    return np.sqrt(squared) if distance == "euclidean" else squared


def paired_in_float64(a, b, distance):
    """Euclidean distances, products or snr of rows, shape [num_pairs] float64, whatever their size."""
    power = _power(a)
    a, b = (centered(rows) if distance == "snr" else rows.astype(np.float64) for rows in (a, b))
    if distance == "inner_product":
        return -np.einsum("nd,nd->n", a, b)
    squared = np.einsum("nd,nd->n", a - b, a - b)
    if distance == "snr":
        return squared / power
    return np.sqrt(squared) if distance == "euclidean" else squared


def _pairwise_in_float64(a, b, distance):
    power = _power(a)[:, None]
    a, b = (centered(rows) if distance == "snr" else rows.astype(np.float64) for rows in (a, b))
    if distance == "inner_product":
        return -(a @ b.T)
    squared = cdist(a, b, "sqeuclidean")
    if distance == "snr":
        return squared / power
    return np.sqrt(squared) if distance == "euclidean" else squared


def _power(rows):
    """Squared length of rows minus their own means, shape [num_rows] float64.

    Where a row does not vary, a small number scaled by its largest value: snr divides by it.
    """
    least = _LEAST_POWER * np.minimum(np.abs(rows).max(axis=1).astype(np.float64), 1.0) ** 2
    return np.maximum(np.square(centered(rows)).sum(axis=1), np.where(least > 0, least, _LEAST_POWER))


def centered(rows):
    """Rows minus their own means, float64."""
    return rows - rows.mean(axis=1, keepdims=True, dtype=np.float64)


def doubtful(distances, queries, distance):
    """Which distances may have lost their digits in float32, as their squares are too small or too large.

    Args:
        distances: Shape [num_queries, ...] float32.
        queries: Shape [num_queries, dim].
        distance: Name of the distance.

    Returns:
        Shape [num_queries, ...] bool.
    """
    if distance in ("cosine", "manhattan"):  # of unit rows, and without squares
        return np.zeros(distances.shape, bool)
    sizes = np.abs(distances)
    weak = False
    if distance == "euclidean":
        sizes = sizes.astype(np.float64) ** 2
    if distance == "snr":
        power = np.square(centered(queries)).sum(axis=1).reshape(-1, *[1] * (distances.ndim - 1))
        sizes, weak = sizes * power, power < _LEAST_POWER
    return ~((sizes >= SMALLEST_SQUARE) & (sizes <= LARGEST_SQUARE)) | weak


def in_float32(distances, distance):
    """Distances in float32, or ValueError where one is too large for it."""
    largest = np.abs(distances).max(initial=0.0)
    if largest > _SINGLE:
        raise ValueError(
            f"{distance} distances must fit float32, {_SINGLE:.2g} at most, got {largest:.2g}: scale the "
            "embeddings; those with values from 1e-15 to 1e15 always fit"
        )
    return distances.astype(np.float32)


def _doubtful_rows(a, b, distance):
    """Rows of ``a`` whose distances to ``b`` float32 may have no digits for: shape [num_queries] bool."""
    if distance in ("cosine", "manhattan"):
        return np.zeros(len(a), bool)
    of_a, of_b = np.abs(a).max(axis=1).astype(np.float64), float(np.abs(b).max())
    squares = of_a * of_b if distance == "inner_product" else np.maximum(of_a, of_b) ** 2
    result = (squares < SMALLEST_SQUARE) | (4 * a.shape[1] * squares > LARGEST_SQUARE)
    if distance == "snr":
        result |= np.square(centered(a)).sum(axis=1) < _LEAST_POWER
    return result


def _rows(a, b):
    a, b = _checks.embeddings(a, name="a"), _checks.embeddings(b, name="b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a and b must have the same dim, got {a.shape[1]} and {b.shape[1]}")
    return a, b
