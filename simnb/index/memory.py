"""An index whose rows live in arrays of this process."""

import contextlib

import numpy as np

from simnb.index import _filters
from simnb.index._table import Table
from simnb.index.local import LocalIndex
from simnb.index.sqlite import write_file


class MemoryIndex(LocalIndex):
    """Rows in arrays, gone with the process unless they are saved.

    Args:
        distance: One of ``simnb.distances.DISTANCES``.
        search: ``exact``, or ``hnsw`` for a graph that is built when it is first searched.
        recall: What share of the true neighbors the graph is to find.
        class_names: Name of each label.

    Example:
        >>> import numpy as np
        >>> from simnb.index import open_index
        >>> index = open_index(distance="cosine")
        >>> index.add(np.eye(3), labels=["cat", "dog", "cat"], metadata={"year": [2019, 2021, 2024]})
        array([0, 1, 2])
        >>> index.search([[0.9, 0.1, 0.0]], k=1, where={"year": {">": 2020}}).names
        array([['dog']], dtype=object)
    """

    _more_columns = ("metadata",)

    def __repr__(self):
        """Size and distance."""
        return f"MemoryIndex({len(self)} rows, dim={self.dim}, distance={self.distance!r})"

    def save(self, path):
        """Write all rows into one SQLite file, which ``open_index(path)`` opens.

        Args:
            path: Name of the file, ``.sqlite``. An index that is there is replaced in one transaction:
                whoever reads it sees the old rows or the new ones, also after a kill or a full disk.

        Raises:
            ValueError: If another kind of file is there.
            OSError: If it cannot be written; an index that was there is then as before.
        """
        write_file(self, path, next_id=self._next_id)

    def close(self):
        """Forget the rows."""
        self._table = Table(*self._more_columns)
        self._stale()

    def _refresh(self):
        """Nothing to do: nobody else can change these rows."""

    def _reading(self):
        return self._lock

    @contextlib.contextmanager
    def _writing(self):
        with self._lock:
            yield self._apply

    def _meet(self, wanted):
        table = self._table
        _filters.check_keys(wanted, {key for row in table.metadata for key in row})
        return _filters.mask(wanted, table.ids, table.labels, table.metadata)

    def _metadata(self, positions):
        metadata = np.empty(len(positions), object)
        metadata[:] = [dict(row) for row in self._table.metadata[positions]]
        return metadata
