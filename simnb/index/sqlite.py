"""An index whose rows of record are in one SQLite file."""

import errno
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from simnb._types import AnyPath
from simnb.index import _filters
from simnb.index._rows import State, Table
from simnb.index._sqlite_file import GalleryFile
from simnb.index._validation import check_class_names, check_same
from simnb.index.local import LocalIndex


class SqliteIndex(LocalIndex):
    """Rows in one file, and a copy of the embeddings in memory that is searched.

    What a call has returned from is in the file, also after a kill or a power failure; what a call did that
    did not return is there whole, or not at all. Several processes may use one file: at its next call, each
    sees what the others wrote, and notices if the file was replaced.

    Args are those of ``open_index``, with ``path`` for the name of the file. A graph is kept beside it, in a
    file that ends in ``.hnsw``, and built anew when it is out of date.

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
        self._file = GalleryFile(path, new=self._state.settings)
        try:
            given = {"distance": distance, "class_names": class_names}
            check_same(given, {name: self._fact(name) for name in given}, of=str(self.path))
        except BaseException:
            self.close()
            raise

    def __reduce__(self):  # a copy, here or in another process, is the same file opened again
        self._calls.alone(self._complete)
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

    def _now(self, work, *, also_gone=False):
        def read(settings):
            self._catch_up(settings)
            return work()

        self._complete()
        return self._file.reading(read, also_gone=also_gone)

    def _changed(self, plan):
        def write(settings):
            self._catch_up(settings)
            checked = self._metadata_checked is self._state.settings
            changes = plan()
            added, settings = self._written(changes)
            table = self._state.table.after(changes, added)
            return changes, table, settings, settings if checked else self._metadata_checked

        self._complete()
        changes, table, settings, checked = self._file.writing(write)
        # If interrupted before this, the next call reads from the file what has changed.
        self._decide(changes, table, settings)
        self._metadata_checked = checked  # those of other rows are as they were
        return changes.result

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
                    table = table.longer(_columns(numbers, embeddings))
        if not only_added or settings.graphs != old.graphs:
            self._stale(only_added=only_added)
        self._state = State(table, settings)

    def _longer(self, settings, old):
        """The table with what another has added since; None where that is not all that has changed."""
        if old.dim is None or (old.file, old.rewrites) != (settings.file, settings.rewrites):
            return None
        table = self._state.table

        def before(first):
            rows = slice(np.searchsorted(table.keys, first), None)
            columns = (table.keys[rows], table.ids[rows], table.labels[rows], table.checks[rows])
            return np.stack(columns, axis=1), table.embeddings[rows]

        pieces = self._file.rows_since(settings, old, before)
        if pieces is None:
            return None
        for numbers, embeddings in pieces:
            table = table.longer(_columns(numbers, embeddings))
        return table if len(table) == settings.rows else None

    def _written(self, changes):
        """Write changes; return the columns of added rows, or None, and the settings afterwards."""
        settings, added, table = changes.settings, None, self._state.table
        if len(changes.replaced):
            keys = table.keys[changes.replaced]
            changes.parts["checks"], settings = self._file.replace(settings, keys, changes.parts)
        if len(changes.removed):
            settings = self._file.remove(settings, table.keys[changes.removed])
        if changes.added is not None:
            numbers, settings = self._file.append(settings, changes.added)
            added = _columns(numbers, changes.added.embeddings)
        return added, settings if settings == self._state.settings else self._file.keep(settings)

    def _meet(self, wanted):
        table, settings = self._state
        _filters.check_keys(wanted, settings.names)
        result = np.ones(len(table), bool)
        for condition in wanted:
            if condition.key in ("id", "label"):
                result &= _filters.mask([condition], table.ids, table.labels, ())
                continue
            if self._metadata_checked is not settings:
                self._file.metadata.check(table.keys, table.checks)
                self._metadata_checked = settings
            meets = np.zeros(len(table), bool)
            meets[np.searchsorted(table.keys, self._file.metadata.where(condition))] = True
            result &= meets
        return result

    def _metadata(self, positions):
        table = self._state.table
        return self._file.metadata.read(table.keys[positions], table.checks[positions])

    def _kept_graph(self):
        table, settings = self._state
        stamp = f"{settings.file} {settings.graphs} {zlib.crc32(table.embeddings)}"
        return {"cache": f"{self._file.place}.hnsw", "stamp": stamp}

    def before_fork(self, seconds: float) -> bool:
        """Let go of the file, which a forked process has to open for itself."""
        return super().before_fork(seconds) and (self._file is None or self._file.let_go())


def _opened(path, options):
    if not path.is_file():  # here nobody wants a new one
        raise FileNotFoundError(errno.ENOENT, "the file of this index is gone", str(path))
    return SqliteIndex(path, **options)


def _columns(numbers, embeddings):
    """Columns of a table, from rows as a file has them."""
    keys, ids, labels, checks = numbers.T
    return {"keys": keys, "ids": ids, "labels": labels, "checks": checks, "embeddings": embeddings}
