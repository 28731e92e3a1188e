"""One SQLite file of rows, 64 to a block: a million are read in a second, and a change writes a few blocks.

SQLite itself does not notice a byte that changed on the disk. So the file holds a digest of its rows: a sum
over them that each change adjusts, and that is compared when rows are read. That of the metadata is compared
when a condition first asks for them, and again after what another process has changed.
"""

import contextlib
import hashlib
import json
import os
import secrets
import struct
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from simnb._terminal import progress_bar
from simnb.index._sqlite_connection import Connection
from simnb.index._sqlite_metadata import TABLES, MetadataTable

APPLICATION = 0x53494D42  # "SIMB", which `file` and we tell such files by
FORMAT = 1
SECONDS_TO_WAIT = 60  # for another process that reads or writes
SUFFIXES = (".sqlite", ".sqlite3")
PER_BLOCK = 64  # rows
_AT_ONCE = 256  # blocks
_TABLES = (
    "CREATE TABLE simnb (settings TEXT NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE TABLE blocks (block INTEGER PRIMARY KEY, numbers BLOB NOT NULL, embeddings BLOB NOT NULL)",
    *TABLES,
)

# What SQLite runs when a table is read or written; ours are plain tables.
_NOT_OURS = """SELECT name FROM sqlite_master
    WHERE type IN ('view', 'trigger') OR upper(sql) LIKE 'CREATE VIRTUAL%'"""


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
    """One file, and the transactions in which it is read and changed.

    Its rows are two arrays: numbers, shape [n, 4] int64 (key, id, label and checksum of the metadata of each
    row), and embeddings, shape [n, dim] float32. The row of key ``k`` is in block ``k // 64``. A digest is
    the sum, modulo 2**64, of a number for each block that any change to it changes. What reads rows raises
    ValueError where they are not those that were written.

    Where there is none, it is made with ``new`` settings, if they are given.

    Raises:
        ValueError: If the file is something else, damaged, or of a later version.
        OSError: If it cannot be opened or made.
    """

    def __init__(self, path, *, new=None, patience=SECONDS_TO_WAIT):
        self._read = ("", None)  # the settings read last, as text and as an object
        self._db = Connection(path, prepare=drop_needless_journal, opened=_check_ours, patience=patience)
        self.metadata = MetadataTable(self._db)
        self.close, self.let_go, self.place = self._db.close, self._db.let_go, self._db.place
        with self._db.explained():
            try:
                self._db.connect(make=new is not None)
                if new is not None and self._db.patiently(self._is_empty):
                    self._db.making(lambda: self._make(replace(new, file=secrets.token_hex(8))))
                _check_ours(self._db)
            except BaseException:
                self._db.disconnect()
                raise

    def reading(self, work, *, also_gone=False):
        """Call ``work(settings)`` on one state of the file, as ``Connection.reading``."""
        return self._db.reading(self._settings, work, also_gone=also_gone)

    def writing(self, work):
        """Call ``work(settings)``, which changes the file wholly or not at all, as ``Connection.writing``."""
        return self._db.writing(self._settings, work)

    def rows(self, settings):
        """All rows, in pieces of (numbers, embeddings); at the end they are compared with the digest."""
        digest, count = 0, 0
        with progress_bar(total=settings.rows, desc="Reading", unit="row") as bar:
            for numbers, embeddings, of_piece in self._pieces(settings.dim):
                digest, count = digest + of_piece, count + len(numbers)
                bar.update(len(numbers))
                yield numbers, embeddings
        if (count, digest % 2**64) != (settings.rows, settings.digest):
            raise self._db.damaged(f"its {count} rows are not the {settings.rows} that were written")

    def rows_since(self, settings, old, before):
        """Rows added since ``old`` settings, in pieces; None where they are not all that changed.

        ``before``, called with a key, gives the numbers and embeddings that there were then from it on.
        """
        first, end = old.next_key // PER_BLOCK, old.next_key
        kept = before(first * PER_BLOCK)
        pieces = list(self._pieces(settings.dim, first))
        of_kept = sum(_digest(*block) for block in _packed(*kept))
        digest = old.digest - of_kept + sum(of_piece for _, _, of_piece in pieces)
        if not pieces or digest % 2**64 != settings.digest:
            return None
        numbers, embeddings, _ = pieces[0]
        known = numbers[:, 0] < end  # the first block may hold rows of both states
        if not (np.array_equal(numbers[known], kept[0]) and np.array_equal(embeddings[known], kept[1])):
            return None
        new = [(numbers[:, 0] >= end, numbers, embeddings) for numbers, embeddings, _ in pieces]
        return [(numbers[rows], embeddings[rows]) for rows, numbers, embeddings in new]

    def append(self, settings, rows):
        """Write ``Rows`` behind the others; return their numbers, and the settings afterwards."""
        dim = rows.embeddings.shape[1]
        keys = settings.next_key + np.arange(len(rows))
        checks = self.metadata.write(keys, rows.metadata)
        new = np.stack([keys, rows.ids, rows.labels, checks], axis=1)
        numbers, embeddings, gone = self._load(keys[:1], dim)  # the last block may have room
        return new, self._stored(
            settings,
            gone,
            np.concatenate([numbers, new]),
            np.concatenate([embeddings, rows.embeddings]),
            dim=dim,
            rows=settings.rows + len(rows),
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
            self.metadata.delete(keys)
            numbers[at, 3] = self.metadata.write(keys, parts["metadata"])
        return numbers[at, 3], self._stored(
            settings,
            gone,
            numbers,
            embeddings,
            rewrites=settings.rewrites + 1,
            names=_union(settings.names, parts.get("metadata", ())),
            graphs=settings.graphs + ("embeddings" in parts),
        )

    def remove(self, settings, keys):
        numbers, embeddings, gone = self._load(keys, settings.dim)
        stay = ~np.isin(numbers[:, 0], keys)
        self.metadata.delete(keys)
        blocks = np.unique(keys // PER_BLOCK).tolist()
        self._db.executemany("DELETE FROM blocks WHERE block = ?", zip(blocks))
        return self._stored(
            settings,
            gone,
            numbers[stay],
            embeddings[stay],
            rows=settings.rows - len(keys),
            rewrites=settings.rewrites + 1,
            graphs=settings.graphs + 1,
        )

    def remove_all(self, settings):
        """Delete every row; return the settings afterwards."""
        for table in ("blocks", "metadata", "bytes"):
            self._db.execute(f"DELETE FROM {table}")
        counts = {"rewrites": settings.rewrites + 1, "graphs": settings.graphs + 1}
        return replace(settings, rows=0, digest=0, dim=None, names=(), **counts)

    def keep(self, settings):
        """Write the settings, the last thing of a change; returns them as they are written."""
        settings = replace(settings, version=settings.version + 1)
        text = json.dumps(asdict(settings))
        self._read = (text, settings)
        self._db.execute("UPDATE simnb SET settings = ?, checksum = ?", (text, zlib.crc32(text.encode())))
        return settings

    def check(self, settings):
        """Read all that is in the file, also by SQLite's own check, and compare it with what was written."""
        if (found := self._db.pragma("integrity_check")) != "ok":
            raise self._db.damaged(found)
        for numbers, _ in self.rows(settings):
            self.metadata.read(numbers[:, 0], numbers[:, 3])

    def _pieces(self, dim, since=0):
        """Rows of the blocks from ``since`` on, in pieces of (numbers, embeddings, digest)."""
        query = "SELECT block, numbers, embeddings FROM blocks WHERE block >= ? ORDER BY block"
        cursor = self._db.execute(query, (since,))
        while blocks := cursor.fetchmany(_AT_ONCE):
            with self._db.as_written():
                piece = _unpacked(blocks, dim)
            yield piece

    def _load(self, keys, dim):
        """All rows of the blocks that keys belong to, by their keys: (numbers, embeddings, digest)."""
        blocks = np.unique(keys // PER_BLOCK).tolist()
        query = "SELECT block, numbers, embeddings FROM blocks WHERE block IN ({}) ORDER BY block"
        with self._db.as_written():
            return _unpacked(list(self._db.among(query, blocks)), dim)

    def _stored(self, settings, gone, numbers, embeddings, **changes):
        """Write whole blocks, in place of those with the digest ``gone``; return the settings afterwards."""
        blocks = _packed(numbers, embeddings)
        self._db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", blocks)
        digest = settings.digest - gone + sum(_digest(*block) for block in blocks)
        return replace(settings, digest=digest % 2**64, **changes)

    def _is_empty(self):
        return self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0

    def _make(self, settings):
        if not self._is_empty():
            return  # another process was faster
        self._db.execute(f"PRAGMA application_id = {APPLICATION}")
        self._db.execute(f"PRAGMA user_version = {FORMAT}")
        for table in _TABLES:
            self._db.execute(table)
        self._db.execute("INSERT INTO simnb VALUES ('', 0)")
        self.keep(settings)

    def _settings(self):
        rows = self._db.execute("SELECT settings, checksum FROM simnb").fetchall()
        if rows and rows[0][0] == self._read[0]:
            return self._read[1]
        if len(rows) != 1 or not isinstance(rows[0][0], str) or zlib.crc32(rows[0][0].encode()) != rows[0][1]:
            raise self._db.damaged("its settings are not those that were written")
        settings = json.loads(rows[0][0])
        settings = {name: tuple(each) if isinstance(each, list) else each for name, each in settings.items()}
        self._read = (rows[0][0], Settings(**settings))
        return self._read[1]


def _check_ours(file):
    """Check that an opened file is an index, and set how SQLite uses it."""
    if file.pragma("application_id") != APPLICATION:
        raise ValueError(f"{file.path} is an SQLite file, but not an index of simnb; choose another name")
    version = file.pragma("user_version")
    if version != FORMAT:
        raise ValueError(
            f"{file.path} has format {version}, this simnb reads format {FORMAT}: "
            'update it with pip install --upgrade "simnb"'
        )
    file.execute("PRAGMA trusted_schema = OFF")  # as SQLite advises for files of others, with cell_size_check
    file.execute("PRAGMA cell_size_check = ON")
    if odd := file.execute(_NOT_OURS).fetchone():
        raise ValueError(
            f"{file.path} is not used: it holds {odd[0]!r}, which simnb never makes and SQLite would run"
        )
    file.execute("PRAGMA synchronous = EXTRA")  # an acknowledged change survives a power cut


def write_file(path, blocks, settings):
    """Write blocks of ``Rows`` into a file, in one transaction that replaces what was there.

    Of the settings, distance, class names and next free id are taken.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, got {str(path)!r}")
    is_new = not path.exists()

    def write(old):
        now = file.remove_all(old)
        for rows in blocks:
            _, now = file.append(now, rows)
        names = ("distance", "class_names", "next_id")
        file.keep(replace(now, **{name: getattr(settings, name) for name in names}))

    try:
        with contextlib.closing(GalleryFile(path, new=Settings(settings.distance))) as file:
            file.writing(write)
    except BaseException:
        if is_new and path.is_file():
            with contextlib.suppress(OSError, ValueError):  # the first error is the one that matters
                _remove_untouched(path)
        raise


def _remove_untouched(path):
    """Remove the file of a first save that did not finish, unless somebody has written to it."""
    if path.stat().st_size == 0:
        path.unlink()
        return
    with contextlib.closing(GalleryFile(path)) as file:
        file.writing(lambda settings: path.unlink() if settings.version == 1 else None)


def drop_needless_journal(path):
    """Delete the ``-journal`` that a kill has left, where the file is whole without it.

    SQLite would use it to undo what the killed process wrote, even in a copy that was put back since. It
    looks for a journal by the name it is given, so under another name the file can be locked and read as it
    is. Where the file is not whole, SQLite undoes the change.
    """
    path = path.resolve()  # as SQLite does, to name the journal
    journal, other = Path(f"{path}-journal"), path.with_name(f".{path.name}.whole")
    if not (path.is_file() and journal.exists() and journal.stat().st_size):
        return
    try:
        other.unlink(missing_ok=True)  # of a process that was killed here
        os.link(path, other)
    except OSError:  # no two names for one file on this disk, or no right to make one
        return

    def drop(settings):
        file.check(settings)
        journal.unlink(missing_ok=True)

    try:
        with contextlib.closing(GalleryFile(other, patience=0)) as file:
            file.writing(drop)  # refused while another process writes: the journal is that one's
    except (ValueError, OSError):
        return  # SQLite decides
    finally:
        other.unlink(missing_ok=True)


def _union(names, metadata):
    new = {name for row in metadata for name in row} - set(names)
    return (*names, *sorted(new))


def _packed(numbers, embeddings):
    numbers, embeddings = np.ascontiguousarray(numbers, "<i8"), np.ascontiguousarray(embeddings, "<f4")
    blocks, starts = np.unique(numbers[:, 0] // PER_BLOCK, return_index=True)
    ends = np.append(starts, len(numbers))[1:]
    return [
        (block, numbers[start:end].tobytes(), embeddings[start:end].tobytes())
        for block, start, end in zip(blocks.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ]


def _unpacked(blocks, dim):
    if not blocks:
        return np.empty((0, 4), np.int64), np.empty((0, dim or 0), np.float32), 0
    for _, numbers, embeddings in blocks:
        if len(numbers) % 32 or len(embeddings) * 8 != len(numbers) * dim:
            raise ValueError("a block has another length than was written")
    digest = sum(_digest(*block) for block in blocks)
    numbers = np.frombuffer(b"".join(block[1] for block in blocks), "<i8").reshape(-1, 4)
    embeddings = np.frombuffer(b"".join(block[2] for block in blocks), "<f4").reshape(-1, dim)
    return numbers, embeddings, digest


def _digest(block, numbers, embeddings):
    checksums = struct.pack("<qII", block, zlib.crc32(numbers), zlib.crc32(embeddings))
    return int.from_bytes(hashlib.blake2b(checksums, digest_size=8).digest(), "little")
