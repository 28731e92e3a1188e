"""An index whose rows live in arrays of this process."""

from dataclasses import replace

import numpy as np

from simnb.index import _filters
from simnb.index.local import LocalIndex


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

    def __getstate__(self):
        """What is copied: the rows, not what was made ready to search them."""
        return self._read(
            lambda: {
                "search": self._kind,
                "recall": self._wanted_recall,
                "state": replace(self._state, table=self._table.copied()),
            }
        )

    def __setstate__(self, kept):
        """Take over the rows."""
        state = kept["state"]
        self.__init__(distance=state.distance, search=kept["search"], recall=kept["recall"])
        self._state = state

    def _where(self):
        return ""

    def _now(self, work, *arguments, also_gone=False):
        self._complete()
        return work(*arguments)

    def _changed(self, plan, *arguments):
        self._complete()
        changes, result = plan(*arguments)
        self._decide(changes, self._table.after(changes), self._state.distance)
        return result

    def _meet(self, wanted):
        table = self._table
        _filters.check_keys(wanted, {key for row in table.metadata for key in row})
        return _filters.mask(wanted, table.ids, table.labels, table.metadata)

    def _metadata(self, positions):
        metadata = np.empty(len(positions), object)
        metadata[:] = [dict(row) for row in self._table.metadata[positions]]
        return metadata
