"""The metadata of a file's rows: a table of plain values, one of bytes, and conditions as SQL."""

import struct
import zlib

import numpy as np

from simnb.index._validation import kind

PLAIN, BOOLEAN, BYTES = range(3)  # kinds of values
TABLES = (
    "CREATE TABLE metadata (position INTEGER NOT NULL, key TEXT NOT NULL, kind INTEGER NOT NULL, value, "
    "PRIMARY KEY (position, key)) WITHOUT ROWID",  # of bytes the value is their checksum
    "CREATE TABLE bytes (position INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL)",
    "CREATE INDEX bytes_of_row ON bytes (position)",
)
_VALUES = "SELECT position, key, kind, value FROM metadata WHERE position IN ({})"
_BYTES = "SELECT position, key, value FROM bytes WHERE position IN ({})"
_TESTS = {
    "number": f"kind = {PLAIN} AND typeof(value) IN ('integer', 'real')",
    "str": f"kind = {PLAIN} AND typeof(value) = 'text'",
    "boolean": f"kind = {BOOLEAN}",
}  # of the values that one kind can be compared with


class MetadataTable:
    """Metadata by the keys of rows, inside the transactions of a file's ``Connection``.

    What reads raises ValueError where the values are not those that were written.
    """

    def __init__(self, db):
        self._db = db

    def write(self, keys, metadata):
        """Write the metadata of rows that have none; return their checksums, shape [n] int64."""
        checksums, values, blobs = np.zeros(len(keys), np.int64), [], []
        for i, (key, row) in enumerate(zip(keys.tolist(), metadata, strict=True)):
            if row:
                plain = _stored(row)
                checksums[i] = _checksum(plain)
                values += [(key, *value) for value in plain]
                blobs += [(key, name, value) for name, value in row.items() if isinstance(value, bytes)]
        self._db.executemany("INSERT INTO metadata VALUES (?, ?, ?, ?)", values)
        self._db.executemany("INSERT INTO bytes VALUES (?, ?, ?)", blobs)
        return checksums

    def delete(self, keys):
        for table in ("metadata", "bytes"):
            self._db.executemany(f"DELETE FROM {table} WHERE position = ?", zip(keys.tolist()))

    def read(self, keys, checks):
        """Metadata of rows, an object array of dicts, which have these checksums."""
        with self._db.as_written():
            unique = np.unique(keys).tolist()
            rows = {key: {} for key in unique}
            for key, name, sort, value in self._db.among(_VALUES, unique):
                value = bool(value) if sort == BOOLEAN else (sort, value) if sort == BYTES else value
                rows[key][name] = value
            for key, name, value in self._db.among(_BYTES, unique):
                sort, checksum = rows[key].get(name) or (None, None)
                if sort != BYTES or checksum != zlib.crc32(value):
                    raise ValueError(f"the bytes {name!r} of a row are not those that were written")
                rows[key][name] = value
            checksums = {key: _checksum(_stored(row)) for key, row in rows.items()}
            if [checksums[key] for key in keys.tolist()] != checks.tolist():
                raise ValueError("the metadata of a row are not those that were written")
            result = np.empty(len(keys), object)
            result[:] = [dict(rows[key]) for key in keys.tolist()]
            return result

    def check(self, keys, checks):
        """Read all but the bytes, and compare them with the checksums of all rows."""
        with self._db.as_written():
            rows = {}
            for key, *value in self._db.execute("SELECT position, key, kind, value FROM metadata"):
                rows.setdefault(key, []).append(value)
            some = checks != 0
            written = dict(zip(keys[some].tolist(), checks[some].tolist(), strict=True))
            if written != {key: _checksum(values) for key, values in rows.items()}:
                raise ValueError("metadata are not those that were written")

    def where(self, condition):
        """Keys of the rows that meet a condition: ascending, shape [n] int64."""
        with self._db.as_written():
            name, found = condition.key, []
            for sort, test in _TESTS.items():
                query = f"SELECT position FROM metadata WHERE key = ? AND {test} AND value "
                values = [value for value in condition.values if kind(value) == sort]
                if condition.comparison is None:
                    found += self._db.among(f"{query}IN ({{}})", values, name)
                elif values:
                    found += self._db.execute(f"{query}{condition.comparison} ?", (name, *values)).fetchall()
            keys = np.unique(np.array(found, np.int64))
            wanted = [value for value in condition.values if kind(value) == "bytes"]
            return np.union1d(keys, self._where_bytes(name, wanted)) if wanted else keys

    def _where_bytes(self, name, wanted):
        checksums = {zlib.crc32(value) for value in wanted}
        query = f"SELECT position FROM metadata WHERE key = ? AND kind = {BYTES} AND value IN ({{}})"
        keys = np.unique(np.array([*self._db.among(query, list(checksums), name)], np.int64))
        query = "SELECT position, value FROM bytes WHERE key = ? AND position IN ({})"
        blobs = dict(self._db.among(query, keys.tolist(), name))
        if any(zlib.crc32(blobs[key]) not in checksums for key in keys.tolist()):
            raise ValueError(f"the bytes {name!r} of a row are not those that were written")
        return keys[[blobs[key] in wanted for key in keys.tolist()]]


def _stored(row):
    """Name, kind and value of each value of metadata, as the table holds them; of bytes their checksum."""
    return [
        (name, BOOLEAN, int(value))
        if isinstance(value, bool)
        else (name, BYTES, zlib.crc32(value))
        if isinstance(value, bytes)
        else (name, PLAIN, value)
        for name, value in row.items()
    ]


def _checksum(values):
    """Checksum of a row's metadata, from what ``_stored`` gives; 0 where it has none."""
    checksum = 0
    for name, sort, value in sorted(map(tuple, values)):
        packed = struct.pack("<d", value) if isinstance(value, float) else repr(value).encode()
        checksum = zlib.crc32(f"{name} {sort} {type(value).__name__} ".encode() + packed, checksum)
    return (checksum or 1) if values else 0
