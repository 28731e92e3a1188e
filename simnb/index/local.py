"""Indexes that are searched in this process: what they share, and the one whose rows are in memory only."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb.distances import DISTANCES
from simnb.index import _calls, _filters
from simnb.index._rows import Changes, State, Table
from simnb.index._sqlite_file import write_file
from simnb.index._validation import (
    SEARCHES,
    check_class_names,
    check_embeddings,
    check_graph,
    check_metadata,
    check_recall,
    encode_labels,
    merged,
    next_ids,
    taken_ids,
)
from simnb.index.base import Index
from simnb.index.exact import ExactSearch
from simnb.index.hnsw import HnswSearch
from simnb.index.results import UNKNOWN, Neighbors, Rows, no_neighbors


class LocalIndex(Index):
    """Rows in arrays of this process, searched exactly or over a graph.

    Every verb is one piece of work, done while no other thread uses the index (``_alone``), on the rows of
    record as they are then (``_now``); what changes rows plans ``Changes``, which are then made
    (``_changed``). Subclasses say where the rows of record are, by the last two, and know the metadata
    (``_meet``, ``_metadata``).
    """

    def __init__(self, *, distance, search, recall, class_names):
        distance = _checks.one_of(distance, DISTANCES, name="distance")
        self._kind = _checks.one_of(search, SEARCHES, name="search")
        self._wanted_recall = check_recall(recall)
        self._state = State(Table(*self._more_columns), distance, check_class_names(class_names))
        self._decided = None  # a change that is sure and not yet made: what to overwrite, and the state then
        self._refusal = None  # why it cannot be used
        self._calls = _calls.Calls(self._name())
        self._exact = None  # ExactSearch over the rows as they are now, or None
        self._hnsw = None  # the same, a graph
        self._old_hnsw = None  # a graph over the first of the rows
        _calls.watch(self)

    @property
    def distance(self) -> str:
        """What rows are searched by: one of ``simnb.distances.DISTANCES``."""
        return self._read(lambda: self._state.distance)

    @property
    def dim(self) -> int | None:
        """Length of an embedding; None until the first row is added."""
        return self._read(lambda: self._state.dim)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label; None where labels are plain integers, or there are none yet."""
        return self._read(lambda: self._state.class_names)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Id of every row, in the order they were added: shape [len] int64."""
        return self._read(lambda: self._table.ids.copy())

    @property
    def labels(self) -> NDArray[np.int64]:
        """Label of every row, in the order they were added: shape [len] int64."""
        return self._read(lambda: self._table.labels.copy())

    @property
    def next_id(self) -> int:
        """The id that the next row gets: one that no row has had."""
        return self._read(lambda: self._state.next_id)

    @property
    def fingerprint(self) -> str:
        """A short name of the rows as they are: of their ids, embeddings and labels, in any order."""
        return self._read(lambda: self._table.fingerprint)

    def __len__(self) -> int:
        return self._read(lambda: len(self._table))

    def close(self) -> None:
        """Let go of the rows; the index refuses every call from now on."""
        self._alone(self._close)

    def _close(self):
        self._refusal = "is closed: open it again"
        self._state = State(Table(*self._more_columns), self._state.distance)
        self._decided = None
        self._stale()

    def number_from(self, next_id: int) -> None:
        """Number new rows from ``next_id``, or from where they would begin anyway, if that is higher."""

        def numbered():
            state = self._state
            return Changes(state.class_names, max(state.next_id, next_id)), None

        self._change(numbered)

    def _add(self, *arguments):
        return self._change(self._adding, *arguments)

    def _adding(self, embeddings, labels, metadata, ids, existing):
        table, next_id = self._table, self._state.next_id
        embeddings = check_embeddings(embeddings, index=self._state)
        labels, names = self._encoded(labels, len(embeddings))
        metadata = check_metadata(metadata, count=len(embeddings))
        ids = next_ids(ids, len(embeddings), next_id)
        old = table.find(ids)
        new, both = old < 0, old >= 0
        if both.any() and existing == "refuse":
            raise ValueError(taken_ids(ids[both]))
        changes = Changes(names, max(next_id, int(ids.max(initial=-1)) + 1))
        if new.any():
            changes.added = Rows(ids[new], embeddings[new], labels[new], metadata[new])
        if existing == "replace" and both.any():
            changes.replaced = old[both]
            changes.parts = {
                "embeddings": embeddings[both],
                "labels": labels[both],
                "metadata": metadata[both],
            }
        return changes, ids

    def _update(self, *arguments):
        self._change(self._updating, *arguments)

    def _updating(self, ids, embeddings, labels, metadata):
        state = self._state
        changes = Changes(state.class_names, state.next_id, replaced=state.table.positions(ids))
        if embeddings is not None:
            embeddings = check_embeddings(embeddings, index=state)
            _checks.same_length(embeddings, ids, "embeddings and ids")
            changes.parts["embeddings"] = embeddings
        if labels is not None:
            changes.parts["labels"], changes.class_names = self._encoded(labels, len(ids))
        if metadata is not None:
            metadata = check_metadata(metadata, count=len(ids), removing=True)
            changes.parts["metadata"] = merged(self._metadata(changes.replaced), metadata)
        return changes, None

    def _remove(self, ids):
        self._change(self._removing, ids)

    def _removing(self, ids):
        state = self._state
        return Changes(state.class_names, state.next_id, removed=state.table.positions(ids)), None

    def _search(self, *arguments):
        return self._alone(self._searched, *arguments)

    def _searched(self, embeddings, k, where):
        queries, k, among = self._now(self._asked, embeddings, k, where)
        return self._found(queries, k, among)  # others may write to the file meanwhile

    def _asked(self, embeddings, k, where):
        queries = check_embeddings(embeddings, index=self._state, name="queries")
        wanted = _filters.conditions(where, self._state.class_names)
        return queries, k, np.flatnonzero(self._meet(wanted)) if wanted and len(self._table) else None

    def _found(self, queries, k, among):
        table = self._table
        distances, ids, labels = no_neighbors(len(queries), k)
        if len(table) and len(queries):
            found = min(k, len(table) if among is None else len(among))
            if found:
                distances[:, :found], positions = self._nearest(queries, found, among)
                ids[:, :found] = table.ids[positions]
                labels[:, :found] = table.labels[positions]
        return Neighbors(distances, ids, labels, self._state.distance, self._state.class_names)

    def _get(self, ids):
        return self._read(self._got, ids)

    def _got(self, ids):
        table = self._table
        return self._rows(np.arange(len(table)) if ids is None else table.positions(ids))

    def _blocks(self, size):
        ids = self.ids
        for start in range(0, len(ids), size):
            yield self._read(self._those_left, ids[start : start + size])

    def _those_left(self, ids):
        positions = self._table.find(ids)
        return self._rows(positions[positions >= 0])

    def _save(self, path):
        self._alone(lambda: self._now(self._saved, path, also_gone=True))

    def _saved(self, path):
        state, size = self._state, 10_000
        blocks = (
            self._rows(np.arange(start, min(start + size, len(state.table))))
            for start in range(0, len(state.table), size)
        )
        write_file(
            path, blocks, distance=state.distance, class_names=state.class_names, next_id=state.next_id
        )

    def _tune(self, queries, target, k):
        def tuned():
            checked, most = self._now(self._tuning, queries, k)
            return self._graph().tune(checked, target, most)

        return self._alone(tuned)

    def _tuning(self, queries, k):
        queries = check_embeddings(queries, index=self._state, name="queries")
        queries = _checks.not_empty(queries, name="queries")
        self._check_graph("tune")
        return queries, min(k, len(self._table))

    def _recall(self):
        def measured():
            self._now(self._check_graph, "recall")
            return self._graph().measured

        return self._alone(measured)

    def _check_graph(self, verb):
        check_graph(verb, search=self._kind, count=len(self._table))

    def _alone(self, work, *arguments):
        return self._calls.alone(work, *arguments)

    def _read(self, work, *arguments):
        return self._alone(self._now, work, *arguments)

    def _change(self, plan, *arguments):
        return self._alone(self._changed, plan, *arguments)

    def _where(self):
        return ""

    def _name(self):
        return f"the index {self._where()}".rstrip()

    def _is_closed(self):
        return self._refusal is not None

    @property
    def _table(self):
        return self._state.table

    def _decide(self, changes, table, distance, settings=None):
        """Make changes that are sure to last. An interrupt from here on does not stop them.

        Args:
            changes: ``Changes``.
            table: The ``Table.after`` them, for which there was memory.
            distance: What the rows are searched by afterwards.
            settings: What the file says of its rows afterwards.
        """
        state = State(table, distance, changes.class_names, changes.next_id, settings)
        if changes.of_embeddings:
            self._stale(only_added=changes.only_adds)
        self._decided = (changes.replaced, changes.parts, state)
        self._complete()

    def _complete(self):
        """Make what is decided; refuse where the index cannot be used. The first step of every call."""
        if self._refusal:
            raise ValueError(f"{self._name()} {self._refusal}")
        if self._decided is not None:
            replaced, parts, state = self._decided
            if len(replaced):
                state.table.overwrite(replaced, parts)
            self._state = state
            self._decided = None

    def _nearest(self, queries, k, among):
        if among is not None:
            some_rows = ExactSearch(self._table.embeddings[among], self._state.distance)
            distances, positions = some_rows(queries, k)
            return distances, among[positions]
        if self._kind == "hnsw":
            return self._graph()(queries, k)
        return self._exact_search()(queries, k)

    def _exact_search(self):
        if self._exact is None:
            self._exact = ExactSearch(self._table.embeddings, self._state.distance)
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

    def _encoded(self, labels, count):
        labelled, names = bool((self._table.labels != UNKNOWN).any()), self._state.class_names
        return encode_labels(labels, count=count, class_names=names, labelled=labelled)

    def _rows(self, positions):
        table = self._table
        metadata = self._metadata(positions)
        parts = (table.ids[positions], table.embeddings[positions], table.labels[positions])
        return Rows(*parts, metadata, self._state.class_names)

    def before_fork(self, seconds: float) -> bool:
        """Wait until no other thread uses the index; says whether a forked process may use it."""
        return self._calls.before_fork(seconds)

    def after_fork(self, ready: bool, child: bool) -> None:
        """Go on, in parent and child; a child that may not use the index refuses."""
        if child and not ready:
            self._refusal = "was in use when this process was forked: only the parent process can use it"
        self._calls.after_fork(ready, child)


class MemoryIndex(LocalIndex):
    """Rows in arrays, gone with the process unless they are saved.

    Args:
        distance: One of ``simnb.distances.DISTANCES``.
        search: ``exact``, or ``hnsw`` for a graph that is built when it is first searched.
        recall: What share of the true neighbors the graph is to find.
        class_names: Name of each label.

    Example:
        >>> import numpy as np
        >>> from simnb.index import open_index
        >>> index = open_index(distance="cosine")
        >>> index.add(np.eye(3), labels=["cat", "dog", "cat"], metadata={"year": [2019, 2021, 2024]})
        array([0, 1, 2])
        >>> index.search([[0.9, 0.1, 0.0]], k=1, where={"year": {">": 2020}}).names
        array([['dog']], dtype=object)
    """

    _more_columns = ("metadata",)

    def __init__(
        self,
        *,
        distance: str = "cosine",
        search: str = "exact",
        recall: float = 0.95,
        class_names: Iterable[str] | None = None,
    ):
        super().__init__(distance=distance, search=search, recall=recall, class_names=class_names)

    def __getstate__(self):  # the rows, not what was made ready to search them
        return self._read(
            lambda: {
                "search": self._kind,
                "recall": self._wanted_recall,
                "state": replace(self._state, table=self._table.copied()),
            }
        )

    def __setstate__(self, kept):
        state = kept["state"]
        self.__init__(distance=state.distance, search=kept["search"], recall=kept["recall"])
        self._state = state

    def _now(self, work, *arguments, also_gone=False):
        self._complete()
        return work(*arguments)

    def _changed(self, plan, *arguments):
        self._complete()
        changes, result = plan(*arguments)
        self._decide(changes, self._table.after(changes), self._state.distance)
        return result

    def _meet(self, wanted):
        table = self._table
        _filters.check_keys(wanted, {key for row in table.metadata for key in row})
        return _filters.mask(wanted, table.ids, table.labels, table.metadata)

    def _metadata(self, positions):
        metadata = np.empty(len(positions), object)
        metadata[:] = [dict(row) for row in self._table.metadata[positions]]
        return metadata
