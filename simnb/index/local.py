"""What indexes that search in this process share: how they search, and what they give back."""

import threading
import time
import weakref
from dataclasses import dataclass

import numpy as np

from simnb import _checks
from simnb.distances import DISTANCES
from simnb.index import _filters, _fork
from simnb.index._file import Settings, write_file
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
from simnb.index._table import Changes, Table, some
from simnb.index.exact import ExactSearch
from simnb.index.hnsw import HnswSearch, Tuning
from simnb.index.protocol import UNKNOWN, Neighbors, Rows

SEARCHES = ("exact", "hnsw")


@dataclass(frozen=True, eq=False)
class State:
    """An index at one moment. It is replaced whole: an interrupt leaves the old one or the new one.

    Attributes:
        table: The rows.
        distance: What they are searched by.
        class_names: Name of each label, or None.
        next_id: The next free id.
        settings: Those of the file, where the rows of record are in one.
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


class LocalIndex:
    """Rows in arrays of this process, searched exactly or over a graph.

    Every verb is one piece of work, done while no other thread uses the index (``_alone``), on the rows of
    record as they are then (``_now``); what changes rows plans ``Changes``, which are then made
    (``_changed``). Subclasses say where the rows of record are, by the last two, and know the metadata
    (``_meet``, ``_metadata``).
    """

    def __init__(self, *, distance="cosine", search="exact", recall=0.95, class_names=None):
        """Start empty."""
        distance = _checks.one_of(distance, DISTANCES, name="distance")
        self._kind = _checks.one_of(search, SEARCHES, name="search")
        self._wanted_recall = check_recall(recall)
        self._state = State(Table(*self._more_columns), distance, check_class_names(class_names))
        self._decided = None  # a change that is sure and not yet made: what to overwrite, and the state then
        self._refusal = None  # why it cannot be used
        self._lock = threading.RLock()  # widgets call from other threads
        self._running = _no_call  # gives the _Call under way, or None
        self._fork_waits = self._held = False  # whether a fork waits for the lock, and holds it
        self._exact = None  # ExactSearch over the rows as they are now, or None
        self._hnsw = None  # the same, a graph
        self._old_hnsw = None  # a graph over the first of the rows
        _fork.watch(self)

    def __repr__(self):
        """Where it is, and its size and distance."""
        where = f"{self._where()}, " if self._where() else ""
        if self._refusal:
            return f"{type(self).__name__}({where}closed)"
        size = f"{len(self)} rows, dim={self.dim}, distance={self.distance!r}"
        return f"{type(self).__name__}({where}{size})"

    @property
    def distance(self):
        """What rows are searched by: one of ``simnb.distances.DISTANCES``."""
        return self._read(lambda: self._state.distance)

    @property
    def dim(self):
        """Length of an embedding; None until the first row is added."""
        return self._read(lambda: self._state.dim)

    @property
    def class_names(self):
        """Name of each label; None where labels are plain integers, or there are none yet."""
        return self._read(lambda: self._state.class_names)

    @property
    def ids(self):
        """Id of every row, in the order they were added: shape [len] int64."""
        return self._read(lambda: self._table.ids.copy())

    @property
    def labels(self):
        """Label of every row, in the order they were added: shape [len] int64."""
        return self._read(lambda: self._table.labels.copy())

    @property
    def next_id(self):
        """The id that the next row gets: one that no row has had."""
        return self._read(lambda: self._state.next_id)

    @property
    def fingerprint(self):
        """A short name of the rows as they are: of their ids, embeddings and labels, in any order."""
        return self._read(lambda: self._table.fingerprint)

    def __len__(self):
        """How many rows are indexed."""
        return self._read(lambda: len(self._table))

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
        return self._change(self._adding, embeddings, _collected(labels), _collected(metadata), ids, existing)

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
        changes = Changes(class_names=names, next_id=max(next_id, int(ids.max(initial=-1)) + 1))
        changes.added = Rows(ids[new], embeddings[new], labels[new], metadata[new])
        if existing == "replace" and both.any():
            changes.replaced = old[both]
            changes.parts = {
                "embeddings": embeddings[both],
                "labels": labels[both],
                "metadata": metadata[both],
            }
        return changes, ids

    def number_from(self, next_id):
        """Number new rows from ``next_id``, or from where they would begin anyway, if that is higher."""

        def numbered():
            state = self._state
            return Changes(class_names=state.class_names, next_id=max(state.next_id, next_id)), None

        self._change(numbered)

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
        self._change(self._updating, ids, embeddings, _collected(labels), _collected(metadata))

    def _updating(self, ids, embeddings, labels, metadata):
        state, ids = self._state, check_ids(ids)
        changes = Changes(replaced=state.table.positions(ids), next_id=state.next_id)
        if embeddings is not None:
            embeddings = check_embeddings(embeddings, index=state)
            _checks.same_length(embeddings, ids, "embeddings and ids")
            changes.parts["embeddings"] = embeddings
        changes.class_names = state.class_names
        if labels is not None:
            changes.parts["labels"], changes.class_names = self._encoded(labels, len(ids))
        if metadata is not None:
            metadata = check_metadata(metadata, count=len(ids), removing=True)
            changes.parts["metadata"] = merged(self._metadata(changes.replaced), metadata)
        return changes, None

    def remove(self, ids):
        """Remove rows, all of them or none.

        Args:
            ids: Shape [n].

        Raises:
            ValueError: If an id is not in the index; nothing is then removed.
        """
        self._change(self._removing, ids)

    def _removing(self, ids):
        state = self._state
        removed = state.table.positions(check_ids(ids))
        return Changes(removed=removed, class_names=state.class_names, next_id=state.next_id), None

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
        return self._alone(self._searched, embeddings, k, where)

    def _searched(self, embeddings, k, where):
        queries, k, among = self._now(self._asked, embeddings, k, where)
        return self._found(queries, k, among)  # others may write to the file meanwhile

    def _asked(self, embeddings, k, where):
        queries = check_embeddings(embeddings, index=self._state, name="queries")
        k = _checks.positive_int(k, name="k")
        wanted = _filters.conditions(where, self._state.class_names)
        return queries, k, np.flatnonzero(self._meet(wanted)) if wanted and len(self._table) else None

    def _found(self, queries, k, among):
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
        return Neighbors(distances, ids, labels, self._state.distance, self._state.class_names)

    def get(self, ids=None):
        """Return rows.

        Args:
            ids: Shape [n]; all rows, in the order they were added, when left out.

        Returns:
            ``Rows``: copies, in the order of ``ids``.

        Raises:
            ValueError: If an id is not in the index.
        """
        return self._read(self._got, ids)

    def _got(self, ids):
        table = self._table
        if ids is None:
            return self._rows(np.arange(len(table)))
        return self._rows(table.positions(check_ids(ids, unique=False)))

    def blocks(self, size=10_000):
        """Go through all rows, in the order they were added, ``size`` at a time.

        Rows that are added or removed meanwhile may or may not be among them.
        """
        size = _checks.positive_int(size, name="size")
        ids = self.ids
        for start in range(0, len(ids), size):
            yield self._read(self._those_left, ids[start : start + size])

    def _those_left(self, ids):
        positions = self._table.find(ids)
        return self._rows(positions[positions >= 0])

    def save(self, path):
        """Write all rows into one SQLite file, which ``open_index(path)`` opens.

        Args:
            path: Name of the file, ``.sqlite``. An index that is there is replaced in one transaction:
                a reader sees the old rows or the new ones, even after a kill or a full disk.

        Raises:
            ValueError: If another kind of file is there.
            OSError: If it cannot be written; an index that was there is then as before.
        """
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

    def close(self):
        """Let go of the rows; the index refuses every call from now on."""
        self._alone(self._close)

    def _close(self):
        self._refusal = "is closed: open it again"
        self._state = State(Table(*self._more_columns), self._state.distance)
        self._decided = None
        self._stale()

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
        return self._alone(self._tuned, queries, check_recall(target_recall, name="target_recall"), k)

    def _tuned(self, queries, target_recall, k):
        queries, k = self._now(self._tuning, queries, k)
        return self._graph().tune(queries, target_recall, k)

    def _tuning(self, queries, k):
        queries = check_embeddings(queries, index=self._state, name="queries")
        queries = _checks.not_empty(queries, name="queries")
        self._check_graph("tune")
        return queries, min(_checks.positive_int(k, name="k"), len(self._table))

    @property
    def recall(self) -> Tuning:
        """What the graph finds of the true 10 nearest, as it was last measured.

        A ``Tuning(breadth, recall, milliseconds)``: of some of the index's own rows, when the graph is built
        and as it grows, or of the queries that ``tune`` was given.

        Raises:
            ValueError: If the index is empty or not searched by a graph.
        """

        def measured():
            self._now(self._check_graph, "recall")
            return self._graph().measured

        return self._alone(measured)

    def _alone(self, work, *arguments):
        while self._fork_waits:  # else a thread that calls without a pause would keep the lock
            time.sleep(0.001)
        running = self._running()
        if running is not None and running.thread == threading.get_ident():
            raise ValueError(
                f"{self._name()} was called from within one of its own calls: make what it is given before "
                "you call it"
            )
        with self._lock:
            call = _Call()
            try:
                self._running = weakref.ref(call)
                return work(*arguments)
            finally:
                self._running = _no_call

    def _name(self):
        return f"the index {self._where()}".rstrip()

    def _read(self, work, *arguments):
        return self._alone(self._now, work, *arguments)

    def _change(self, plan, *arguments):
        return self._alone(self._changed, plan, *arguments)

    @property
    def _table(self):
        return self._state.table

    def _decide(self, changes, table, distance, settings=None):
        """Make changes that are sure to last. An interrupt from here on does not stop them.

        Args:
            changes: ``Changes``.
            table: The ``Table.after`` them, for which there was memory.
            distance: Of the ``State`` afterwards.
            settings: Of the ``State`` afterwards.
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
            if some(replaced):
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

    def _check_graph(self, verb):
        if self._kind != "hnsw":
            raise ValueError(f'{verb} needs open_index(..., search="hnsw"): exact search always finds all')
        if len(self._table) == 0:
            raise ValueError(f"{verb} needs rows, but the index is empty: call add(...) first")

    def _encoded(self, labels, count):
        labelled, names = bool((self._table.labels != UNKNOWN).any()), self._state.class_names
        return encode_labels(labels, count=count, class_names=names, labelled=labelled)

    def _rows(self, positions):
        table = self._table
        metadata = self._metadata(positions)
        parts = (table.ids[positions], table.embeddings[positions], table.labels[positions])
        return Rows(*parts, metadata, self._state.class_names)

    def before_fork(self, seconds):
        """Wait until no other thread uses the index; says whether a forked process may use it."""
        self._fork_waits = True
        self._held = self._lock.acquire(timeout=seconds)
        return self._held

    def after_fork(self, ready, child):
        """Go on, in parent and child; a child that may not use the index refuses."""
        held, self._held, self._fork_waits = self._held, False, False
        if child:
            self._running = _no_call
        if child and not ready:
            self._lock = threading.RLock()  # a thread of the parent holds the old one for ever
            self._refusal = "was in use when this process was forked: only the parent process can use it"
        elif held:
            self._lock.release()


class _Call:
    """A call under way in a thread; an interrupt that keeps it from being taken back ends it all the same."""

    def __init__(self):
        """Of this thread."""
        self.thread = threading.get_ident()


def _no_call():
    """Where no call is under way."""


def _collected(values):
    """Values of a generator, which might call the index, before anything is begun."""
    return list(values) if hasattr(values, "__next__") else values


def check_recall(value, *, name="recall"):
    """A share above 0 and at most 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a share above 0 and at most 1, got {value!r}")
    return float(value)
