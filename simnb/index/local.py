"""Indexes that are searched in this process: what they share, and the one whose rows are in memory only."""

import functools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from simnb import _checks
from simnb.distances import DISTANCES
from simnb.index import _calls, _filters, _validation
from simnb.index._rows import Changes, State, Table
from simnb.index._sqlite_file import Settings, write_file
from simnb.index.base import Index
from simnb.index.exact import ExactSearch
from simnb.index.hnsw import HnswSearch
from simnb.index.results import UNKNOWN, Neighbors, Rows, no_neighbors


def _alone(verb, through=None):
    """Do what a method does while no other thread uses the index; ``through`` names a method that does it."""

    @functools.wraps(verb)
    def alone(self, *arguments, **options):
        work = functools.partial(verb, self, *arguments, **options)
        return self._calls.alone(work) if through is None else self._calls.alone(getattr(self, through), work)

    return alone


_reading = functools.partial(_alone, through="_now")
_changing = functools.partial(_alone, through="_changed")


class LocalIndex(Index):
    """Rows in arrays of this process, searched exactly or over a graph.

    Subclasses say where the rows of record are: ``_now(work)`` calls ``work()`` on them as they are then, and
    ``_changed(plan)`` makes the ``Changes`` that ``plan()`` gives. They know the metadata (``_meet``,
    ``_metadata``), and name the columns that they need for it (``_more_columns``).
    """

    def __init__(
        self,
        *,
        distance: str = "cosine",
        search: str = "exact",
        recall: float = 0.95,
        class_names: Iterable[str] | None = None,
    ):
        distance = _checks.one_of(distance, DISTANCES, name="distance")
        self._kind = _checks.one_of(search, _validation.SEARCHES, name="search")
        self._wanted_recall = _validation.check_recall(recall)
        self._state = self._empty(distance, _validation.check_class_names(class_names))
        self._decided = None  # a change that is sure and not yet made: what to overwrite, and the state then
        self._refusal = ""  # why it cannot be used
        self._calls = _calls.Calls(self._name())
        self._exact = None  # ExactSearch over the rows as they are now, or None
        self._hnsw = None  # the same, a graph
        self._old_hnsw = None  # a graph over the first of the rows
        _calls.watch(self)

    def _empty(self, distance, class_names=None):
        return State(Table(*self._more_columns), Settings(distance, class_names=class_names))

    @_reading
    def _fact(self, name):
        table, settings = self._state
        value = getattr(settings if hasattr(settings, name) else table, name)
        return value.copy() if isinstance(value, np.ndarray) else value

    @property
    def next_id(self) -> int:
        """The id that the next row gets: one that no row has had."""
        return self._fact("next_id")

    @_reading
    def __len__(self) -> int:
        return len(self._state.table)

    def close(self) -> None:
        """Let go of the rows; the index refuses every call from now on."""
        self._calls.alone(self._close)

    def _close(self):
        self._refusal = "is closed: open it again"
        self._state = self._empty(self._state.settings.distance)
        self._decided = None
        self._stale()

    def number_from(self, next_id: int) -> None:
        """Number new rows from ``next_id``, or from where they would begin anyway, if that is higher."""
        self._number_from(next_id)

    @_changing
    def _number_from(self, next_id):
        settings = self._state.settings
        return Changes(replace(settings, next_id=max(settings.next_id, next_id)))

    @_changing
    def _add(self, embeddings, labels, metadata, ids, existing):
        table, settings = self._state
        embeddings = _validation.check_embeddings(embeddings, index=settings)
        labels, names = self._encoded(labels, len(embeddings))
        metadata = _validation.check_metadata(metadata, count=len(embeddings))
        ids = _validation.next_ids(ids, len(embeddings), settings.next_id)
        old = table.find(ids)
        new, both = old < 0, old >= 0
        if existing == "refuse":
            _validation.check_new(ids, both)
        next_id = max(settings.next_id, int(ids.max(initial=-1)) + 1)
        changes = Changes(replace(settings, class_names=names, next_id=next_id), result=ids)
        if new.any():
            changes.added = Rows(ids[new], embeddings[new], labels[new], metadata[new])
        if existing == "replace" and both.any():
            changes.replaced = old[both]
            parts = {"embeddings": embeddings, "labels": labels, "metadata": metadata}
            changes.parts = {name: part[both] for name, part in parts.items()}
        return changes

    @_changing
    def _update(self, ids, embeddings, labels, metadata):
        table, settings = self._state
        positions, parts = table.positions(ids), {}
        if embeddings is not None:
            parts["embeddings"] = _validation.check_embeddings(embeddings, index=settings)
            _checks.same_length(parts["embeddings"], ids, "embeddings and ids")
        if labels is not None:
            parts["labels"], names = self._encoded(labels, len(ids))
            settings = replace(settings, class_names=names)
        if metadata is not None:
            metadata = _validation.check_metadata(metadata, count=len(ids), removing=True)
            parts["metadata"] = _validation.merged(self._metadata(positions), metadata)
        return Changes(settings, replaced=positions, parts=parts)

    @_changing
    def _remove(self, ids):
        table, settings = self._state
        return Changes(settings, removed=table.positions(ids))

    @_alone
    def _search(self, embeddings, k, where):
        queries, among = self._now(lambda: self._asked(embeddings, where))
        table, settings = self._state  # others may write to the file meanwhile
        distances, ids, labels = no_neighbors(len(queries), k)
        found = min(k, len(table) if among is None else len(among))
        if found and len(queries):
            distances[:, :found], positions = self._nearest(queries, found, among)
            ids[:, :found] = table.ids[positions]
            labels[:, :found] = table.labels[positions]
        return Neighbors(distances, ids, labels, settings.distance, settings.class_names)

    def _asked(self, embeddings, where):
        """Queries, and the positions of the rows that meet conditions, or None for all rows."""
        table, settings = self._state
        queries = _validation.check_embeddings(embeddings, index=settings, name="queries")
        wanted = _filters.conditions(where, settings.class_names)
        return queries, np.flatnonzero(self._meet(wanted)) if wanted and len(table) else None

    @_reading
    def _get(self, ids):
        table = self._state.table
        return self._rows(np.arange(len(table)) if ids is None else table.positions(ids))

    def _blocks(self, size):
        ids = self.ids
        for start in range(0, len(ids), size):
            yield self._those_left(ids[start : start + size])

    @_reading
    def _those_left(self, ids):
        positions = self._state.table.find(ids)
        return self._rows(positions[positions >= 0])

    @_alone
    def _save(self, path):
        def save():
            table, settings = self._state
            positions = np.arange(len(table))
            blocks = (self._rows(positions[start : start + 10_000]) for start in range(0, len(table), 10_000))
            write_file(path, blocks, settings)

        self._now(save, also_gone=True)

    @_alone
    def _tune(self, queries, target, k):
        def checked():
            rows = _validation.check_embeddings(queries, index=self._state.settings, name="queries")
            _checks.not_empty(rows, name="queries")
            self._check_graph("tune")
            return rows

        rows = self._now(checked)
        return self._graph().tune(rows, target, min(k, len(self._state.table)))

    @_alone
    def _recall(self):
        self._now(lambda: self._check_graph("recall"))
        return self._graph().measured

    def _check_graph(self, verb):
        _validation.check_graph(verb, search=self._kind, count=len(self._state.table))

    def _where(self):
        return ""

    def _name(self):
        return f"the index {self._where()}".rstrip()

    def _is_closed(self):
        return bool(self._refusal)

    def _decide(self, changes, table, settings):
        """Take ``table`` and ``settings`` as the new state. An interrupt from here on does not stop it."""
        rewritten = len(changes.removed) > 0 or "embeddings" in changes.parts
        if rewritten or changes.added is not None:
            self._stale(only_added=not rewritten)
        self._decided = (changes.replaced, changes.parts, State(table, settings))
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
            some_rows = ExactSearch(self._state.table.embeddings[among], self._state.settings.distance)
            distances, positions = some_rows(queries, k)
            return distances, among[positions]
        return (self._graph() if self._kind == "hnsw" else self._exact_search())(queries, k)

    def _exact_search(self):
        if self._exact is None:
            self._exact = ExactSearch(self._state.table.embeddings, self._state.settings.distance)
        return self._exact

    def _graph(self):
        if self._hnsw is None:
            # An extension that is broken off leaves an old graph of no use: it is let go of first.
            old, self._old_hnsw = self._old_hnsw, None
            options = {"recall": self._wanted_recall, "old": old, **self._kept_graph()}
            self._hnsw = HnswSearch(self._exact_search(), self._state.table.embeddings, **options)
        return self._hnsw

    def _kept_graph(self):
        """Where a graph is kept, and what names the state of the rows: ``cache`` and ``stamp``."""
        return {}

    def _stale(self, *, only_added=False):
        """Forget what was made ready for search; a graph can go on where rows were only added."""
        self._old_hnsw = (self._hnsw or self._old_hnsw) if only_added else None
        self._exact = self._hnsw = None

    def _encoded(self, labels, count):
        table, settings = self._state
        labelled = bool((table.labels != UNKNOWN).any())
        return _validation.encode_labels(labels, count, settings.class_names, labelled=labelled)

    def _rows(self, positions):
        table, settings = self._state
        parts = (table.ids[positions], table.embeddings[positions], table.labels[positions])
        return Rows(*parts, self._metadata(positions), settings.class_names)

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

    Args are those of ``open_index``. A graph is built when it is first searched.

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

    @_reading
    def __getstate__(self):  # the rows, not what was made ready to search them
        state = self._state._replace(table=self._state.table.copied())
        return {"search": self._kind, "recall": self._wanted_recall, "state": state}

    def __setstate__(self, kept):
        state = kept["state"]
        self.__init__(distance=state.settings.distance, search=kept["search"], recall=kept["recall"])
        self._state = state

    def _now(self, work, *, also_gone=False):
        self._complete()
        return work()

    def _changed(self, plan):
        self._complete()
        changes = plan()
        settings, added = changes.settings, None
        if changes.added is not None:
            settings, added = replace(settings, dim=changes.added.embeddings.shape[1]), vars(changes.added)
        self._decide(changes, self._state.table.after(changes, added), settings)
        return changes.result

    def _meet(self, wanted):
        table = self._state.table
        _filters.check_keys(wanted, {key for row in table.metadata for key in row})
        return _filters.mask(wanted, table.ids, table.labels, table.metadata)

    def _metadata(self, positions):
        metadata = np.empty(len(positions), object)
        metadata[:] = [dict(row) for row in self._state.table.metadata[positions]]
        return metadata
