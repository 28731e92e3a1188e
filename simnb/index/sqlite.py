"""An index whose rows of record are in one SQLite file."""

import errno
import os
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from simnb._types import AnyPath
from simnb.index import _filters
from simnb.index._rows import State, Table
from simnb.index._sqlite_file import GalleryFile
from simnb.index._validation import check_class_names, check_same
from simnb.index.local import LocalIndex
from simnb.index.results import Rows


class SqliteIndex(LocalIndex):
    """Rows in one file, and a copy of the embeddings in memory that is searched.

    What a call has returned from is in the file, also after a kill or a power failure; what a call did that
    did not return is there whole, or not at all. Several processes may use one file: at its next call, each
    sees what the others wrote, and notices if the file was replaced.

    Args:
        path: Name of the file, ``.sqlite``; it is made where there is none.
        distance: One of ``simnb.distances.DISTANCES``; of a file that is there, its own.
        search: ``exact``, or ``hnsw`` for a graph, which is kept beside the file (``.hnsw``) and built anew
            when it is out of date.
        recall: What share of the true neighbors the graph is to find.
        class_names: Name of each label; of a file that is there, its own.

    Raises:
        ValueError: If the file is no index, damaged, from a later version or of another distance.
        OSError: If it cannot be opened or made.
    """

    _more_columns = ("keys", "checks")
    _file = None  # until it could be opened

    def __init__(
        self,
        path: AnyPath,
        *,
        distance: str | None = None,
        search: str = "exact",
        recall: float = 0.95,
        class_names: Iterable[str] | None = None,
    ):
        self.path, class_names = Path(path), check_class_names(class_names)
        super().__init__(distance=distance or "cosine", search=search, recall=recall, class_names=class_names)
        self._metadata_checked = None  # the settings whose metadata were compared with what was written
        state = self._state
        self._file = GalleryFile(path, distance=state.distance, class_names=state.class_names)
        try:
            stored = self._read(lambda: self._state.settings)
            given = {"distance": distance, "class_names": class_names}
            check_same(given, vars(stored), of=str(self.path))
        except BaseException:
            self.close()
            raise

    def __reduce__(self):  # a copy, here or in another process, is the same file opened again
        self._alone(self._complete)
        return _opened, (self._file.place, {"search": self._kind, "recall": self._wanted_recall})

    def _save(self, path):
        place = self._file.place
        if place.exists() and Path(path).exists() and os.path.samefile(path, place):
            raise ValueError(f"{path} is the file of this index: every change is in it already")
        super()._save(path)

    def _close(self):
        super()._close()
        self._file.close()

    def _where(self):
        return repr(str(self.path))

    def _now(self, work, *arguments, also_gone=False):
        def read(settings):
            self._catch_up(settings)
            return work(*arguments)

        self._complete()
        return self._file.reading(read, also_gone=also_gone)

    def _changed(self, plan, *arguments):
        def write(settings):
            self._catch_up(settings)
            checked = self._metadata_checked is self._state.settings
            changes, result = plan(*arguments)
            numbers, settings = self._written(changes)
            after = (changes, self._table.after(changes, numbers), settings.distance, settings)
            return result, after, settings if checked else self._metadata_checked

        self._complete()
        result, after, checked = self._file.writing(write)
        # If interrupted before this, the next call reads from the file what has changed.
        self._decide(*after)
        self._metadata_checked = checked  # those of other rows are as they were
        return result

    def _catch_up(self, settings):
        """Bring the arrays to the state of a transaction: by what was added, or from the beginning."""
        old = self._state.settings
        if settings == old:
            return
        table, only_added = self._longer(settings, old), True
        if table is None:
            table, only_added = Table(*self._more_columns), False
            if settings.dim is not None:
                table = table.with_room(settings.rows, settings.dim)
                for numbers, embeddings in self._file.rows(settings):
                    table = table.longer(_rows(numbers, embeddings), numbers)
        if not only_added or settings.graphs != old.graphs:
            self._stale(only_added=only_added)
        distance, names, next_id = settings.distance, settings.class_names, settings.next_id
        self._state = State(table, distance, names, next_id, settings)

    def _longer(self, settings, old):
        """The table with what another has added since; None where that is not all that has changed."""
        if old is None or old.dim is None or (old.file, old.rewrites) != (settings.file, settings.rewrites):
            return None
        table = self._table

        def before(first):
            rows = slice(np.searchsorted(table.keys, first), None)
            columns = (table.keys[rows], table.ids[rows], table.labels[rows], table.checks[rows])
            return np.stack(columns, axis=1), table.embeddings[rows]

        pieces = self._file.rows_since(settings, old, before)
        if pieces is None:
            return None
        for numbers, embeddings in pieces:
            table = table.longer(_rows(numbers, embeddings), numbers)
        return table if len(table) == settings.rows else None

    def _written(self, changes):
        """Write one call's changes; return the numbers of added rows, and the settings afterwards."""
        settings, numbers, table = self._state.settings, None, self._table
        if len(changes.replaced):
            keys = table.keys[changes.replaced]
            changes.parts["checks"], settings = self._file.replace(settings, keys, changes.parts)
        if len(changes.removed):
            settings = self._file.remove(settings, table.keys[changes.removed])
        if changes.added is not None:
            numbers, settings = self._file.append(settings, changes.added)
        settings = replace(settings, class_names=changes.class_names, next_id=changes.next_id)
        return numbers, settings if settings == self._state.settings else self._file.keep(settings)

    def _meet(self, wanted):
        settings, table = self._state.settings, self._table
        _filters.check_keys(wanted, settings.names)
        result = np.ones(len(table), bool)
        for condition in wanted:
            if condition.key in ("id", "label"):
                result &= _filters.mask([condition], table.ids, table.labels, ())
                continue
            if self._metadata_checked is not settings:
                self._file.check_metadata(table.keys, table.checks)
                self._metadata_checked = settings
            meets = np.zeros(len(table), bool)
            meets[np.searchsorted(table.keys, self._file.where(condition))] = True
            result &= meets
        return result

    def _metadata(self, positions):
        return self._file.metadata(self._table.keys[positions], self._table.checks[positions])

    def _kept_graph(self):
        settings = self._state.settings
        return {
            "cache": f"{self._file.place}.hnsw",
            "stamp": f"{settings.file} {settings.graphs} {zlib.crc32(self._table.embeddings)}",
        }

    def before_fork(self, seconds: float) -> bool:
        """Let go of the file, which a forked process has to open for itself."""
        return super().before_fork(seconds) and (self._file is None or self._file.let_go())


def _opened(path, options):
    if not path.is_file():  # here nobody wants a new one
        raise FileNotFoundError(errno.ENOENT, "the file of this index is gone", str(path))
    return SqliteIndex(path, **options)


def _rows(numbers, embeddings):
    return Rows(numbers[:, 1], embeddings, numbers[:, 2], ())
