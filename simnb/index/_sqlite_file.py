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


class BlockTable:
    """Rows by their keys, inside the transactions of the file. Key ``k`` is in block ``k // 64``.

    Rows are two arrays: numbers, shape [n, 4] int64, and embeddings, shape [n, dim] float32. The numbers of a
    row are its key, its id, its label and the checksum of its metadata. A digest is the sum, modulo 2**64, of
    a number for each block that any change to it changes. What reads raises ``ValueError`` or ``TypeError``
    where a block cannot be what was written.

    Args:
        db: The ``Connection`` of the file.
    """

    def __init__(self, db):
        self._db = db

    def read(self, dim, since=0):
        """All rows of blocks from ``since`` on: pieces of (numbers, embeddings, digest)."""
        query = "SELECT block, numbers, embeddings FROM blocks WHERE block >= ? ORDER BY block"
        cursor = self._db.execute(query, (since,))
        while blocks := cursor.fetchmany(_AT_ONCE):
            yield _unpacked(blocks, dim)

    def load(self, blocks, dim):
        """The rows of some blocks, in the order of their keys: (numbers, embeddings, digest)."""
        found, blocks = [], np.unique(blocks).tolist()
        for start in range(0, len(blocks), 500):
            some = blocks[start : start + 500]
            marks = ", ".join("?" * len(some))
            query = f"SELECT block, numbers, embeddings FROM blocks WHERE block IN ({marks}) ORDER BY block"
            found += self._db.execute(query, some).fetchall()
        return _unpacked(found, dim)

    def store(self, numbers, embeddings):
        """Write whole blocks, in place of those that are there; return their digest."""
        packed = _packed(numbers, embeddings)
        self._db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", packed)
        return sum(_digest(*block) for block in packed)

    def delete(self, blocks):
        """Delete whole blocks."""
        self._db.executemany("DELETE FROM blocks WHERE block = ?", zip(np.unique(blocks).tolist()))


class GalleryFile:
    """One file, and the transactions in which it is read and changed.

    Args:
        path: Name of the file; it is made where there is none and ``distance`` is given.
        distance: What the rows of a new file are searched by.
        class_names: Name of each label in a new file, or None.
        patience: Seconds to wait for another process that reads or writes.

    Raises:
        ValueError: If the file is something else, damaged, or of a later version.
        OSError: If it cannot be opened or made.
    """

    def __init__(self, path, *, distance=None, class_names=None, patience=SECONDS_TO_WAIT):
        self._read = ("", None)  # the settings read last, as text and as an object
        self._db = Connection(path, prepare=drop_needless_journal, opened=_check_ours, patience=patience)
        self._blocks, self._metadata = BlockTable(self._db), MetadataTable(self._db)
        self.close, self.let_go, self.place = (
            self._db.close,
            self._db.let_go,
            self._db.place,
        )
        with self._db.explained():
            try:
                self._db.connect(make=distance is not None)
                if distance is not None and self._db.patiently(self._is_empty):
                    self._make(Settings(distance, class_names=class_names, file=secrets.token_hex(8)))
                _check_ours(self._db)
            except BaseException:
                self._db.disconnect()
                raise

    def remove_untouched(self):
        """Delete the file, unless somebody has written to it since it was made.

        Raises:
            FileNotFoundError: If it was deleted.
        """

        def remove(settings):
            if settings.version == 1:
                self.place.unlink()

        self.writing(remove)

    def reading(self, work, *, also_gone=False):
        """Call ``work(settings)`` on one state of the file, as ``Connection.reading``."""
        return self._db.reading(self._settings, work, also_gone=also_gone)

    def writing(self, work, **options):
        """Call ``work(settings)``, which changes the file wholly or not at all, as ``Connection.writing``."""
        return self._db.writing(self._settings, work, **options)

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
            raise self._db.damaged(f"its {count} rows are not the {settings.rows} that were written")

    def rows_since(self, settings, old, before):
        """Rows added since other settings: numbers, shape [n, 4], and embeddings, shape [n, dim].

        Args:
            settings: The ``Settings`` in the file now.
            old: Those of an earlier state, which the caller has the rows of.
            before: Called with a first key; gives the numbers and embeddings that the earlier state had from
                it on.

        Returns:
            The new rows; None where they are not all that has changed.
        """
        first, end = old.next_key // PER_BLOCK, old.next_key
        kept = before(first * PER_BLOCK)
        with self._as_written():
            pieces = list(self._blocks.read(settings.dim, first))
        digest = old.digest - _digest_of(*kept) + sum(of_piece for _, _, of_piece in pieces)
        if not pieces or digest % 2**64 != settings.digest:
            return None
        numbers, embeddings, _ = pieces[0]
        known = numbers[:, 0] < end  # the first block may hold rows of both states
        if not (np.array_equal(numbers[known], kept[0]) and np.array_equal(embeddings[known], kept[1])):
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
        """Read all that is in the file, also by SQLite's own check, and compare it with what was written.

        Raises:
            ValueError: If it differs.
        """
        if (found := self._db.pragma("integrity_check")) != "ok":
            raise self._db.damaged(found)
        for numbers, _ in self.rows(settings):
            self.metadata(numbers[:, 0], numbers[:, 3])

    def where(self, condition):
        """Keys of the rows that meet a condition on metadata: ascending, shape [n] int64."""
        with self._as_written():
            return self._metadata.where(condition)

    def _is_empty(self):
        return self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0

    def _make(self, settings):
        def make():
            if not self._is_empty():
                return  # another process was faster
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")
            self._db.execute(f"PRAGMA user_version = {FORMAT}")
            for table in _TABLES:
                self._db.execute(table)
            self._db.execute("INSERT INTO simnb VALUES ('', 0)")
            self.keep(settings)

        self._db.making(make)

    def _settings(self):
        rows = self._db.execute("SELECT settings, checksum FROM simnb").fetchall()
        if rows and rows[0][0] == self._read[0]:
            return self._read[1]
        if len(rows) != 1 or not isinstance(rows[0][0], str) or zlib.crc32(rows[0][0].encode()) != rows[0][1]:
            raise self._db.damaged("its settings are not those that were written")
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
            raise self._db.damaged(error) from error


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
    file.execute("PRAGMA cell_size_check = ON")
    file.execute("PRAGMA synchronous = EXTRA")  # an acknowledged change survives a power cut


def write_file(path, blocks, *, distance, class_names, next_id):
    """Write rows into a file, in one transaction that replaces what was there.

    Args:
        path: Name of the file, ``.sqlite``.
        blocks: ``Rows``, one after the other.
        distance: What the rows are searched by.
        class_names: Name of each label, or None.
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
            with contextlib.suppress(OSError, ValueError):  # the first error is the one that matters
                _remove_untouched(path)
        raise


def _remove_untouched(path):
    """Remove the file of a first save that did not finish, unless somebody has written to it."""
    if path.stat().st_size == 0:
        path.unlink()
        return
    with contextlib.closing(GalleryFile(path)) as file:
        file.remove_untouched()


def drop_needless_journal(path):
    """Delete the ``-journal`` that a kill has left, where the file is whole without it.

    SQLite would use it to undo what the killed process wrote, even in a copy that was put back since. It
    looks for a journal by the name it is given, so under another name the file can be locked and read as it
    is. Where the file is not whole, SQLite undoes the change.

    Args:
        path: Absolute name of the file.
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


def _digest_of(numbers, embeddings):
    """The digest that whole blocks of these rows would have."""
    return sum(_digest(*block) for block in _packed(numbers, embeddings))


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
