"""The rows of an index in this process, at one moment: arrays that grow by doubling, and changes to them."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from simnb.index._sqlite_file import Settings
from simnb.index._validation import check_held
from simnb.index.results import Rows

_BLOCK = 16_384  # rows at a time
_ODD = np.uint64(0x9E3779B97F4A7C15)


def _nobody():
    return np.empty(0, np.int64)


@dataclass
class Changes:
    """What one call does to an index, all checked: rows are named by their positions in the table."""

    settings: Settings  # the old ones, with class names and next free id as they are afterwards
    removed: np.ndarray = field(default_factory=_nobody)
    replaced: np.ndarray = field(default_factory=_nobody)  # rows of which a part changes
    parts: dict = field(default_factory=dict)  # their new embeddings, labels and metadata, where these change
    added: Rows | None = None  # at least one
    result: np.ndarray | None = None  # what the call returns


class Table:
    """Columns of equal length, in the order the rows were added; each is an attribute.

    ``ids`` [n], ``embeddings`` [n, dim] and ``labels`` [n] are always there; ``metadata`` [n], dicts, or the
    ``keys`` [n] and ``checks`` [n] of a file, integers, where they are asked for.

    What adds or removes rows returns another table, and leaves this one as it was: new rows go where it has
    none yet. Only ``overwrite`` changes rows in place; doing that twice is the same as once.
    """

    def __init__(self, *more):
        self._columns = {name: np.empty(0, np.int64) for name in ("ids", "labels", *more)}
        self._columns["embeddings"] = np.empty((0, 0), np.float32)
        if "metadata" in more:
            self._columns["metadata"] = np.empty(0, object)
        self._count = 0
        self._order = None  # positions by ascending id; None where the ids ascend as they are

    def __len__(self):
        return self._count

    def __getattr__(self, name):
        columns = self.__dict__.get("_columns", {})
        if name not in columns:
            raise AttributeError(name)
        return columns[name][: self._count]

    @cached_property
    def fingerprint(self):
        return _fingerprint(self.ids, self.embeddings, self.labels)

    def after(self, changes, added=None):
        """Another table, without the rows that go, with those that are added; ``overwrite`` does the rest."""
        table = self._with(self._columns, self._count)
        if len(changes.removed):
            table = table._without(changes.removed)
        return table if added is None else table.longer(added)

    def overwrite(self, positions, parts):
        """Replace parts of rows in place: arrays by the name of their column, shape [n, ...]."""
        for name in parts.keys() & self._columns.keys():
            self._columns[name][positions] = parts[name]

    def copied(self):
        return self._with({name: getattr(self, name).copy() for name in self._columns}, self._count)

    def with_room(self, size, dim):
        """The table with memory for ``size`` rows in all."""
        old = self._columns
        if size <= len(old["ids"]) and old["embeddings"].shape[1]:
            return self
        columns = {name: np.empty(size, column.dtype) for name, column in old.items()}
        columns["embeddings"] = np.empty((size, dim), np.float32)
        if self._count:
            for name, column in columns.items():
                column[: self._count] = old[name][: self._count]
        return self._with(columns, self._count)

    def longer(self, added):
        """The table with rows at the end: arrays by the name of their column."""
        end = self._count + len(added["ids"])
        size = end if end <= len(self._columns["ids"]) else max(end, 2 * self._count)
        columns = self.with_room(size, added["embeddings"].shape[1])._columns
        for name, column in columns.items():
            column[self._count : end] = added[name]
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
        """Position of each id, shape [n] int64, or ValueError where one is not there."""
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


class State(NamedTuple):
    """An index at one moment. It is replaced whole: an interrupt leaves the old one or the new one."""

    table: Table
    settings: Settings


def _fingerprint(ids, embeddings, labels):
    """The number of rows, and a sum in which their order does not matter; it does not tell forgeries."""
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
