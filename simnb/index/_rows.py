"""The rows of an index in this process, at one moment: arrays that grow by doubling, and changes to them."""

from dataclasses import dataclass, field

import numpy as np

from simnb.index._sqlite_file import Settings
from simnb.index._validation import check_held
from simnb.index.results import Rows

_BLOCK = 16_384  # rows at a time
_ODD = np.uint64(0x9E3779B97F4A7C15)


def nobody():
    """No positions."""
    return np.empty(0, np.int64)


@dataclass
class Changes:
    """What one call does to an index, all checked: rows are named by their positions in the table.

    Attributes:
        class_names: Name of each label afterwards.
        next_id: The next free id afterwards.
        removed: Positions of rows that go.
        replaced: Positions of rows of which a part changes.
        parts: New ``embeddings``, ``labels`` and ``metadata`` of those, each one a position or missing.
        added: New ``Rows``, at least one, or None.
    """

    class_names: tuple[str, ...] | None
    next_id: int
    removed: np.ndarray = field(default_factory=nobody)
    replaced: np.ndarray = field(default_factory=nobody)
    parts: dict = field(default_factory=dict)
    added: Rows | None = None

    @property
    def of_embeddings(self):
        """Whether a row is added or removed, or an embedding changes."""
        return "embeddings" in self.parts or self.added is not None or len(self.removed) > 0

    @property
    def only_adds(self):
        """Whether rows are added, and none is removed or gets another embedding."""
        return self.added is not None and len(self.removed) == 0 and "embeddings" not in self.parts


class Table:
    """Columns of equal length, in the order the rows were added.

    ``ids`` [n], ``embeddings`` [n, dim] and ``labels`` [n] are always there; ``metadata`` [n], dicts, or the
    ``keys`` [n] and ``checks`` [n] of a file, integers, where they are asked for. A column is an attribute: a
    view of the rows that are there.

    What adds or removes rows returns another table, and leaves this one as it was: new rows go where it has
    none yet. Only ``overwrite`` changes rows in place; doing that twice is the same as once.
    """

    def __init__(self, *more):
        """Start empty; ``more`` names further columns."""
        dtypes = {"ids": np.int64, "embeddings": np.float32, "labels": np.int64}
        dtypes |= {name: object if name == "metadata" else np.int64 for name in more}
        self._columns = {
            name: np.empty((0, 0) if name == "embeddings" else 0, dtype) for name, dtype in dtypes.items()
        }
        self._count = 0
        self._order = None  # positions by ascending id; None where the ids ascend as they are
        self._fingerprint = None

    def __len__(self):
        return self._count

    def __getattr__(self, name):
        columns = self.__dict__.get("_columns", {})
        if name not in columns:
            raise AttributeError(name)
        return columns[name][: self._count]

    @property
    def dim(self):
        """Length of an embedding; None until the first row is added."""
        return self._columns["embeddings"].shape[1] or None

    @property
    def fingerprint(self):
        """What names the rows as they are."""
        if self._fingerprint is None:
            self._fingerprint = _fingerprint(self.ids, self.embeddings, self.labels)
        return self._fingerprint

    def after(self, changes, numbers=None):
        """Another table, with the rows that changes add and without those they remove.

        Args:
            changes: ``Changes``; what they replace is left to ``overwrite``.
            numbers: Of the added rows in a file: key, id, label and check of each, shape [n, 4].
        """
        table = self._with(self._columns, self._count)
        if len(changes.removed):
            table = table._without(changes.removed)
        if changes.added is not None:
            table = table.longer(changes.added, numbers)
        return table

    def overwrite(self, positions, parts):
        """Replace parts of rows in place: arrays by the name of their column, shape [n, ...]."""
        for name in parts.keys() & self._columns.keys():
            self._columns[name][positions] = parts[name]

    def copied(self):
        """A table with memory of its own."""
        return self._with({name: getattr(self, name).copy() for name in self._columns}, self._count)

    def with_room(self, size, dim):
        """The table with memory for ``size`` rows in all."""
        if size <= len(self._columns["ids"]) and self.dim is not None:
            return self
        columns = {}
        for name, old in self._columns.items():
            columns[name] = np.empty((size, dim) if name == "embeddings" else size, old.dtype)
            if self._count:
                columns[name][: self._count] = old[: self._count]
        return self._with(columns, self._count)

    def longer(self, rows, numbers=None):
        """The table with ``Rows`` at the end; ``numbers`` are those in a file, shape [n, 4]."""
        end = self._count + len(rows)
        size = end if end <= len(self._columns["ids"]) else max(end, 2 * self._count)
        columns = self.with_room(size, rows.embeddings.shape[1])._columns
        for name, column in columns.items():
            of_file = {"keys": 0, "checks": 3}.get(name)
            column[self._count : end] = getattr(rows, name) if of_file is None else numbers[:, of_file]
        new = columns["ids"][max(self._count - 1, 0) : end]
        return self._with(columns, end, sort=self._order is not None or not (np.diff(new) > 0).all())

    def find(self, ids):
        """Position of each id, shape [n] int64; -1 where there is none."""
        slots = np.searchsorted(self.ids, ids, sorter=self._order)
        inside = np.flatnonzero(slots < self._count)
        at = slots[inside] if self._order is None else self._order[slots[inside]]
        positions = np.full(len(ids), -1, np.int64)
        positions[inside] = np.where(self.ids[at] == ids[inside], at, -1)
        return positions

    def positions(self, ids):
        """Position of each id, shape [n] int64.

        Raises:
            ValueError: If one is not there.
        """
        positions = self.find(ids)
        check_held(ids, positions >= 0)
        return positions

    def _without(self, positions):
        keep = np.ones(self._count, bool)
        keep[positions] = False
        columns = {name: column[: self._count][keep] for name, column in self._columns.items()}
        return self._with(columns, int(keep.sum()), sort=not (np.diff(columns["ids"]) > 0).all())

    def _with(self, columns, count, sort=None):
        """A table of columns; ``sort`` says whether their ids need an order, None to keep this one's."""
        table = Table()
        table._columns, table._count = columns, count
        table._order = self._order if sort is None else np.argsort(columns["ids"][:count]) if sort else None
        return table


@dataclass(frozen=True, eq=False)
class State:
    """An index at one moment. It is replaced whole: an interrupt leaves the old one or the new one.

    Attributes:
        table: The rows.
        distance: What they are searched by.
        class_names: Name of each label, or None.
        next_id: The next free id.
        settings: What the file says of its rows, where the rows of record are in one.
    """

    table: Table
    distance: str
    class_names: tuple[str, ...] | None = None
    next_id: int = 0
    settings: Settings | None = None

    @property
    def dim(self):
        """Length of an embedding; None until the first row is added."""
        return self.table.dim


def _fingerprint(ids, embeddings, labels):
    """A short name of rows as they are: their number, and a sum in which their order does not matter.

    It tells changes from one another, not forgeries: a sum of 64 bits.
    """
    weights = np.random.default_rng(0).integers(0, 2**63, embeddings.shape[1], dtype=np.uint64)
    weights = weights * np.uint64(2) + np.uint64(1)
    total = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for start in range(0, len(ids), _BLOCK):
            rows = slice(start, start + _BLOCK)
            bits = np.ascontiguousarray(embeddings[rows]).view(np.uint32).astype(np.uint64)
            mixed = _mix((bits * weights).sum(axis=1, dtype=np.uint64))
            for numbers in (ids, labels):
                mixed = _mix(mixed + numbers[rows].astype(np.uint64))
            total += mixed.sum(dtype=np.uint64)
    return f"{len(ids):,} rows, {int(total):016x}"


def _mix(values):
    values = (values ^ (values >> np.uint64(29))) * _ODD
    return values ^ (values >> np.uint64(32))
