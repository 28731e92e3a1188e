"""Checksums by which a file of rows is known to be as it was written."""

import struct
import zlib

import numpy as np

PLAIN, BOOLEAN, BYTES = range(3)  # kinds of metadata


def row_digests(keys, ids, labels, embeddings, metadata):
    """The sum, modulo 2**64, of a number for each row that any change to it changes."""
    embeddings = np.ascontiguousarray(embeddings, "<f4")
    checksums = np.array([zlib.crc32(row) for row in embeddings], np.uint64)
    total = 0
    for field, values in enumerate((ids, labels, metadata, checksums)):
        total += int(_mix(keys, field, values).sum(dtype=np.uint64))
    return total % 2**64


def _mix(keys, field, values):
    """Numbers that look random: the finalizer of splitmix64 (Steele et al., 2014), over all three."""
    x = keys.astype(np.uint64) * np.uint64(4) + np.uint64(field)
    x = _scramble(x * np.uint64(0x9E3779B97F4A7C15))
    return _scramble(x ^ values.astype(np.uint64))


def _scramble(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def checksum_of(row):
    """Checksum of a row's metadata; 0 where it has none."""
    return checksum_of_stored(stored(row)) if row else 0


def stored(row):
    """(name, kind, value) of each value of metadata, as the table holds them; of bytes their checksum."""
    return [
        (name, BOOLEAN, int(value))
        if isinstance(value, bool)
        else (name, BYTES, zlib.crc32(value))
        if isinstance(value, bytes)
        else (name, PLAIN, value)
        for name, value in row.items()
    ]


def checksum_of_stored(values):
    """Checksum of a row's metadata, from what ``stored`` gives."""
    checksum = 0
    for name, kind, value in sorted(map(tuple, values)):
        packed = struct.pack("<d", value) if isinstance(value, float) else repr(value).encode()
        checksum = zlib.crc32(f"{name} {kind} {type(value).__name__} ".encode() + packed, checksum)
    return checksum or 1
