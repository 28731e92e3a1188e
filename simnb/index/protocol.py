"""What every index does, and the values it gives back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

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
        class_names: Name of each label, where the index has names.
    """

    distances: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    distance: str | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self):
        """Check shapes and dtypes; distances of NaN or -inf are refused."""
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
    def names(self) -> np.ndarray:
        """Class name of each neighbor, shape [num_queries, k] object; None where there is none."""
        return names_of(self.labels, self.class_names)

    def __len__(self) -> int:
        """How many queries."""
        return len(self.distances)

    def __getitem__(self, rows) -> "Neighbors":
        """The neighbors of some queries: a slice, a mask or an array of positions."""
        if isinstance(rows, (int, np.integer)):
            rows = [rows]
        parts = (self.distances[rows], self.ids[rows], self.labels[rows])
        return Neighbors(*parts, self.distance, self.class_names)

    def first(self, k) -> "Neighbors":
        """The k nearest of each query's neighbors."""
        parts = (self.distances[:, :k], self.ids[:, :k], self.labels[:, :k])
        return Neighbors(*parts, self.distance, self.class_names)

    def without(self, ids: ArrayLike) -> "Neighbors":
        """The neighbors of queries that are rows of the gallery, without these rows themselves: k - 1 each.

        Args:
            ids: Id of each query's own row, shape [num_queries]; -1 for a query that has none. Where the row
                is not among the neighbors, the last of them goes.
        """
        own = np.asarray(ids)[:, None]
        itself = (self.ids == own) & (own >= 0)
        itself[~itself.any(axis=1), -1] = True
        others, shape = ~itself, (len(self), self.k - 1)
        parts = (
            self.distances[others].reshape(shape),
            self.ids[others].reshape(shape),
            self.labels[others].reshape(shape),
        )
        return Neighbors(*parts, self.distance, self.class_names)

    def __repr__(self) -> str:
        """Name the shape rather than print the arrays."""
        return f"Neighbors(num_queries={len(self)}, k={self.k}, distance={self.distance!r})"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of an index.

    Attributes:
        ids: Shape [n] int64.
        embeddings: Shape [n, dim] float32, as they were added.
        labels: Shape [n] int64; ``UNKNOWN`` where a row has none.
        metadata: Shape [n] object: a dict for each row, empty where a row has none.
        class_names: Name of each label, where the index has names.
    """

    ids: np.ndarray
    embeddings: np.ndarray
    labels: np.ndarray
    metadata: np.ndarray
    class_names: tuple[str, ...] | None = None

    @property
    def names(self) -> np.ndarray:
        """Class name of each row, shape [n] object; None where there is none."""
        return names_of(self.labels, self.class_names)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Name the shape rather than print the arrays."""
        return f"Rows({len(self)} rows, dim={self.embeddings.shape[1]})"


class Index(Protocol):
    """What every index offers, wherever its rows live.

    Ids are integers from 0 to 2**62 - 1, unique in an index. Labels are integers, or strings: then
    ``class_names`` names them, and ``labels`` are positions in it. Metadata are a few plain values a row
    (str, int, float, bool, bytes) under names such as ``source``.

    ``where`` names conditions that all have to hold, on ``label``, ``id`` or a name of the metadata:
    ``{"label": 3}`` equals, ``{"source": ["phone", "scan"]}`` is one of, and
    ``{"year": {">=": 2019, "<": 2024}}`` lies within. Numbers, strings, booleans and bytes are never equal to
    one another, and a row that lacks the value meets no condition on it. Text that UTF-8 cannot hold, such as
    some file names, is kept in an escaped form; a condition finds it by either form.

    Every method checks what it is given before anything is changed, and raises a ``ValueError`` that says
    what came and what was expected; after it the index is as it was. After a failure to write (``OSError``)
    it is, too; only Milvus may then hold a part of the rows, and says so.
    """

    distance: str

    @property
    def dim(self) -> int | None:
        """Length of an embedding; None until the first row is added."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label; None where labels are plain integers, or there are none yet."""

    @property
    def ids(self) -> np.ndarray:
        """Id of every row, in the order of ``blocks``: shape [len] int64."""

    @property
    def labels(self) -> np.ndarray:
        """Label of every row, in the order of ``blocks``: shape [len] int64."""

    @property
    def fingerprint(self) -> str:
        """A short name of the rows as they are, such as ``60,000 rows, 0123456789abcdef``.

        Equal where ids, embeddings and labels are, in whatever order. Milvus knows only how many there are.
        """

    def __len__(self) -> int:
        """How many rows are indexed."""

    def add(self, embeddings, labels=None, metadata=None, *, ids=None, existing="refuse") -> np.ndarray:
        """Add rows, all of them or none; return their ids, shape [num_examples] int64."""

    def search(self, embeddings, k=5, *, where=None) -> Neighbors:
        """Find the k nearest rows of each query, among those that meet all conditions of ``where``."""

    def get(self, ids=None) -> Rows:
        """Return rows by id, in the order of ``ids``, or all of them."""

    def blocks(self, size=10_000) -> Iterator[Rows]:
        """Go through all rows, ``size`` at a time."""

    def update(self, ids, *, embeddings=None, labels=None, metadata=None) -> None:
        """Change parts of rows, of all of them or none."""

    def remove(self, ids) -> None:
        """Remove rows, all of them or none."""

    def save(self, path) -> None:
        """Write all rows into one SQLite file that ``open_index`` opens."""

    def close(self) -> None:
        """Let go of files and connections; the index cannot be used afterwards."""


def check_distances(distances, *, name="distances"):
    """Return distances, where ``inf`` stands for no neighbor, or raise ValueError.

    No distance is ``-inf``: as a threshold, ``-inf`` rejects everything.
    """
    for what, wrong in (("NaN", np.isnan(distances)), ("-inf", np.isneginf(distances))):
        if wrong.any():
            raise ValueError(f"{name} must not be {what}, got {wrong.sum()} of them")
    return distances


def names_of(labels, class_names):
    """Class name of each label, an object array of the same shape; None for ``UNKNOWN``."""
    if class_names is None:
        raise ValueError("these labels are plain integers: the index was given no class names")
    if np.max(labels, initial=UNKNOWN) >= len(class_names):
        raise ValueError(f"label {np.max(labels)} has no name: there are {len(class_names)} class names")
    table = np.array([*class_names, None], object)  # UNKNOWN, -1, is the last
    return table[labels]
