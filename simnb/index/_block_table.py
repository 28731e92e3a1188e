"""The rows of a file, 64 to a block: a million are read in a second, and a change writes a few blocks."""

import hashlib
import struct
import zlib

import numpy as np

TABLE = "CREATE TABLE blocks (block INTEGER PRIMARY KEY, numbers BLOB NOT NULL, embeddings BLOB NOT NULL)"
NUMBERS = ("keys", "ids", "labels", "checks")  # of a row; the check is that of its metadata
PER_BLOCK = 64
_AT_ONCE = 256  # blocks


class BlockTable:
    """Rows by their keys, inside the transactions of the file. Key ``k`` is in block ``k // 64``.

    Rows are two arrays: numbers, shape [n, 4] int64 in the order of ``NUMBERS``, and embeddings, shape
    [n, dim] float32. A digest is the sum, modulo 2**64, of a number for each block that any change to it
    changes. What reads raises ``ValueError`` or ``TypeError`` where a block cannot be what was written.

    Args:
        db: The ``Connection`` of the file.
    """

    def __init__(self, db):
        """Use the connection of the file."""
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


def digest(numbers, embeddings):
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
