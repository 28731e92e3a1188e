"""A connection to one SQLite file: a change is made whole, whatever interrupts it or happens to the file.

Every change is one transaction of SQLite, in the file itself and synchronized before it is acknowledged: no
part of what was acknowledged is in a file beside it. While a change is written, ``-journal`` beside the file
holds what to go back to. Files of earlier versions, which wrote ahead into ``-wal``, become such files when
they are opened.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import sqlite3
import time
import weakref
from pathlib import Path

from simnb.index import _calls

SMALLEST = 512  # an SQLite file has no fewer bytes
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_FEW = 2**20  # bytes free on a disk that has refused to write
#: Device and inode of files that were in use at a fork: SQLite believes this process to hold their locks.
_of_parent: set[tuple[int, int]] = set()


class Connection:
    """Transactions of one file, over a connection that is made again whenever that is due.

    It is due after an interrupt, which might have left a transaction open (closing undoes it), after a fork,
    and when the file at the path is another or was written to. ``prepare`` is called with its absolute name
    before the file is opened, and ``opened`` with this object whenever it was. Another process that reads or
    writes is waited for, ``patience`` seconds.
    """

    def __init__(self, path, *, prepare, opened, patience):
        self.path = Path(path)
        self.place = Path(os.path.abspath(path))  # the current folder may become another
        self.db = None  # the sqlite3.Connection
        self._prepare, self._opened, self._patience = prepare, opened, patience
        self._clean = True  # certainly no transaction is open
        self._closed = False
        self._unlocked = False  # SQLite takes no locks, so that we have to look whether others have written
        self._last = ()  # what was seen of the file when it was opened, or last written to
        self._cursors = []  # weak references, of this transaction: one that is read in part keeps its lock
        _calls.watch(self)

    def connect(self, *, make=False):
        """Open the file, or make an empty one."""
        if not self.place.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(self.path.parent))
        if self.place.is_file() and 0 < self.place.stat().st_size < SMALLEST:  # SQLite takes it as empty
            raise ValueError(f"{self.path} is not an index: it is cut short, or something else")
        self._prepare(self.place)
        self._unlocked = False
        self._open(f"mode={'rwc' if make else 'rw'}", make)
        try:
            mode = self.pragma("journal_mode")
        except sqlite3.OperationalError as error:
            # Written by an earlier version, in a folder we may not write to: SQLite wants a file beside it
            # even to read, unless it may rely on nobody changing it. So we look whether anybody has.
            cannot = _name(error).startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))
            if not (cannot and self.place.is_file()):
                raise
            if self._ahead().exists():
                raise self._error(
                    errno.EACCES,
                    "an earlier version of simnb left rows in the file beside it that ends in -wal; open it "
                    "once as a user who may write to the folder",
                ) from error
            self.disconnect()
            self._unlocked = True
            self._open("immutable=1", make)
            mode = ""
        if mode == "wal":
            with contextlib.suppress(sqlite3.OperationalError):  # others have it open, or may not write to it
                self.execute("PRAGMA journal_mode = DELETE")

    def disconnect(self):
        """Close until the next call."""
        if self.db is not None:
            self._close_cursors()
            self.db.close()
        self.db = None
        self._clean = True

    def _close_cursors(self):
        for one in self._cursors:
            if (cursor := one()) is not None:
                cursor.close()
        self._cursors.clear()

    def close(self):
        self._closed = True
        self.disconnect()

    def let_go(self):
        """Close until the next call, before a fork; says whether that could be done."""
        if self.db is not None and not self._clean:
            return False
        self.disconnect()
        return True

    def before_fork(self, _):
        return True  # an index lets go of its file

    def after_fork(self, _, child):
        """Give up a connection that is still open: it belongs to the parent."""
        if child and self.db is not None:
            # Were it closed, SQLite would undo what the parent is writing.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.db))
            _of_parent.add(self._last[:2])
            self.db, self._closed = None, True

    def reading(self, first, work, *, also_gone=False):
        """Call ``work(first())`` on one state of the file, whatever others write meanwhile.

        Both may be called again, where another process holds them up or the file changed. ``also_gone`` reads
        an open file also where it was deleted or replaced: to save what is in it.
        """
        while True:
            result = self._transaction("BEGIN", first, work, also_gone)
            if not self._unlocked or self._seen() == self._last:
                return result

    def making(self, work):
        """Call ``work()``, which makes the tables of a file that was just opened."""
        self._transaction("BEGIN IMMEDIATE", lambda: None, lambda _: work(), as_it_is=True)

    def writing(self, first, work):
        """Call ``work(first())``, which changes the file: either all of it is done, or nothing."""
        result = self._transaction("BEGIN IMMEDIATE", first, work)
        now = self._seen()
        if now[:2] != self._last[:2]:
            raise self._error(
                errno.EIO,
                "the file was replaced while it was written to: the change is in the old file only",
            )
        self._last = now
        return result

    def _ready(self, also_gone):
        """Have a connection to the file that is at the path, with no transaction open."""
        if self._closed:
            raise ValueError(f"the index of {self.path} is closed: open it again")
        # Also where others have only written to it: SQLite cannot tell a copy that was written into the file.
        if self.db is not None and not (self._clean and (also_gone or self._seen() == self._last)):
            self.disconnect()
        if self.db is None:
            try:
                self.connect()
                self._opened(self)
            except BaseException:
                self.disconnect()
                raise

    def _open(self, options, make):
        uri, before = f"{self.place.as_uri()}?{options}", None
        while self.db is None or before not in (None, self._last[:2]):  # until it was not replaced meanwhile
            self.disconnect()
            before = self._seen()[:2] if self.place.exists() or not make else None
            # isolation_level=None: transactions begin where we say. Widgets call from other threads.
            self.db = sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=0.1, check_same_thread=False
            )
            self._last = self._seen()
        if self._last[:2] in _of_parent:
            raise self._error(
                errno.EBUSY,
                "this process was forked while another thread used the file, and can no longer lock it: "
                'use the index in a process that multiprocessing starts with "spawn"',
            )
        self._clean = True

    def execute(self, *arguments):
        """As ``sqlite3.Connection.execute``."""
        cursor = self.db.execute(*arguments)
        self._cursors.append(weakref.ref(cursor))
        return cursor

    def executemany(self, *arguments):
        return self.db.executemany(*arguments)

    def among(self, query, keys, *values):
        """Go through what a query with ``IN ({})`` at its end finds, asked for some keys at a time."""
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            yield from self.execute(query.format(", ".join("?" * len(some))), (*values, *some))

    def pragma(self, name):
        """A value that SQLite keeps of the file."""
        return self.patiently(lambda: self.execute(f"PRAGMA {name}").fetchone()[0])

    def _seen(self):
        """What tells the file at the path from another, and from itself before a change."""
        try:
            found = self.place.stat()
        except FileNotFoundError as error:
            raise self._error(
                errno.ENOENT,
                "the file of this index is gone; put it back, or write the rows that are still in memory "
                "into another file with index.save(path)",
            ) from error
        ahead = self._unlocked and self._ahead().exists()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, ahead

    def _ahead(self):
        """The file into which earlier versions wrote ahead; SQLite names it by where links lead."""
        return Path(f"{self.place.resolve()}-wal")

    def _transaction(self, begin, first, work, also_gone=False, *, as_it_is=False):
        def start():
            if self.db.in_transaction:
                self.execute("ROLLBACK")
            self.execute(begin)
            return first()

        with self.explained():
            if not as_it_is:
                self._ready(also_gone)
            try:
                self._clean = False
                self._cursors.clear()
                result = work(self.patiently(start))
                self.patiently(lambda: self.execute("COMMIT"))
                self._clean = True
            except sqlite3.Error as error:
                meaning = self._meaning(error)  # before anything is undone: the disk may be full now
                self.disconnect()
                raise meaning from error
            except Exception:
                self._undo()  # a refusal, most likely: the next call need not open the file again
                raise
            except BaseException:
                self.disconnect()
                raise
            return result

    def _undo(self):
        try:
            self._close_cursors()
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            self._clean = True
        except sqlite3.Error:
            self.disconnect()

    def patiently(self, step):
        """Do a step that another process may hold up. SQLite itself waits, but not for Ctrl-C."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return step()
            except sqlite3.OperationalError as error:
                if not _name(error).startswith(_BUSY) or time.monotonic() > until:
                    raise

    @contextlib.contextmanager
    def explained(self):
        """Say what SQLite's errors mean here."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._meaning(error) from error

    @contextlib.contextmanager
    def as_written(self):
        """Call a file damaged where values are of another type than was written: SQLite would take them."""
        try:
            yield
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise self.damaged(error) from error

    def _meaning(self, error):
        name = _name(error)
        if name == "SQLITE_TOOBIG":
            return ValueError("a value of metadata, or a row, must be smaller than 1 GB")
        if name.startswith("SQLITE_NOTADB"):
            return ValueError(
                f"{self.path} is not an index: it is not an SQLite file, or its beginning is damaged"
            )
        if _says_damaged(error):
            return self.damaged(error)
        code, text = errno.EIO, f"the file cannot be read or written now ({error}); try again"
        if name.startswith(_BUSY):
            code = errno.ETIMEDOUT
            text = f"another process has been using the file for more than {self._patience} s; try again"
        elif name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and self._disk_is_full()):
            code, text = errno.ENOSPC, "the disk is full; the index is as it was before"
        elif name == "SQLITE_READONLY_ROLLBACK":
            code = errno.EACCES
            text = (
                "a process was killed while it wrote to the file; to undo that, open it once as a user who "
                "may write to it and its folder"
            )
        elif name.startswith("SQLITE_READONLY"):
            code, text = errno.EACCES, "the file or its folder cannot be written to"
        return self._error(code, text)

    def _error(self, code, text):
        """The ``OSError`` of a code: a ``TimeoutError``, ``PermissionError`` and so on."""
        return OSError(code, text, str(self.path))

    def _disk_is_full(self):
        try:
            return shutil.disk_usage(self.place.parent).free < _FEW
        except OSError:
            return False

    def damaged(self, what):
        """The error that says so, and what to do."""
        return ValueError(
            f"{self.path} is damaged: {what}. Put back an earlier copy, with no file of the same name plus "
            "-journal, -wal or -shm beside it; or build the index anew"
        )


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
