"""An index whose rows of record are in one SQLite file."""

import contextlib
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from simnb.index import _filters
from simnb.index._file import GalleryFile
from simnb.index._incoming import check_class_names
from simnb.index._table import Table, some
from simnb.index.local import LocalIndex
from simnb.index.protocol import Rows

SUFFIXES = (".sqlite", ".sqlite3")


class SqliteIndex(LocalIndex):
    """Rows in one file, and a copy of the embeddings in memory that is searched.

    What a call has returned from is in the file, also after a kill or a power failure; what a call did that
    did not return is there whole, or not at all. Several processes may use one file: each sees what the
    others wrote, at its next call.

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

    def __init__(self, path, *, distance=None, search="exact", recall=0.95, class_names=None):
        """Open the file and read the embeddings."""
        super().__init__(distance=distance or "cosine", search=search, recall=recall, class_names=class_names)
        self.path = Path(path)
        self._inside = False  # a transaction
        self._settings = None
        self._counter = None
        self._metadata_checked = None  # the version whose metadata were compared with what was written
        self._file = GalleryFile(path, distance=self.distance, class_names=self._class_names)
        try:
            self._refresh()
            self._check_same("distance", distance, self._settings.distance)
            self._check_same("class_names", check_class_names(class_names), self._settings.class_names)
        except BaseException:
            self.close()
            raise
        self.distance = self._settings.distance

    def __repr__(self):
        """Name, size and distance."""
        return (
            f"SqliteIndex({str(self.path)!r}, {len(self)} rows, dim={self.dim}, distance={self.distance!r})"
        )

    def save(self, path):
        """Write all rows into another file.

        Args:
            path: Name of the file, ``.sqlite``. An index that is there is replaced in one transaction.

        Raises:
            ValueError: If another kind of file is there, or it is this index's own.
            OSError: If it cannot be written; an index that was there is then as before.
        """
        if self.path.exists() and Path(path).exists() and os.path.samefile(path, self.path):
            raise ValueError(f"{path} is the file of this index: every change is in it already")
        with self._reading():  # one state of the file
            write_file(self, path, next_id=self._next_id)

    def close(self):
        """Close the file."""
        self._file.close()

    def _check_same(self, option, given, stored):
        if given is not None and given != stored:
            raise ValueError(f"{option} must be that of {self.path}, {stored!r}, got {given!r}; leave it out")

    def _refresh(self):
        with self._lock:
            if not self._inside and self._file.counter != self._counter:
                with self._reading():
                    pass

    @contextlib.contextmanager
    def _reading(self):
        with self._lock:
            if self._inside:
                yield
                return
            counter = self._file.counter
            with self._file.reading() as settings, self._transaction(settings):
                self._counter = counter
                yield

    @contextlib.contextmanager
    def _writing(self):
        with self._lock:
            done, self._counter = [], None  # an interrupt after the commit: then the file is read again
            with self._file.writing() as settings, self._transaction(settings):
                yield done.append
                written = [self._write(changes) for changes in done]
            # Only now that they are on the disk. Whoever breaks this off has the file read anew.
            self._settings = None
            for changes, (numbers, after) in zip(done, written, strict=True):
                self._apply(changes, numbers)
                settings = after
            self._settings = settings

    @contextlib.contextmanager
    def _transaction(self, settings):
        self._catch_up(settings)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def _catch_up(self, settings):
        """Bring the arrays to the state of a transaction: by what was added, or from the beginning."""
        old = self._settings
        if old is not None and settings.version == old.version:
            return None
        only_added = old is not None and (old.rewrites, old.file) == (settings.rewrites, settings.file)
        since = old.next_key if only_added else 0
        table = self._table if only_added else Table(*self._more_columns)
        self._settings = None  # until this is done: broken off, the next time reads from the beginning
        if not only_added or settings.graphs != old.graphs:
            self._stale(only_added=only_added)
        if settings.dim is not None:
            table.reserve(settings.rows, settings.dim)
            for numbers, embeddings in self._file.read(settings, since):
                table.append(Rows(numbers[:, 1], embeddings, numbers[:, 2], ()), numbers)
        if len(table) != settings.rows:  # all of them are compared, where a part is not right
            return self._catch_up(settings)
        self._table, self.distance = table, settings.distance
        self._class_names, self._next_id = settings.class_names, settings.next_id
        self._settings = settings
        return None

    def _write(self, changes):
        """Write one call's changes; return the numbers of added rows, and the settings afterwards."""
        settings, numbers, table = self._settings, None, self._table
        if some(changes.replaced):
            keys = table.keys[changes.replaced]
            changes.parts["checks"], settings = self._file.replace(settings, keys, changes.parts)
        if some(changes.removed):
            settings = self._file.remove(settings, table.keys[changes.removed])
        if some(changes.added):
            numbers, settings = self._file.append(settings, changes.added)
        settings = replace(settings, class_names=changes.class_names, next_id=changes.next_id)
        return numbers, settings if settings == self._settings else self._file.keep(settings)

    def _meet(self, wanted):
        _filters.check_keys(wanted, self._settings.names)
        table, result = self._table, np.ones(len(self._table), bool)
        for condition in wanted:
            if condition.key in ("id", "label"):
                result &= _filters.mask([condition], table.ids, table.labels, ())
                continue
            if self._metadata_checked != self._settings.version:
                self._file.check_metadata(table.keys, table.checks)
                self._metadata_checked = self._settings.version
            meets = np.zeros(len(table), bool)
            meets[np.searchsorted(table.keys, self._file.where(condition))] = True
            result &= meets
        return result

    def _metadata(self, positions):
        return self._file.metadata(self._table.keys[positions], self._table.checks[positions])

    def _kept_graph(self):
        return {
            "cache": f"{self.path}.hnsw",
            "stamp": f"{self._settings.file} {self._settings.graphs} {zlib.crc32(self._table.embeddings)}",
        }


def write_file(index, path, *, next_id):
    """Write all rows of an index into a file, in one transaction that replaces what was there."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    new, ours, file = not path.exists(), False, None
    try:
        file = GalleryFile(path, distance=index.distance)
        with file.writing() as settings:
            ours = new and settings.version == 1  # as it was made, and nobody has written to it
            settings = file.remove_all(replace(settings, distance=index.distance))
            for rows in index.blocks():
                _, settings = file.append(settings, rows)
            settings = replace(settings, class_names=index.class_names, next_id=next_id)
            file.keep(settings)
    except BaseException:
        if file is not None:
            file.close()
        if ours:
            for left in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                left.unlink(missing_ok=True)
        raise
    try:
        if new:
            file.fold()  # here and not on closing, which says nothing of a full disk
    finally:
        file.close()
