"""What every index does, and the values it gives back."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simnb import _checks

#: Label of what belongs to no known class, and of a neighbor that does not exist.
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest gallery rows of each query, nearest first.

    Attributes:
        distances: Shape [num_queries, k]; ``inf`` where the gallery had fewer than k rows.
        ids: Ids of the rows, shape [num_queries, k] int64; -1 where there was none.
        labels: Their labels, shape [num_queries, k] int64; ``UNKNOWN`` where there was none.
        distance: Name of the distance, where it is known.
    """

    distances: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    distance: str | None = None

    def __post_init__(self):
        """Check shapes and dtypes; NaN distances are refused."""
        distances = np.asarray(self.distances)
        if distances.dtype not in (np.float32, np.float64):
            distances = distances.astype(np.float32)
        if distances.ndim != 2 or distances.shape[1] == 0:
            raise ValueError(f"distances must have shape [num_queries, k], got {distances.shape}")
        if np.isnan(distances).any():
            raise ValueError(f"distances must not be NaN, got {np.isnan(distances).sum()} of them")
        object.__setattr__(self, "distances", distances)
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

    def __len__(self) -> int:
        """How many queries."""
        return len(self.distances)

    def __getitem__(self, rows) -> "Neighbors":
        """The neighbors of some queries: a slice, a mask or an array of positions."""
        if isinstance(rows, (int, np.integer)):
            rows = [rows]
        return Neighbors(self.distances[rows], self.ids[rows], self.labels[rows], self.distance)

    def __repr__(self) -> str:
        """Name the shape rather than print the arrays."""
        return f"Neighbors(num_queries={len(self)}, k={self.k}, distance={self.distance!r})"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of an index: ids [n], embeddings [n, dim], labels [n]."""

    ids: np.ndarray
    embeddings: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """How many rows."""
        return len(self.ids)


class Index(Protocol):
    """What every index offers, wherever its rows live."""

    distance: str

    @property
    def dim(self) -> int | None:
        """Length of an embedding; None until the first row is added."""

    @property
    def ids(self) -> np.ndarray:
        """Id of every row, in the order they were added: shape [len] int64."""

    @property
    def labels(self) -> np.ndarray:
        """Label of every row, in the order they were added: shape [len] int64."""

    def __len__(self) -> int:
        """How many rows are indexed."""

    def add(self, embeddings, labels=None, *, ids=None) -> np.ndarray:
        """Add rows; return their ids, shape [num_examples] int64."""

    def search(self, embeddings, k=5) -> Neighbors:
        """Find the k nearest rows of each query."""

    def get(self, ids=None) -> Rows:
        """Return rows by id, or all of them in the order they were added."""

    def remove(self, ids) -> None:
        """Remove rows by id."""


def check_new_rows(embeddings, labels, ids, *, index, next_id):
    """Check what is about to be added to ``index``; return float32 rows, int64 labels and ids."""
    cosine = index.distance == "cosine"
    embeddings = _checks.embeddings(embeddings, dim=index.dim, nonzero=cosine)
    count = len(embeddings)
    labels = np.full(count, UNKNOWN, np.int64) if labels is None else _checks.labels(labels, count=count)
    if ids is None:
        return embeddings, labels, np.arange(next_id, next_id + count, dtype=np.int64)
    ids = _checks.labels(ids, count=count, name="ids")
    if ((ids < 0) | (ids >= 2**62)).any():
        raise ValueError(f"ids must be from 0 to 2**62 - 1, got {ids.min()} to {ids.max()}")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < count:
        raise ValueError(f"ids must be unique, got {unique[counts > 1][0]} more than once")
    return embeddings, labels, ids
