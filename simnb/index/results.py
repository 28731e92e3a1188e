"""What an index gives back: the neighbors of queries, and rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb._types import UNKNOWN


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest gallery rows of each query, nearest first; its length is the number of queries.

    Attributes:
        distances: Shape [num_queries, k]; ``inf`` where the gallery had fewer than k rows. NaN and ``-inf``
            are refused.
        ids: Ids of the rows, shape [num_queries, k] int64; -1 where there was none.
        labels: Their labels, shape [num_queries, k] int64; ``UNKNOWN`` where there was none.
        distance: Name of the distance, where it is known.
        class_names: Name of each label, where the index has names.
    """

    distances: NDArray[np.floating]
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    distance: str | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self):
        distances = np.asarray(self.distances)
        if distances.dtype not in (np.float32, np.float64):
            distances = distances.astype(np.float32)
        if distances.ndim != 2 or distances.shape[1] == 0:
            raise ValueError(f"distances must have shape [num_queries, k], got {distances.shape}")
        object.__setattr__(self, "distances", check_distances(distances))
        for name in ("ids", "labels"):
            array = np.asarray(getattr(self, name))
            if array.shape != distances.shape or array.dtype.kind not in "iu":
                raise ValueError(
                    f"{name} must be integers of shape {distances.shape} like distances, "
                    f"got {array.dtype} of shape {array.shape}"
                )
            object.__setattr__(self, name, array.astype(np.int64, copy=False))

    @property
    def k(self) -> int:
        """How many neighbors each query has."""
        return self.distances.shape[1]

    @property
    def names(self) -> NDArray[np.object_]:
        """Class name of each neighbor, shape [num_queries, k] object; None where there is none."""
        return names_of(self.labels, self.class_names)

    def __len__(self) -> int:
        return len(self.distances)

    def __getitem__(self, rows: int | slice | list[int] | NDArray) -> "Neighbors":
        """The neighbors of some queries: a slice, a mask or an array of positions."""
        return self._at([rows] if isinstance(rows, int | np.integer) else rows)

    def first(self, k: int) -> "Neighbors":
        """The k nearest of each query's neighbors."""
        return self._at(slice(None), slice(k))

    def without(self, ids: ArrayLike) -> "Neighbors":
        """The neighbors of queries that are rows of the gallery, without these rows themselves: k - 1 each.

        Args:
            ids: Id of each query's own row, shape [num_queries]; -1 for a query that has none. Where the row
                is not among the neighbors, the last of them goes.
        """
        own = np.asarray(ids)[:, None]
        itself = (self.ids == own) & (own >= 0)
        itself[~itself.any(axis=1), -1] = True
        columns = np.nonzero(~itself)[1].reshape(len(self), self.k - 1)
        return self._at(np.arange(len(self))[:, None], columns)

    def _at(self, *where):
        parts = (self.distances[where], self.ids[where], self.labels[where])
        return Neighbors(*parts, self.distance, self.class_names)

    def __repr__(self) -> str:
        return f"Neighbors(num_queries={len(self)}, k={self.k}, distance={self.distance!r})"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of an index; its length is how many there are.

    Attributes:
        ids: Shape [n] int64.
        embeddings: Shape [n, dim] float32, as they were added.
        labels: Shape [n] int64; ``UNKNOWN`` where a row has none.
        metadata: Shape [n] object: a dict for each row, empty where a row has none.
        class_names: Name of each label, where the index has names.
    """

    ids: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    labels: NDArray[np.int64]
    metadata: NDArray[np.object_]
    class_names: tuple[str, ...] | None = None

    @property
    def names(self) -> NDArray[np.object_]:
        """Class name of each row, shape [n] object; None where there is none."""
        return names_of(self.labels, self.class_names)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Rows({len(self)} rows, dim={self.embeddings.shape[1]})"


def no_neighbors(num_queries: int, k: int) -> tuple[NDArray, NDArray, NDArray]:
    """Distances, ids and labels of neighbors that do not exist, each of shape [num_queries, k]."""
    shape = (num_queries, k)
    return np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int64), np.full(shape, UNKNOWN, np.int64)


def check_distances(distances: NDArray[np.floating], *, name: str = "distances") -> NDArray[np.floating]:
    """Return distances, or raise ValueError for NaN and for ``-inf``, a threshold that rejects everything."""
    for what, wrong in (("NaN", np.isnan(distances)), ("-inf", np.isneginf(distances))):
        if wrong.any():
            raise ValueError(f"{name} must not be {what}, got {wrong.sum()} of them")
    return distances


def names_of(labels: NDArray[np.int64], class_names: tuple[str, ...] | None) -> NDArray[np.object_]:
    """Class name of each label, an object array of the same shape; None for ``UNKNOWN``."""
    if class_names is None:
        raise ValueError("these labels are plain integers: the index was given no class names")
    if np.max(labels, initial=UNKNOWN) >= len(class_names):
        raise ValueError(f"label {np.max(labels)} has no name: there are {len(class_names)} class names")
    table = np.array([*class_names, None], object)  # UNKNOWN, -1, is the last
    return table[labels]
