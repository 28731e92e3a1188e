"""One SQLite file of rows: what is in it, and how a change to it is made sure.

Every change is one transaction of SQLite, written ahead (WAL) and synchronized before it is acknowledged.
SQLite itself does not notice a byte that changed on the disk. So the file holds a digest of its rows: a sum
over them that each change adjusts, and that is compared when all rows are read.
"""

import contextlib
import errno
import json
import secrets
import sqlite3
import time
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from simnb._terminal import progress_bar
from simnb.index._block_table import PER_BLOCK, TABLE, BlockTable
from simnb.index._metadata_table import TABLES, MetadataTable

APPLICATION = 0x53494D42  # "SIMB", which `file` and we tell such files by
FORMAT = 1
SECONDS_TO_WAIT = 30  # for another process that writes
SMALLEST = 512  # bytes of an SQLite file
_TABLES = (
    "CREATE TABLE simnb (settings TEXT NOT NULL, checksum INTEGER NOT NULL)",
    TABLE,
    *TABLES,
)


@dataclass(frozen=True)
class Settings:
    """What the file says of its rows.

    ``digest`` is that of its blocks, ``names`` are those of metadata. ``version`` counts changes,
    ``rewrites`` those that are more than added rows, ``graphs`` those of embeddings, after which a graph over
    them is out of date.
    """

    distance: str
    dim: int | None = None
    rows: int = 0
    digest: int = 0
    next_id: int = 0
    next_key: int = 0
    version: int = 0
    rewrites: int = 0
    graphs: int = 0
    file: str = ""
    names: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None


class GalleryFile:
    """A connection to one file.

    Args:
        path: Name of the file; it is made where there is none and ``distance`` is given.
        distance: Of a new file.
        class_names: Of a new file.

    Raises:
        ValueError: If the file is something else, damaged, or of a later version.
        OSError: If it cannot be opened or made.
    """

    def __init__(self, path, *, distance=None, class_names=None):
        """Open or make the file."""
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(self.path.parent))
        with self._explained():
            self._connect()
        self._blocks, self._metadata = BlockTable(self._db), MetadataTable(self._db)
        try:
            with self._explained():
                if 0 < self.path.stat().st_size < SMALLEST:  # SQLite takes it for an empty one
                    raise ValueError(f"{self.path} is not an index: it is cut, or something else")
                if self._is_empty() and distance is not None:
                    self._make(Settings(distance, class_names=class_names, file=secrets.token_hex(8)))
                self._check()
        except BaseException:
            self.close()
            raise

    def close(self):
        """Close; the last one that does folds what was written ahead into the file."""
        self._db.close()

    def fold(self):
        """Fold what was written ahead into the file, so that it is one file.

        Raises:
            OSError: If that cannot be done; what was written is safe, in this file and the one beside it.
        """
        try:
            busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.DatabaseError as error:
            busy = error
        if busy:
            full = getattr(busy, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR"))
            reason = "the disk is full" if full else "another process reads it"
            raise OSError(
                errno.ENOSPC if full else errno.EBUSY,
                f"{reason}: the rows are safe, but a part of them is still in the file beside it that ends "
                "in -wal; open the index once more, later, and close it",
                str(self.path),
            )

    @property
    def counter(self):
        """A number that differs when another connection has changed the file."""
        with self._explained():
            return self._db.execute("PRAGMA data_version").fetchone()[0]

    @contextlib.contextmanager
    def reading(self):
        """See one state of the file, whatever others write meanwhile; gives its ``Settings``."""
        with self._transaction("BEGIN"):
            yield self._settings()

    @contextlib.contextmanager
    def writing(self):
        """Change the file, all of it or not at all; gives its ``Settings``."""
        with self._transaction("BEGIN IMMEDIATE"):
            yield self._settings()

    def read(self, settings, since=0):
        """Rows from a key on, in pieces: numbers, shape [n, 4], and embeddings, shape [n, dim].

        Args:
            settings: Of the state that is read.
            since: First key.

        Raises:
            ValueError: If a block is damaged, or, at the end, all of them are not those that were written.
        """
        digest, count, first = 0, 0, since // PER_BLOCK
        with progress_bar(total=settings.rows, desc="Reading", unit="row", shown=not since) as bar:
            pieces = self._blocks.read(settings.dim, first)
            while True:
                with self._as_written():
                    piece = next(pieces, None)
                if piece is None:
                    break
                numbers, embeddings, of_piece = piece
                digest, count = digest + of_piece, count + len(numbers)
                bar.update(len(numbers))
                new = numbers[:, 0] >= since
                yield (numbers, embeddings) if new.all() else (numbers[new], embeddings[new])
        if not since and (count, digest % 2**64) != (settings.rows, settings.digest):
            raise self._damaged(f"its {count} rows are not the {settings.rows} that were written")

    def append(self, settings, rows):
        """Write ``Rows`` behind the others; return their numbers, [n, 4], and the settings afterwards."""
        dim = rows.embeddings.shape[1]
        keys = settings.next_key + np.arange(len(rows))
        checks = self._metadata.write(keys, rows.metadata)
        new = np.stack([keys, rows.ids, rows.labels, checks], axis=1)
        # The last block may have room.
        numbers, embeddings, gone = self._load(keys[:1] if settings.next_key % PER_BLOCK else keys[:0], dim)
        come = self._blocks.store(
            np.concatenate([numbers, new]), np.concatenate([embeddings, rows.embeddings])
        )
        return new, replace(
            settings,
            dim=dim,
            rows=settings.rows + len(rows),
            digest=(settings.digest - gone + come) % 2**64,
            next_key=settings.next_key + len(rows),
            names=_union(settings.names, rows.metadata),
            graphs=settings.graphs + 1,
        )

    def replace(self, settings, keys, parts):
        """Write parts of rows; return the checks of their metadata, and the settings afterwards."""
        numbers, embeddings, gone = self._load(keys, settings.dim)
        numbers, embeddings = numbers.copy(), embeddings.copy()
        at = np.searchsorted(numbers[:, 0], keys)
        if "labels" in parts:
            numbers[at, 2] = parts["labels"]
        if "embeddings" in parts:
            embeddings[at] = parts["embeddings"]
        if "metadata" in parts:
            self._metadata.delete(keys)
            numbers[at, 3] = self._metadata.write(keys, parts["metadata"])
        come = self._blocks.store(numbers, embeddings)
        return numbers[at, 3], replace(
            settings,
            digest=(settings.digest - gone + come) % 2**64,
            rewrites=settings.rewrites + 1,
            names=_union(settings.names, parts.get("metadata", ())),
            graphs=settings.graphs + ("embeddings" in parts),
        )

    def remove(self, settings, keys):
        """Delete rows; return the settings afterwards."""
        numbers, embeddings, gone = self._load(keys, settings.dim)
        stay = ~np.isin(numbers[:, 0], keys)
        self._metadata.delete(keys)
        self._blocks.delete(keys // PER_BLOCK)
        come = self._blocks.store(numbers[stay], embeddings[stay])
        return replace(
            settings,
            rows=settings.rows - len(keys),
            digest=(settings.digest - gone + come) % 2**64,
            rewrites=settings.rewrites + 1,
            graphs=settings.graphs + 1,
        )

    def remove_all(self, settings):
        """Delete every row; return the settings afterwards."""
        for table in ("blocks", "metadata", "bytes"):
            self._db.execute(f"DELETE FROM {table}")
        return replace(
            settings,
            rows=0,
            digest=0,
            dim=None,
            names=(),
            class_names=None,
            rewrites=settings.rewrites + 1,
            graphs=settings.graphs + 1,
        )

    def _load(self, keys, dim):
        with self._as_written():
            return self._blocks.load(keys // PER_BLOCK, dim)

    def keep(self, settings):
        """Write the settings, the last thing of a change; returns them as they are written."""
        settings = replace(settings, version=settings.version + 1)
        text = json.dumps(asdict(settings))
        self._db.execute("UPDATE simnb SET settings = ?, checksum = ?", (text, zlib.crc32(text.encode())))
        return settings

    def metadata(self, keys, checks):
        """Metadata of rows that have these checks: an object array of dicts.

        Raises:
            ValueError: If they are not those that were written.
        """
        with self._as_written():
            return self._metadata.read(keys, checks)

    def check_metadata(self, keys, checks):
        """Read all metadata but the bytes, and compare them with the checks of all rows.

        Raises:
            ValueError: If they differ.
        """
        with self._as_written():
            self._metadata.check(keys, checks)

    def where(self, condition):
        """Keys of the rows that meet a condition on metadata: ascending, shape [n] int64."""
        with self._as_written():
            return self._metadata.where(condition)

    def _connect(self):
        # isolation_level=None: transactions begin where we say. Widgets call from other threads.
        options = {"isolation_level": None, "timeout": SECONDS_TO_WAIT, "check_same_thread": False}
        self._db = sqlite3.connect(self.path, **options)
        try:
            self._is_empty()
        except sqlite3.OperationalError as error:
            # Reading, too, needs a file beside this one, unless SQLite may rely on nobody changing it.
            cannot = error.sqlite_errorname.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
            if not (cannot and self.path.is_file()) or Path(f"{self.path}-wal").exists():
                raise
            self._db.close()
            self._db = sqlite3.connect(f"{self.path.resolve().as_uri()}?immutable=1", uri=True, **options)

    def _is_empty(self):
        return self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0

    def _make(self, settings):
        until = time.monotonic() + SECONDS_TO_WAIT
        while self._db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:  # SQLite itself does not wait here, where two processes make one file
                self._db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                    raise
                time.sleep(0.01)
        with self._transaction("BEGIN IMMEDIATE"):
            if not self._is_empty():
                return  # another process was faster
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {FORMAT}")
            for table in _TABLES:
                self._db.execute(table)
            self._db.execute("INSERT INTO simnb VALUES ('', 0)")
            self.keep(settings)

    def _check(self):
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise ValueError(f"{self.path} is an SQLite file, but not an index of simnb; choose another name")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != FORMAT:
            raise ValueError(
                f"{self.path} has format {version}, this simnb reads format {FORMAT}: "
                'update it with pip install --upgrade "simnb"'
            )
        self._db.execute("PRAGMA cell_size_check = ON")
        self._db.execute("PRAGMA synchronous = FULL")

    def _settings(self):
        rows = self._db.execute("SELECT settings, checksum FROM simnb").fetchall()
        if len(rows) != 1 or not isinstance(rows[0][0], str) or zlib.crc32(rows[0][0].encode()) != rows[0][1]:
            raise self._damaged("its settings are not those that were written")
        settings = json.loads(rows[0][0])
        class_names = settings["class_names"]
        settings |= {
            "names": tuple(settings["names"]),
            "class_names": None if class_names is None else tuple(class_names),
        }
        return Settings(**settings)

    @contextlib.contextmanager
    def _as_written(self):
        """Values of another type than was written: SQLite has no types of columns that would stop them."""
        try:
            yield
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._damaged(error) from error

    @contextlib.contextmanager
    def _transaction(self, begin):
        with self._explained():
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self):
        """Say what SQLite's errors mean here."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise self._meaning(error) from error

    def _meaning(self, error):
        name = getattr(error, "sqlite_errorname", "")
        if isinstance(error, sqlite3.ProgrammingError):
            return ValueError(f"the index of {self.path} is closed: open it again")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return TimeoutError(
                errno.ETIMEDOUT,
                f"another process writes for more than {SECONDS_TO_WAIT} s; try again",
                str(self.path),
            )
        if name == "SQLITE_FULL":
            return OSError(errno.ENOSPC, "the disk is full; the index is as it was before", str(self.path))
        if name.startswith("SQLITE_READONLY"):
            return PermissionError(
                errno.EACCES, "the file or its folder cannot be written to", str(self.path)
            )
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
            return OSError(errno.EIO, f"the file cannot be read or written ({error})", str(self.path))
        if name.startswith("SQLITE_NOTADB"):
            return ValueError(
                f"{self.path} is not an index: it is no SQLite file, or its beginning is damaged"
            )
        return self._damaged(error)

    def _damaged(self, what):
        return ValueError(
            f"{self.path} is damaged: {what}. Take a copy of it from before, or build the index anew"
        )


def _union(names, metadata):
    new = {name for row in metadata for name in row} - set(names)
    return (*names, *sorted(new))
