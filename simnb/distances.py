"""Distances by name, of all pairs or row by row. Smaller is closer, for every one of them.

Example:
    >>> from simnb.distances import paired, pairwise
    >>> pairwise([[3.0, 4.0]], [[0.0, 0.0], [3.0, 0.0]], "euclidean")
    array([[5., 4.]], dtype=float32)
    >>> paired([[3.0, 4.0]], [[0.0, 0.0]], "manhattan")
    array([7.], dtype=float32)
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from simnb import _checks
from simnb._types import Tensor

__all__ = ["DISTANCES", "pairwise", "paired"]

#: Between these, squares and their sums keep their digits in float32.
SMALLEST_SQUARE, LARGEST_SQUARE = 1e-30, 1e38
_LEAST_POWER = 1e-12  # of a row minus its mean: below this, for values around 1, there is only rounding
_UNIT = 3e-7  # by how much the length of rows that are used as they are may differ from 1: float32 rounds so
_SINGLE = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Distance:
    """One distance: two rows are prepared, a sum is taken over them, and a distance is made of the sum.

    The sum is the squared length of their difference, their product, or else the absolute differences, which
    are then the distance. Cosine distance is made of the product of all pairs, a multiplication of matrices,
    and of the squares of single ones, since the product of two rows that are nearly alike rounds to 1.

    Attributes:
        name: One of ``DISTANCES``.
        prepare: Called with rows and ``ops``: the rows as they are compared. Those of NumPy keep their dtype,
            and are not copied where nothing changes.
        from_squares: Called with squares, queries (prepared or not) and ``ops``: distances. The queries
            without their last axis broadcast with the squares.
        from_product: Called with products and ``ops``: distances.
        to_sum: Called with distances and queries: the products they were made of, else the squares.
        keeps_digits: Whether float32 has the digits of any sum, small or large: as of unit rows.
    """

    name: str
    prepare: Callable[..., Any] = lambda rows, ops=np: rows
    from_squares: Callable[..., Any] | None = None
    from_product: Callable[..., Any] | None = None
    to_sum: Callable[..., Any] = lambda distances, queries: distances
    keeps_digits: bool = False

    def pairwise(self, a: Tensor, b: Tensor, ops: ModuleType = np) -> Tensor:
        """Distance of every row of ``a`` to every row of ``b``, in their dtype."""
        queries, a, b = a, self.prepare(a, ops), self.prepare(b, ops)
        if self.from_product is not None:
            return self.from_product(ops.matmul(a, ops.transpose(b)), ops)
        if self.from_squares is not None:
            return self.from_squares(_squares(a, b, ops), queries[:, None], ops)
        if ops is np:
            return cdist(a, b, "cityblock").astype(np.result_type(a, b))
        return ops.sum(ops.abs(a[:, None, :] - b[None, :, :]), axis=-1)

    def paired(self, a: NDArray, b: NDArray) -> NDArray:
        """Distance of every row of ``a`` to the row of ``b`` beside it, in their dtype."""
        return self.of_prepared(self.prepare(a), self.prepare(b), a)

    def of_prepared(self, a: NDArray, b: NDArray, queries: NDArray) -> NDArray:
        """Distances of prepared rows, each [..., dim], to one another; the shapes are broadcast."""
        if self.from_squares is None and self.from_product is not None:
            return self.of_measured(np.einsum("...d,...d->...", *np.broadcast_arrays(a, b)), queries)
        difference = b - a
        if self.from_squares is None:
            return np.abs(difference, out=difference).sum(axis=-1)
        return self.of_measured(np.einsum("...d,...d->...", difference, difference), queries)

    def of_measured(self, measured: NDArray, queries: NDArray) -> NDArray:
        """Distances of single pairs from their squares or, where that is no way, from their products."""
        if self.from_squares is not None:
            return self.from_squares(measured, queries)
        return measured if self.from_product is None else self.from_product(measured)

    def doubtful(self, distances: NDArray, queries: NDArray) -> NDArray[np.bool_]:
        """Which float32 distances may have lost their digits, as their squares are too small or too large."""
        if self.keeps_digits:
            return np.zeros(distances.shape, bool)
        sizes = np.abs(self.to_sum(distances.astype(np.float64), queries))
        unsure = ~((sizes >= SMALLEST_SQUARE) & (sizes <= LARGEST_SQUARE))
        return unsure | (_spread(queries) < _LEAST_POWER) if self.name == "snr" else unsure

    def doubtful_rows(self, a: NDArray, b: NDArray) -> NDArray[np.bool_]:
        """Rows of ``a`` whose distances to ``b`` float32 may have no digits for: shape [num_queries] bool."""
        if self.keeps_digits:
            return np.zeros(len(a), bool)
        of_a, of_b = np.abs(a).max(axis=1).astype(np.float64), float(np.abs(b).max())
        squares = of_a * of_b if self.from_product is not None else np.maximum(of_a, of_b) ** 2
        unsure = (squares < SMALLEST_SQUARE) | (4 * a.shape[1] * squares > LARGEST_SQUARE)
        return unsure | (_spread(a) < _LEAST_POWER) if self.name == "snr" else unsure

    def in_float32(self, distances: NDArray) -> NDArray[np.float32]:
        """Distances in float32, or ValueError where one is too large for it."""
        largest = np.abs(distances).max(initial=0.0)
        if largest > _SINGLE:
            raise ValueError(
                f"{self.name} distances must fit float32, {_SINGLE:.2g} at most, got {largest:.2g}: scale "
                "the embeddings; those with values from 1e-15 to 1e15 always fit"
            )
        return distances.astype(np.float32)


def _unit(rows, ops=np):
    """Rows of length 1; those of zeros stay."""
    if ops is np:
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))[:, None]
        if np.abs(norms - 1.0).max(initial=0.0) < _UNIT:
            return rows
        return (rows / np.maximum(norms, 1e-300)).astype(rows.dtype)
    # By the largest entry first: the squares of small and of large ones do not fit float32.
    largest = ops.max(ops.abs(rows), axis=-1, keepdims=True)
    # Dividing by a smaller one would make the gradient infinite.
    rows = rows / ops.where(largest <= 1e-30, 1.0, largest)
    # Now 1 or more, but for a row of zeros: a floor of nearly 0 would make that row's gradient infinite.
    squared = ops.sum(rows * rows, axis=-1, keepdims=True)
    return rows / ops.sqrt(ops.maximum(squared, 0.5))


def _centered(rows, ops=np):
    """Rows less their own means."""
    if ops is np:
        return (rows - rows.mean(axis=-1, keepdims=True, dtype=np.float64)).astype(rows.dtype)
    return rows - ops.mean(rows, axis=-1, keepdims=True)


def _spread(rows):
    """Squared length of rows less their own means, in float64."""
    return np.square(_centered(rows.astype(np.float64))).sum(axis=-1)


def _power(rows, ops=np):
    """The same as ``_spread``, in the dtype of the rows, and never 0: snr divides by it."""
    rows_less_means = _centered(rows, ops)
    power = ops.sum(rows_less_means * rows_less_means, axis=-1)
    if ops is not np:
        return ops.maximum(power, _LEAST_POWER)
    # Where a row does not vary, a small number scaled by its largest value.
    least = _LEAST_POWER * np.minimum(np.abs(rows).max(axis=-1), 1.0) ** 2
    return np.maximum(power, np.where(least > 0, least, _LEAST_POWER)).astype(rows.dtype)


def _squares(a, b, ops):
    """Squared length of the difference of every two rows."""
    if ops is np and a.dtype == np.float64:
        return cdist(a, b, "sqeuclidean")
    # Centred first: |a|^2 + |b|^2 - 2ab loses every digit in float32 when the data lie far from 0.
    center = ops.mean(b, axis=0, keepdims=True)
    a, b = a - center, b - center
    squares = ops.sum(a * a, axis=1)[:, None] + ops.sum(b * b, axis=1)[None, :]
    return ops.maximum(squares - 2.0 * ops.matmul(a, ops.transpose(b)), 0.0)


def _root(squares, queries, ops=np):
    if ops is np:
        return np.sqrt(squares)
    zero = squares <= 0.0  # false for NaN, which stays NaN
    # The inner where keeps the gradient of sqrt finite at 0.
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, squares)))


BY_NAME = {
    one.name: one
    for one in (
        Distance(
            "cosine",
            prepare=_unit,
            from_squares=lambda squares, queries, ops=np: 0.5 * squares,
            from_product=lambda products, ops=np: ops.maximum(1.0 - products, 0.0),
            to_sum=lambda distances, queries: 1.0 - distances,
            keeps_digits=True,
        ),
        Distance("euclidean", from_squares=_root, to_sum=lambda distances, queries: distances**2),
        Distance("squared_euclidean", from_squares=lambda squares, queries, ops=np: squares),
        Distance("manhattan", keeps_digits=True),
        Distance(
            "inner_product",
            from_product=lambda products, ops=np: -products,
            to_sum=lambda distances, queries: -distances,
        ),
        Distance(
            "snr",  # var(a - b) / var(a), over the dimensions
            prepare=_centered,
            from_squares=lambda squares, queries, ops=np: squares / _power(queries, ops),
            to_sum=lambda distances, queries: distances * _spread(queries),
        ),
    )
}

#: Names of the distances.
DISTANCES = tuple(BY_NAME)


def pairwise(a: Tensor, b: Tensor, distance: str = "cosine", *, ops: ModuleType = np) -> Tensor:
    """Distance of every row of ``a`` to every row of ``b``: shape [num_queries, num_gallery].

    Args:
        a: Embeddings, shape [num_queries, dim].
        b: Embeddings, shape [num_gallery, dim].
        distance: ``cosine`` (1 - cosine similarity, 0 to 2), ``euclidean``,
            ``squared_euclidean``, ``manhattan``, ``inner_product`` (the negated product, so that
            smaller is closer) or ``snr`` (variance of a - b over the variance of a; not symmetric).
        ops: The module whose functions compute it: ``numpy``, or ``keras.ops`` inside a loss.

    Raises:
        ValueError: If the name is unknown or, for NumPy arrays, if a shape is wrong, a value
            is not finite or a distance is too large for float32.

    References:
        snr: Yuan et al., Signal-to-Noise Ratio, CVPR 2019. https://arxiv.org/abs/1904.02616
    """
    measure = BY_NAME[_checks.one_of(distance, DISTANCES, name="distance")]
    if ops is not np:
        return measure.pairwise(a, b, ops)
    a, b = _rows(a, b)
    if 0 in (len(a), len(b)):
        return np.zeros((len(a), len(b)), np.float32)
    again = measure.doubtful_rows(a, b)
    if not again.any():
        return measure.pairwise(a, b)
    result = np.empty((len(a), len(b)), np.float32)
    if not again.all():
        result[~again] = measure.pairwise(a[~again], b)
    precise = measure.pairwise(a[again].astype(np.float64), b.astype(np.float64))
    result[again] = measure.in_float32(precise)
    return result


def paired(a: ArrayLike, b: ArrayLike, distance: str = "cosine") -> NDArray[np.float32]:
    """Distance of every row of ``a`` to the row of ``b`` beside it: shape [num_pairs] float32.

    Differences are taken first, so that equal rows are at 0 wherever they lie (but for ``inner_product``).

    Args:
        a, b: Embeddings, shape [num_pairs, dim].
        distance: As in ``pairwise``.

    Raises:
        ValueError: As ``pairwise`` does, and if lengths differ.
    """
    measure = BY_NAME[_checks.one_of(distance, DISTANCES, name="distance")]
    one, other = _rows(a, b)
    _checks.same_length(one, other, "a and b")
    with np.errstate(over="ignore", invalid="ignore"):  # those are measured again
        result = measure.paired(one, other)
        again = measure.doubtful(result, one)
    if again.any():
        precise = measure.paired(one[again].astype(np.float64), other[again].astype(np.float64))
        result[again] = measure.in_float32(precise)
    return result


def _rows(a, b):
    a, b = _checks.embeddings(a, name="a"), _checks.embeddings(b, name="b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a and b must have the same dim, got {a.shape[1]} and {b.shape[1]}")
    return a, b
