"""One SQLite file of rows: what is in it, and how a change to it is made sure.

Every change is one transaction of SQLite, in the file itself and synchronized before it is acknowledged: no
part of what was acknowledged is in a file beside it. (While a change is written, ``-journal`` beside the file
holds what to go back to. Files of earlier versions, which wrote ahead into ``-wal``, become such files when
they are opened.) SQLite itself does not notice a byte that changed on the disk. So the file holds a digest of
its rows: a sum over them that each change adjusts, and that is compared when rows are read.
"""

import contextlib
import ctypes
import errno
import json
import os
import secrets
import shutil
import sqlite3
import time
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from simnb._terminal import progress_bar
from simnb.index import _fork
from simnb.index._block_table import PER_BLOCK, TABLE, BlockTable
from simnb.index._block_table import digest as block_digest
from simnb.index._metadata_table import TABLES, MetadataTable

APPLICATION = 0x53494D42  # "SIMB", which `file` and we tell such files by
FORMAT = 1
SECONDS_TO_WAIT = 30  # for another process that reads or writes
SUFFIXES = (".sqlite", ".sqlite3")
SMALLEST = 512  # bytes of an SQLite file
_FEW = 2**20  # bytes free on a disk that has refused to write
_of_parent = set()  # files that SQLite believes to be locked in this process, since it was forked
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

    It is opened again whenever that is due: after an interrupt or an error, which might have left a
    transaction open, after a fork, and when there is another file at the path.

    Args:
        path: Name of the file; it is made where there is none and ``distance`` is given.
        distance: Of a new file.
        class_names: Of a new file.
        patience: Seconds that another process is waited for, which reads or writes.

    Raises:
        ValueError: If the file is something else, damaged, or of a later version.
        OSError: If it cannot be opened or made.
    """

    def __init__(self, path, *, distance=None, class_names=None, patience=SECONDS_TO_WAIT):
        """Open or make the file."""
        self.path = Path(path)
        self._patience = patience
        self._place = Path(os.path.abspath(path))  # the current folder may become another
        self._db = None
        self._clean = True  # no transaction may be open
        self._closed = False
        self._read = ("", None)  # the settings read last, as text and as they are
        _fork.watch(self)
        if not self._place.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(self.path.parent))
        if self._place.is_file() and 0 < self._place.stat().st_size < SMALLEST:  # SQLite takes it as empty
            raise ValueError(f"{self.path} is not an index: it is cut, or something else")
        with self._explained():
            try:
                self._connect(make=distance is not None)
                if distance is not None and self._patiently(self._is_empty):
                    self._make(Settings(distance, class_names=class_names, file=secrets.token_hex(8)))
                self._check()
            except BaseException:
                self._disconnect()
                raise

    def close(self):
        """Close."""
        self._closed = True
        self._disconnect()

    def let_go(self):
        """Close until the next call, before a fork; says whether that could be done."""
        if self._clean:
            self._disconnect()
        return self._clean

    def before_fork(self, _):
        """Nothing to do: an index lets go of its file."""
        return True

    def after_fork(self, _, child):
        """Leave a connection that is still open to the parent, for ever."""
        if child and self._db is not None:
            # Were it closed, SQLite would undo what the parent is writing.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._db))
            _of_parent.add(self._last[:2])
            self._db, self._closed = None, True

    def remove_untouched(self):
        """Delete the file, unless somebody has written to it since it was made."""
        self._transaction("BEGIN IMMEDIATE", lambda made: made.version > 1 or self._place.unlink())

    def reading(self, work, *, also_gone=False):
        """Call ``work(settings)`` on one state of the file, whatever others write meanwhile.

        Args:
            work: Is given the ``Settings``; may be called again where the file changed under it.
            also_gone: Whether a file will do that is at its path no more, if it is open.
        """
        while True:
            result = self._transaction("BEGIN", work, also_gone)
            if not self._unlocked or self._seen() == self._last:
                return result

    def writing(self, work):
        """Call ``work(settings)``, which changes the file: all of it is done or nothing.

        Raises:
            OSError: If there is another file at the path by now, so that the change is not in it.
        """
        result = self._transaction("BEGIN IMMEDIATE", work)
        now = self._seen()
        if now[:2] != self._last[:2]:
            raise OSError(
                errno.EIO, "the file was replaced while it was written to: the change is lost", str(self.path)
            )
        self._last = now
        return result

    def rows(self, settings):
        """All rows, in pieces: numbers, shape [n, 4], and embeddings, shape [n, dim].

        Raises:
            ValueError: If a block is damaged, or, at the end, all of them are not those that were written.
        """
        digest, count = 0, 0
        with progress_bar(total=settings.rows, desc="Reading", unit="row") as bar:
            pieces = self._blocks.read(settings.dim)
            while True:
                with self._as_written():
                    piece = next(pieces, None)
                if piece is None:
                    break
                numbers, embeddings, of_piece = piece
                digest, count = digest + of_piece, count + len(numbers)
                bar.update(len(numbers))
                yield numbers, embeddings
        if (count, digest % 2**64) != (settings.rows, settings.digest):
            raise self._damaged(f"its {count} rows are not the {settings.rows} that were written")

    def rows_since(self, settings, old, before):
        """Rows added since other settings: numbers, shape [n, 4], and embeddings, shape [n, dim].

        Args:
            settings: Of the state that is read.
            old: Those of an earlier state.
            before: Called with a first key; gives the numbers and embeddings that the earlier state had from
                it on.

        Returns:
            The new rows; None where they are not all that has changed.
        """
        first, end = old.next_key // PER_BLOCK, old.next_key
        kept = before(first * PER_BLOCK)
        with self._as_written():
            pieces = list(self._blocks.read(settings.dim, first))
        digest = old.digest - block_digest(*kept) + sum(piece[2] for piece in pieces)
        # The first block may hold rows of both states.
        again = [(numbers[:, 0] < end, numbers, embeddings) for numbers, embeddings, _ in pieces[:1]]
        again = [(numbers[rows], embeddings[rows]) for rows, numbers, embeddings in again] or [kept]
        same = all(map(np.array_equal, kept, again[0]))
        if not same or digest % 2**64 != settings.digest:
            return None
        new = [(numbers[:, 0] >= end, numbers, embeddings) for numbers, embeddings, _ in pieces]
        return [(numbers[rows], embeddings[rows]) for rows, numbers, embeddings in new]

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
        self._read = (text, settings)
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

    def check(self, settings):
        """Read all that is in the file, and compare it with what was written.

        Raises:
            ValueError: If it differs.
        """
        for numbers, _ in self.rows(settings):
            self.metadata(numbers[:, 0], numbers[:, 3])

    def where(self, condition):
        """Keys of the rows that meet a condition on metadata: ascending, shape [n] int64."""
        with self._as_written():
            return self._metadata.where(condition)

    def _ready(self, also_gone):
        """Have a connection to the file that is at the path, with no transaction open."""
        if self._closed:
            raise ValueError(f"the index of {self.path} is closed: open it again")
        # Also where others have only written to it: SQLite cannot tell a copy that was written into the file.
        if self._db is not None and not (self._clean and (also_gone or self._seen() == self._last)):
            self._disconnect()
        if self._db is None:
            try:
                self._connect()
                self._check()
            except BaseException:
                self._disconnect()
                raise

    def _connect(self, *, make=False):
        drop_needless_journal(self._place)
        self._unlocked = False
        self._open(f"mode={'rwc' if make else 'rw'}")
        try:
            mode = self._pragma("journal_mode")
        except sqlite3.OperationalError as error:
            # Written by an earlier version, and in a folder that is not ours: SQLite wants a file beside it
            # even to read, unless it may rely on nobody changing it. So we look whether anybody has.
            cannot = _name(error).startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
            if not (cannot and self._place.is_file()) or Path(f"{self._place}-wal").exists():
                raise
            self._disconnect()
            self._unlocked = True
            self._open("immutable=1")
            mode = ""
        if mode == "wal":
            with contextlib.suppress(sqlite3.OperationalError):  # others have it open, or may not write to it
                self._db.execute("PRAGMA journal_mode = DELETE")

    def _open(self, options):
        uri, before = f"{self._place.as_uri()}?{options}", None
        while self._db is None or before not in (None, self._last[:2]):  # until none was replaced meanwhile
            self._disconnect()
            before = self._seen()[:2] if self._place.exists() else None
            # isolation_level=None: transactions begin where we say. Widgets call from other threads.
            self._db = sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=0.1, check_same_thread=False
            )
            self._last = self._seen()
        if self._last[:2] in _of_parent:
            raise OSError(
                errno.EBUSY,
                "this process was forked while another thread used the file, and cannot lock it any more: "
                'use the index in a process that multiprocessing starts with "spawn"',
                str(self.path),
            )
        self._blocks, self._metadata = BlockTable(self._db), MetadataTable(self._db)
        self._clean = True

    def _pragma(self, name):
        return self._patiently(lambda: self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _disconnect(self):
        if self._db is not None:
            self._db.close()
        self._db = None

    def _seen(self):
        """What tells the file at the path from another, and from itself before a change."""
        try:
            found = self._place.stat()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                errno.ENOENT,
                "the file of this index is there no more; put it back, or write the rows that are still open "
                "into another with index.save(path)",
                str(self.path),
            ) from error
        ahead = self._unlocked and Path(f"{self._place}-wal").exists()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, ahead

    def _is_empty(self):
        return self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0

    def _make(self, settings):
        def make(_):
            if not self._is_empty():
                return  # another process was faster
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {FORMAT}")
            for table in _TABLES:
                self._db.execute(table)
            self._db.execute("INSERT INTO simnb VALUES ('', 0)")
            self.keep(settings)

        self._transaction("BEGIN IMMEDIATE", make, new=True)

    def _check(self):
        if self._pragma("application_id") != APPLICATION:
            raise ValueError(f"{self.path} is an SQLite file, but not an index of simnb; choose another name")
        version = self._pragma("user_version")
        if version != FORMAT:
            raise ValueError(
                f"{self.path} has format {version}, this simnb reads format {FORMAT}: "
                'update it with pip install --upgrade "simnb"'
            )
        self._db.execute("PRAGMA cell_size_check = ON")
        self._db.execute("PRAGMA synchronous = EXTRA")  # a change that is acknowledged outlives the power

    def _settings(self):
        rows = self._db.execute("SELECT settings, checksum FROM simnb").fetchall()
        if rows and rows[0][0] == self._read[0]:
            return self._read[1]
        if len(rows) != 1 or not isinstance(rows[0][0], str) or zlib.crc32(rows[0][0].encode()) != rows[0][1]:
            raise self._damaged("its settings are not those that were written")
        settings = json.loads(rows[0][0])
        class_names = settings["class_names"]
        settings |= {
            "names": tuple(settings["names"]),
            "class_names": None if class_names is None else tuple(class_names),
        }
        self._read = (rows[0][0], Settings(**settings))
        return self._read[1]

    @contextlib.contextmanager
    def _as_written(self):
        """Values of another type than was written: SQLite has no types of columns that would stop them."""
        try:
            yield
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self._damaged(error) from error

    def _transaction(self, begin, work, also_gone=False, *, new=False):
        with self._explained():
            if not new:
                self._ready(also_gone)
            try:
                self._clean = False
                settings = self._begun(begin, new)
                result = work(settings)
                self._patiently(lambda: self._db.execute("COMMIT"))
                self._clean = True
            except sqlite3.Error as error:
                meaning = self._meaning(error)  # before anything is undone: the disk may be full now
                self._disconnect()
                raise meaning from error
            except BaseException:
                self._disconnect()  # also a table that was read in part, which would hold up others
                raise
            return result

    def _begun(self, begin, new):
        def start():
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._db.execute(begin)
            return None if new else self._settings()

        return self._patiently(start)

    def _patiently(self, step):
        """Do a step that another process may hold up. SQLite itself waits, but not for Ctrl-C."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if not _name(error).startswith(_BUSY) or time.monotonic() > until:
                    raise

    @contextlib.contextmanager
    def _explained(self):
        """Say what SQLite's errors mean here."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._meaning(error) from error

    def _meaning(self, error):
        name = _name(error)
        if name.startswith(_BUSY):
            return TimeoutError(
                errno.ETIMEDOUT,
                f"another process has used the file for more than {self._patience} s; try again",
                str(self.path),
            )
        if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and self._disk_is_full()):
            return OSError(errno.ENOSPC, "the disk is full; the index is as it was before", str(self.path))
        if name == "SQLITE_READONLY_ROLLBACK":
            return PermissionError(
                errno.EACCES,
                "a process was killed while it wrote to the file; to undo that, somebody who may write to it "
                "and its folder has to open it once",
                str(self.path),
            )
        if name.startswith("SQLITE_READONLY"):
            return PermissionError(
                errno.EACCES, "the file or its folder cannot be written to", str(self.path)
            )
        if name == "SQLITE_TOOBIG":
            return ValueError("a value of metadata, or a row, must be smaller than 1 GB")
        if name.startswith("SQLITE_NOTADB"):
            return ValueError(
                f"{self.path} is not an index: it is no SQLite file, or its beginning is damaged"
            )
        if _says_damaged(error):
            return self._damaged(error)
        return OSError(
            errno.EIO, f"the file cannot be read or written now ({error}); try again", str(self.path)
        )

    def _disk_is_full(self):
        try:
            return shutil.disk_usage(self._place.parent).free < _FEW
        except OSError:
            return False

    def _damaged(self, what):
        return ValueError(
            f"{self.path} is damaged: {what}. Put back a copy of it from before, without a file of its name "
            "that ends in -journal, -wal or -shm beside it; or build the index anew"
        )


def write_file(path, blocks, *, distance, class_names, next_id):
    """Write rows into a file, in one transaction that replaces what was there.

    Args:
        path: Name of the file, ``.sqlite``.
        blocks: ``Rows``, one after the other.
        distance: Of the index.
        class_names: Of the index, or None.
        next_id: The next free id.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    new = not path.exists()

    def write(settings):
        settings = file.remove_all(replace(settings, distance=distance))
        for rows in blocks:
            _, settings = file.append(settings, rows)
        file.keep(replace(settings, class_names=class_names, next_id=next_id))

    try:
        with contextlib.closing(GalleryFile(path, distance=distance)) as file:
            file.writing(write)
    except BaseException:
        if new and path.is_file():
            with contextlib.suppress(OSError, ValueError):  # what went wrong before is what matters
                _remove_untouched(path)
        raise


def _remove_untouched(path):
    """Remove the file of a first save that did not come to its end, unless somebody has written to it."""
    if path.stat().st_size == 0:
        path.unlink()
        return
    with contextlib.closing(GalleryFile(path)) as file:
        file.remove_untouched()


_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")


def _name(error):
    """SQLite's name of an error; empty where it is Python's own."""
    return getattr(error, "sqlite_errorname", "")


def _says_damaged(error):
    """Whether it is the file's own content that SQLite, or Python, cannot make sense of."""
    not_text = isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode")
    # Of tables and columns that the file has to have.
    missing = _name(error) == "SQLITE_ERROR" and str(error).startswith(("no such", "malformed"))
    of_content = ("SQLITE_CORRUPT", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")
    return not_text or missing or _name(error).startswith(of_content)


def drop_needless_journal(path):
    """Delete the ``-journal`` that a kill has left, where the file is whole without it.

    SQLite would undo by it what the killed process wrote, and do the same to a copy that was put back since.
    It looks for a journal of the name it is given, so that under another name the file can be locked and
    read as it is. Where it is not whole, SQLite undoes.

    Args:
        path: Absolute name of the file.
    """
    journal, other = Path(f"{path}-journal"), path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    if not (path.is_file() and journal.exists() and journal.stat().st_size):
        return
    try:
        os.link(path, other)
    except OSError:  # no two names for one file on this disk, or no right to make one
        return

    def drop(settings):
        file.check(settings)
        journal.unlink(missing_ok=True)

    try:
        with contextlib.closing(GalleryFile(other, patience=0)) as file:
            file.writing(drop)  # refused while another process writes, whose journal it then is
    except (ValueError, OSError):
        return  # SQLite decides
    finally:
        other.unlink(missing_ok=True)


def _union(names, metadata):
    new = {name for row in metadata for name in row} - set(names)
    return (*names, *sorted(new))
