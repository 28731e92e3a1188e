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
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from simnb._terminal import progress_bar
from simnb.index._digest import row_digests
from simnb.index._metadata_table import TABLES, MetadataTable

APPLICATION = 0x53494D42  # "SIMB", which `file` and we tell such files by
FORMAT = 1
SECONDS_TO_WAIT = 30  # for another process that writes
BLOCK = 20_000
SMALLEST = 512  # bytes of an SQLite file
_TABLES = (
    "CREATE TABLE simnb (settings TEXT NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE TABLE rows (position INTEGER PRIMARY KEY, id INTEGER NOT NULL, label INTEGER NOT NULL, "
    "metadata INTEGER NOT NULL, embedding BLOB NOT NULL)",  # metadata: a checksum of the row's
    *TABLES,
)


@dataclass(frozen=True)
class Settings:
    """What the file says of its rows.

    ``digest`` is the sum of ``row_digests``; ``version`` counts changes, ``rewrites`` those that are more
    than added rows, ``graphs`` those of embeddings, after which a graph over them is out of date.
    """

    distance: str
    dim: int | None = None
    rows: int = 0
    digest: int = 0
    next_id: int = 0
    next_position: int = 0
    version: int = 0
    rewrites: int = 0
    graphs: int = 0
    name: str = ""
    keys: tuple[str, ...] = ()
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
        self._metadata = MetadataTable(self._db)
        try:
            with self._explained():
                if 0 < self.path.stat().st_size < SMALLEST:  # SQLite takes it for an empty one
                    raise ValueError(f"{self.path} is not an index: it is cut, or something else")
                if self._is_empty() and distance is not None:
                    self._make(Settings(distance, class_names=class_names, name=secrets.token_hex(8)))
                self._check()
        except BaseException:
            self.close()
            raise

    def close(self):
        """Close; the last one that does folds what was written ahead into the file."""
        self._db.close()

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
        """Rows from a position on, in blocks: tuples of keys, ids, labels and embeddings.

        Args:
            settings: Of the state that is read.
            since: First position.

        Raises:
            ValueError: At the end, if they are not the rows that were written; only all of them are compared.
        """
        query = (
            "SELECT position, id, label, metadata, embedding FROM rows WHERE position >= ? ORDER BY position"
        )
        cursor, digest, count = self._db.execute(query, (since,)), 0, 0
        with progress_bar(total=settings.rows if not since else None, desc="Reading", unit="row") as bar:
            while rows := cursor.fetchmany(BLOCK):
                keys, ids, labels, metadata, blobs = zip(*rows, strict=True)
                if not all(isinstance(blob, bytes) and len(blob) == 4 * settings.dim for blob in blobs):
                    raise self._damaged("an embedding has another length")
                with self._as_written():
                    keys, ids, labels, metadata = (
                        np.array(x, np.int64) for x in (keys, ids, labels, metadata)
                    )
                embeddings = np.frombuffer(b"".join(blobs), "<f4").reshape(len(rows), settings.dim)
                digest += row_digests(keys, ids, labels, embeddings, metadata)
                count += len(rows)
                bar.update(len(rows))
                yield keys, ids, labels, embeddings
        if not since and (count, digest % 2**64) != (settings.rows, settings.digest):
            raise self._damaged(f"its {count} rows are not the {settings.rows} that were written")

    def append(self, settings, rows):
        """Write rows behind the others; return their keys and the settings afterwards."""
        keys = settings.next_position + np.arange(len(rows))
        metadata = self._metadata.write(keys, rows.metadata)
        self._db.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?)",
            zip(
                keys.tolist(),
                rows.ids.tolist(),
                rows.labels.tolist(),
                metadata.tolist(),
                _blobs(rows.embeddings),
                strict=True,
            ),
        )
        digest = row_digests(keys, rows.ids, rows.labels, rows.embeddings, metadata)
        return keys, replace(
            settings,
            dim=rows.embeddings.shape[1],
            rows=settings.rows + len(rows),
            digest=(settings.digest + digest) % 2**64,
            next_position=settings.next_position + len(rows),
            keys=_union(settings.keys, rows.metadata),
            graphs=settings.graphs + 1,
        )

    def replace(self, settings, keys, old, parts):
        """Write parts of rows; ``old`` are these ``Rows`` as they were. Returns the settings afterwards."""
        before = self._metadata.checksums(keys)
        after = before
        if "metadata" in parts:
            self._metadata.delete(keys)
            after = self._metadata.write(keys, parts["metadata"])
        labels, embeddings = parts.get("labels", old.labels), parts.get("embeddings", old.embeddings)
        self._db.executemany(
            "UPDATE rows SET label = ?, metadata = ?, embedding = ? WHERE position = ?",
            zip(labels.tolist(), after.tolist(), _blobs(embeddings), keys.tolist(), strict=True),
        )
        gone = row_digests(keys, old.ids, old.labels, old.embeddings, before)
        come = row_digests(keys, old.ids, labels, embeddings, after)
        return replace(
            settings,
            digest=(settings.digest - gone + come) % 2**64,
            rewrites=settings.rewrites + 1,
            keys=_union(settings.keys, parts.get("metadata", ())),
            graphs=settings.graphs + ("embeddings" in parts),
        )

    def remove(self, settings, keys, old):
        """Delete rows; ``old`` are these ``Rows`` as they were. Returns the settings afterwards."""
        gone = row_digests(keys, old.ids, old.labels, old.embeddings, self._metadata.checksums(keys))
        self._metadata.delete(keys)
        self._db.executemany("DELETE FROM rows WHERE position = ?", zip(keys.tolist()))
        return replace(
            settings,
            rows=settings.rows - len(keys),
            digest=(settings.digest - gone) % 2**64,
            rewrites=settings.rewrites + 1,
            graphs=settings.graphs + 1,
        )

    def remove_all(self, settings):
        """Delete every row; returns the settings afterwards."""
        for table in ("rows", "metadata", "bytes"):
            self._db.execute(f"DELETE FROM {table}")
        return replace(
            settings,
            rows=0,
            digest=0,
            dim=None,
            keys=(),
            class_names=None,
            rewrites=settings.rewrites + 1,
            graphs=settings.graphs + 1,
        )

    def keep(self, settings):
        """Write the settings, the last thing of a change; returns them as they are written."""
        settings = replace(settings, version=settings.version + 1)
        text = json.dumps(asdict(settings))
        self._db.execute("UPDATE simnb SET settings = ?, checksum = ?", (text, zlib.crc32(text.encode())))
        return settings

    def metadata(self, keys):
        """Metadata of rows: an object array of dicts.

        Raises:
            ValueError: If they are not those that were written.
        """
        with self._as_written():
            return self._metadata.read(keys)

    def check_metadata(self):
        """Read all metadata but the bytes, and compare them with what was written.

        Raises:
            ValueError: If they differ.
        """
        with self._as_written():
            self._metadata.check()

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
        self._db.execute("PRAGMA journal_mode = WAL")
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
        names = settings["class_names"]
        settings |= {
            "keys": tuple(settings["keys"]),
            "class_names": None if names is None else tuple(names),
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


def _blobs(embeddings):
    embeddings = np.ascontiguousarray(embeddings, "<f4")
    return (row.tobytes() for row in embeddings)


def _union(keys, metadata):
    new = {key for row in metadata for key in row} - set(keys)
    return (*keys, *sorted(new))
