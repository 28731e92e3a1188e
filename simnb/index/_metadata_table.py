"""The metadata of a file's rows: a table of plain values, one of bytes, and conditions as SQL."""

import zlib

import numpy as np

from simnb.index._digest import BOOLEAN, BYTES, checksum_of, checksum_of_stored, stored
from simnb.index._incoming import kind

TABLES = (
    "CREATE TABLE metadata (position INTEGER NOT NULL, key TEXT NOT NULL, kind INTEGER NOT NULL, value, "
    "PRIMARY KEY (position, key)) WITHOUT ROWID",  # of bytes the value is their checksum
    "CREATE TABLE bytes (position INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL)",
    "CREATE INDEX bytes_of_row ON bytes (position)",
)


class MetadataTable:
    """Metadata by the keys of rows, inside the transactions of the file.

    Args:
        db: The connection.

    What reads raises ``ValueError``, or another error of a value's type, where the values are not those that
    were written.
    """

    def __init__(self, db):
        """Use the connection of the file."""
        self._db = db

    def write(self, keys, metadata):
        """Write the metadata of rows that have none; return their checksums, shape [n] int64."""
        checksums, values, blobs = np.zeros(len(keys), np.int64), [], []
        for i, (key, row) in enumerate(zip(keys.tolist(), metadata, strict=True)):
            if row:
                plain = stored(row)
                checksums[i] = checksum_of_stored(plain)
                values += [(key, *value) for value in plain]
                blobs += [(key, name, value) for name, value in row.items() if isinstance(value, bytes)]
        self._db.executemany("INSERT INTO metadata VALUES (?, ?, ?, ?)", values)
        self._db.executemany("INSERT INTO bytes VALUES (?, ?, ?)", blobs)
        return checksums

    def delete(self, keys):
        """Delete the metadata of rows."""
        for table in ("metadata", "bytes"):
            self._db.executemany(f"DELETE FROM {table} WHERE position = ?", zip(keys.tolist()))

    def checksums(self, keys):
        """The checksum of each row's metadata, as the table of rows has it: shape [n] int64."""
        found = dict(self._among("SELECT position, metadata FROM rows", keys))
        return np.array([found.get(key, -1) for key in keys.tolist()], np.int64)

    def read(self, keys):
        """Metadata of rows: an object array of dicts."""
        unique = np.unique(keys)
        rows = {key: {} for key in unique.tolist()}
        for key, name, sort, value in self._among("SELECT position, key, kind, value FROM metadata", unique):
            rows[key][name] = bool(value) if sort == BOOLEAN else (sort, value) if sort == BYTES else value
        for key, name, value in self._among("SELECT position, key, value FROM bytes", unique):
            sort, checksum = rows[key].get(name) or (None, None)
            if sort != BYTES or checksum != zlib.crc32(value):
                raise ValueError(f"the bytes {name!r} of a row are not those that were written")
            rows[key][name] = value
        if self.checksums(unique).tolist() != [checksum_of(row) for row in rows.values()]:
            raise ValueError("the metadata of a row are not those that were written")
        result = np.empty(len(keys), object)
        result[:] = [dict(rows[key]) for key in keys.tolist()]
        return result

    def check(self):
        """Read all but the bytes, and compare them with what was written."""
        rows = {}
        for key, *value in self._db.execute("SELECT position, key, kind, value FROM metadata"):
            rows.setdefault(key, []).append(value)
        written = self._db.execute("SELECT position, metadata FROM rows WHERE metadata != 0")
        if dict(written) != {key: checksum_of_stored(values) for key, values in rows.items()}:
            raise ValueError("metadata are not those that were written")

    def where(self, condition):
        """Keys of the rows that meet a condition: ascending, shape [n] int64."""
        found = []
        for sql, values in _terms(condition):
            sql = f"SELECT position FROM metadata WHERE key = ? AND {sql}"
            found += self._db.execute(sql, (condition.key, *values)).fetchall()
        keys = np.unique(np.array(found, np.int64).reshape(-1))
        wanted = [value for value in condition.values if kind(value) == "bytes"]
        return np.union1d(keys, self._where_bytes(condition.key, wanted)) if wanted else keys

    def _where_bytes(self, name, wanted):
        sql = f"SELECT position FROM metadata WHERE key = ? AND kind = {BYTES} AND value = ?"
        checksums = {zlib.crc32(value) for value in wanted}
        found = [self._db.execute(sql, (name, checksum)).fetchall() for checksum in checksums]
        keys = np.array([key for some in found for (key,) in some], np.int64)
        return keys[[row[name] in wanted for row in self.read(keys)]] if len(keys) else keys

    def _among(self, query, keys):
        keys = keys.tolist()
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ", ".join("?" * len(some))
            yield from self._db.execute(f"{query} WHERE position IN ({marks})", some)


def _terms(condition):
    """SQL for a condition on plain values: pairs of text and parameters, any of which will do."""
    kinds = {
        "number": "kind = 0 AND typeof(value) IN ('integer', 'real')",
        "str": "kind = 0 AND typeof(value) = 'text'",
        "boolean": "kind = 1",
    }
    if condition.comparison is not None:
        yield f"{kinds[kind(condition.values[0])]} AND value {condition.comparison} ?", condition.values
        return
    for name, test in kinds.items():
        values = [value for value in condition.values if kind(value) == name]
        for start in range(0, len(values), 500):
            some = values[start : start + 500]
            yield f"{test} AND value IN ({', '.join('?' * len(some))})", some
