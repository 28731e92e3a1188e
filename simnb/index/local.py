"""What indexes that search in this process share: how they search, and what they give back."""

import threading

import numpy as np

from simnb import _checks
from simnb.distances import DISTANCES
from simnb.index import _filters
from simnb.index._incoming import (
    EXISTING,
    check_class_names,
    check_embeddings,
    check_ids,
    check_metadata,
    encode_labels,
    merged,
    next_ids,
    taken_ids,
)
from simnb.index._table import Changes, Table
from simnb.index.exact import ExactSearch
from simnb.index.hnsw import HnswSearch, Tuning
from simnb.index.protocol import UNKNOWN, Neighbors, Rows

SEARCHES = ("exact", "hnsw")


class LocalIndex:
    """Rows in arrays of this process, searched exactly or over a graph.

    Subclasses say where the rows of record are: they bring ``self._table`` up to date (``_refresh``), make
    ``Changes`` last (``_writing``), and know the metadata (``_meet``, ``_metadata``).
    """

    def __init__(self, *, distance="cosine", search="exact", recall=0.95, class_names=None):
        """Start empty."""
        self.distance = _checks.one_of(distance, DISTANCES, name="distance")
        self._kind = _checks.one_of(search, SEARCHES, name="search")
        self._wanted_recall = check_recall(recall)
        self._class_names = check_class_names(class_names)
        self._table = Table(*self._more_columns)
        self._next_id = 0
        self._lock = threading.RLock()  # widgets call from other threads
        self._exact = None  # ExactSearch over the rows as they are now, or None
        self._hnsw = None  # the same, a graph
        self._old_hnsw = None  # a graph over the first of the rows

    @property
    def dim(self):
        """Length of an embedding; None until the first row is added."""
        self._refresh()
        return self._table.dim

    @property
    def class_names(self):
        """Name of each label; None where labels are plain integers, or there are none yet."""
        self._refresh()
        return self._class_names

    @property
    def ids(self):
        """Id of every row, in the order they were added: shape [len] int64."""
        self._refresh()
        return self._table.ids.copy()

    @property
    def labels(self):
        """Label of every row, in the order they were added: shape [len] int64."""
        self._refresh()
        return self._table.labels.copy()

    @property
    def fingerprint(self):
        """A short name of the rows as they are: of their ids, embeddings and labels, in any order."""
        with self._reading():
            return self._table.fingerprint

    def __len__(self):
        """How many rows are indexed."""
        self._refresh()
        return len(self._table)

    def __enter__(self):
        """The index itself."""
        return self

    def __exit__(self, *_):
        """Close."""
        self.close()

    def add(self, embeddings, labels=None, metadata=None, *, ids=None, existing="refuse"):
        """Add rows, all of them or none.

        Args:
            embeddings: Shape [num_examples, dim]; not all zero under cosine.
            labels: Integers or strings, shape [num_examples]; ``UNKNOWN`` when left out.
            metadata: A list of dicts, one a row, or a dict of columns; see ``Index``.
            ids: Integers from 0 to 2**62 - 1, unique, shape [num_examples]; the next free ones when left out.
            existing: What happens to ids that the index holds: ``refuse`` all rows with a ValueError,
                ``replace`` the old rows, or ``skip`` the new ones.

        Returns:
            The ids, shape [num_examples] int64.

        Raises:
            ValueError: If anything is malformed or an id is taken; the index is then unchanged.
        """
        _checks.one_of(existing, EXISTING, name="existing")
        with self._writing() as write:
            embeddings = check_embeddings(embeddings, index=self)
            labels, names = self._encoded(labels, len(embeddings))
            metadata = check_metadata(metadata, count=len(embeddings))
            ids = next_ids(ids, len(embeddings), self._next_id)
            old = self._table.find(ids)
            new, both = old < 0, old >= 0
            if both.any() and existing == "refuse":
                raise ValueError(taken_ids(ids[both]))
            changes = Changes(class_names=names, next_id=max(self._next_id, int(ids.max(initial=-1)) + 1))
            changes.added = Rows(ids[new], embeddings[new], labels[new], metadata[new])
            if existing == "replace" and both.any():
                changes.replaced = old[both]
                changes.parts = {
                    "embeddings": embeddings[both],
                    "labels": labels[both],
                    "metadata": metadata[both],
                }
            write(changes)
        return ids

    def update(self, ids, *, embeddings=None, labels=None, metadata=None):
        """Change parts of rows, of all of them or none.

        Args:
            ids: Shape [n].
            embeddings: New ones, shape [n, dim]; kept when left out.
            labels: New ones, shape [n]; kept when left out.
            metadata: Values to set, as in ``add``; None removes one, and what is not named stays.

        Raises:
            ValueError: If an id is not in the index or anything is malformed; nothing is then changed.
        """
        with self._writing() as write:
            ids = check_ids(ids)
            changes = Changes(replaced=self._table.positions(ids), next_id=self._next_id)
            if embeddings is not None:
                embeddings = check_embeddings(embeddings, index=self)
                _checks.same_length(embeddings, ids, "embeddings and ids")
                changes.parts["embeddings"] = embeddings
            changes.class_names = self._class_names
            if labels is not None:
                changes.parts["labels"], changes.class_names = self._encoded(labels, len(ids))
            if metadata is not None:
                metadata = check_metadata(metadata, count=len(ids), removing=True)
                changes.parts["metadata"] = merged(self._metadata(changes.replaced), metadata)
            write(changes)

    def remove(self, ids):
        """Remove rows, all of them or none.

        Args:
            ids: Shape [n].

        Raises:
            ValueError: If an id is not in the index; nothing is then removed.
        """
        with self._writing() as write:
            removed = self._table.positions(check_ids(ids))
            write(Changes(removed=removed, class_names=self._class_names, next_id=self._next_id))

    def search(self, embeddings, k=5, *, where=None):
        """Find the k nearest rows of each query.

        Args:
            embeddings: Queries, shape [num_queries, dim].
            k: How many neighbors. Where there are fewer rows, the rest of each line is padded with
                distance ``inf``, id -1 and label ``UNKNOWN``.
            where: Conditions that rows have to meet (see ``Index``). Such a search is exact: it returns k
                rows where k meet them.

        Returns:
            ``Neighbors``, nearest first; equal distances in the order the rows were added.

        Raises:
            ValueError: If the queries or a condition are malformed, or k is below 1.
        """
        with self._reading():
            return self._found(embeddings, k, where)

    def _found(self, embeddings, k, where):
        queries = check_embeddings(embeddings, index=self, name="queries")
        k = _checks.positive_int(k, name="k")
        wanted = _filters.conditions(where, self._class_names)
        among = np.flatnonzero(self._meet(wanted)) if wanted and len(self._table) else None
        table, shape = self._table, (len(queries), k)
        distances = np.full(shape, np.inf, np.float32)
        ids = np.full(shape, -1, np.int64)
        labels = np.full(shape, UNKNOWN, np.int64)
        if len(table) and len(queries):
            found = min(k, len(table) if among is None else len(among))
            if found:
                distances[:, :found], positions = self._nearest(queries, found, among)
                ids[:, :found] = table.ids[positions]
                labels[:, :found] = table.labels[positions]
        return Neighbors(distances, ids, labels, self.distance, self._class_names)

    def get(self, ids=None):
        """Return rows.

        Args:
            ids: Shape [n]; all rows, in the order they were added, when left out.

        Returns:
            ``Rows``: copies, in the order of ``ids``.

        Raises:
            ValueError: If an id is not in the index.
        """
        with self._reading():
            if ids is None:
                return self._rows(np.arange(len(self._table)))
            return self._rows(self._table.positions(check_ids(ids, unique=False)))

    def blocks(self, size=10_000):
        """Go through all rows, in the order they were added, ``size`` at a time.

        Rows that are added or removed meanwhile may or may not be among them.
        """
        size = _checks.positive_int(size, name="size")
        ids = self.ids
        for start in range(0, len(ids), size):
            with self._reading():
                positions = self._table.find(ids[start : start + size])
                rows = self._rows(positions[positions >= 0])
            yield rows

    def tune(self, queries, target_recall=0.95, *, k=10):
        """Choose how thoroughly the graph is searched, on queries of your own.

        The nearest k found are compared with those of exact search, from the fastest setting on, until the
        target is reached. It needs ``search="hnsw"``.

        Args:
            queries: Embeddings like those that will be asked, shape [num_queries, dim]; some hundreds.
            target_recall: Share of the true k nearest that is to be found.
            k: How many neighbors.

        Returns:
            A list of ``Tuning(breadth, recall, milliseconds)``, one for each setting tried; the last is used
            until the graph is measured or built again, as the index grows or rows are removed.

        Raises:
            ValueError: If the index is empty or not searched by a graph, or something is malformed.
        """
        with self._reading():
            queries = check_embeddings(queries, index=self, name="queries")
            queries = _checks.not_empty(queries, name="queries")
            k = min(_checks.positive_int(k, name="k"), len(self._table))
            self._check_graph("tune")
            return self._graph().tune(queries, check_recall(target_recall, name="target_recall"), k)

    @property
    def recall(self) -> Tuning:
        """What the graph finds of the true 10 nearest, as it was last measured.

        A ``Tuning(breadth, recall, milliseconds)``: of some of the index's own rows, when the graph is built
        and as it grows, or of the queries that ``tune`` was given.

        Raises:
            ValueError: If the index is empty or not searched by a graph.
        """
        with self._reading():
            self._check_graph("recall")
            return self._graph().measured

    def _nearest(self, queries, k, among):
        if among is not None:
            distances, positions = ExactSearch(self._table.embeddings[among], self.distance)(queries, k)
            return distances, among[positions]
        if self._kind == "hnsw":
            return self._graph()(queries, k)
        return self._exact_search()(queries, k)

    def _exact_search(self):
        if self._exact is None:
            self._exact = ExactSearch(self._table.embeddings, self.distance)
        return self._exact

    def _graph(self):
        if self._hnsw is None:
            # An extension that is broken off leaves an old graph of no use: it is let go of first.
            old, self._old_hnsw = self._old_hnsw, None
            rows, options = self._table.embeddings, self._kept_graph()
            self._hnsw = HnswSearch(
                self._exact_search(), rows, recall=self._wanted_recall, old=old, **options
            )
        return self._hnsw

    def _kept_graph(self):
        """Where a graph is kept, and what names the state of the rows: ``cache`` and ``stamp``."""
        return {}

    def _stale(self, *, only_added=False):
        """Forget what was made ready for search; a graph can go on where rows were only added."""
        self._old_hnsw = (self._hnsw or self._old_hnsw) if only_added else None
        self._exact = self._hnsw = None

    def _check_graph(self, verb):
        if self._kind != "hnsw":
            raise ValueError(f'{verb} needs open_index(..., search="hnsw"): exact search always finds all')
        if len(self._table) == 0:
            raise ValueError(f"{verb} needs rows, but the index is empty: call add(...) first")

    def _encoded(self, labels, count):
        labelled = bool((self._table.labels != UNKNOWN).any())
        return encode_labels(labels, count=count, class_names=self._class_names, labelled=labelled)

    def _apply(self, changes, numbers=None):
        """Make changes to the arrays, once they are sure to last."""
        if changes.of_embeddings:
            self._stale(only_added=changes.only_adds)
        self._table.apply(changes, numbers)
        self._class_names, self._next_id = changes.class_names, changes.next_id

    def _rows(self, positions):
        table = self._table
        metadata = self._metadata(positions)
        parts = (table.ids[positions], table.embeddings[positions], table.labels[positions])
        return Rows(*parts, metadata, self._class_names)


def check_recall(value, *, name="recall"):
    """A share above 0 and at most 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a share above 0 and at most 1, got {value!r}")
    return float(value)
