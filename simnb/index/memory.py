"""An exact index whose rows live in arrays of this process."""

import numpy as np

from simnb import _checks
from simnb.distances import DISTANCES
from simnb.index.exact import ExactSearch
from simnb.index.protocol import UNKNOWN, Neighbors, Rows, check_new_rows


class MemoryIndex:
    """Rows in arrays, searched exactly.

    Args:
        distance: One of ``simnb.distances.DISTANCES``.

    Example:
        >>> import numpy as np
        >>> from simnb.index import open_index
        >>> index = open_index(distance="cosine")
        >>> index.add(np.eye(3), labels=[7, 8, 9])
        array([0, 1, 2])
        >>> index.search([[0.9, 0.1, 0.0]], k=1).labels
        array([[7]])
    """

    def __init__(self, *, distance="cosine"):
        """Start empty."""
        self.distance = _checks.one_of(distance, DISTANCES, name="distance")
        self._rows = None  # Rows over the first len(self) slots of arrays that grow by doubling
        self._count = 0
        self._next_id = 0
        self._search = None  # ExactSearch over the rows as they are now, or None

    @property
    def dim(self):
        """Length of an embedding; None until the first row is added."""
        return None if self._rows is None else self._rows.embeddings.shape[1]

    @property
    def ids(self):
        """Id of every row, in the order they were added: shape [len] int64."""
        return self._view().ids.copy()

    @property
    def labels(self):
        """Label of every row, in the order they were added: shape [len] int64."""
        return self._view().labels.copy()

    def __len__(self):
        """How many rows are indexed."""
        return self._count

    def __repr__(self):
        """Size and distance."""
        return f"MemoryIndex({len(self)} rows, dim={self.dim}, distance={self.distance!r})"

    def add(self, embeddings, labels=None, *, ids=None):
        """Add rows.

        Args:
            embeddings: Shape [num_examples, dim]; not all zero under cosine.
            labels: Integers, shape [num_examples]; ``UNKNOWN`` when left out.
            ids: Non-negative integers, unique, shape [num_examples]; the next free ones when left out.

        Returns:
            The ids, shape [num_examples] int64.

        Raises:
            ValueError: If anything is malformed or an id is taken; the index is then unchanged.
        """
        embeddings, labels, ids = check_new_rows(embeddings, labels, ids, index=self, next_id=self._next_id)
        if len(ids) == 0:
            return ids
        taken = np.isin(ids, self._view().ids)
        if taken.any():
            raise ValueError(f"ids must be new, but the index already holds id {ids[taken][0]}")
        rows = self._with_room_for(len(self) + len(ids), embeddings.shape[1])
        new = slice(len(self), len(self) + len(ids))
        rows.ids[new], rows.embeddings[new], rows.labels[new] = ids, embeddings, labels
        self._rows, self._count, self._search = rows, new.stop, None
        self._next_id = max(self._next_id, int(ids.max()) + 1)
        return ids

    def search(self, embeddings, k=5):
        """Find the k nearest rows of each query.

        Args:
            embeddings: Queries, shape [num_queries, dim].
            k: How many neighbors. Where the index holds fewer rows, the rest of each line is padded
                with distance ``inf``, id -1 and label ``UNKNOWN``; an empty index pads everything.

        Returns:
            ``Neighbors``, nearest first; equal distances in the order the rows were added.

        Raises:
            ValueError: If the queries are malformed or k is below 1.
        """
        cosine = self.distance == "cosine"
        queries = _checks.embeddings(embeddings, name="queries", dim=self.dim, nonzero=cosine)
        k = _checks.positive_int(k, name="k")
        found = min(k, len(self))
        shape = (len(queries), k)
        distances = np.full(shape, np.inf, np.float32)
        ids = np.full(shape, -1, np.int64)
        labels = np.full(shape, UNKNOWN, np.int64)
        if found and len(queries):
            rows = self._view()
            if self._search is None:
                self._search = ExactSearch(rows.embeddings, self.distance)
            distances[:, :found], positions = self._search(queries, found)
            ids[:, :found] = rows.ids[positions]
            labels[:, :found] = rows.labels[positions]
        return Neighbors(distances, ids, labels, self.distance)

    def get(self, ids=None):
        """Return rows.

        Args:
            ids: Shape [n]; all rows, in the order they were added, when left out.

        Returns:
            ``Rows(ids, embeddings, labels)``: copies, in the order of ``ids``.

        Raises:
            ValueError: If an id is not in the index.
        """
        rows = self._view()
        at = slice(None) if ids is None else self._positions(ids)
        return Rows(rows.ids[at].copy(), rows.embeddings[at].copy(), rows.labels[at].copy())

    def remove(self, ids):
        """Remove rows.

        Args:
            ids: Shape [n].

        Raises:
            ValueError: If an id is not in the index; nothing is then removed.
        """
        positions = self._positions(ids)
        if len(positions) == 0:
            return
        keep = np.ones(len(self), bool)
        keep[positions] = False
        rows = self._view()
        self._rows = Rows(rows.ids[keep], rows.embeddings[keep], rows.labels[keep])
        self._count, self._search = len(self._rows), None

    def _view(self):
        if self._rows is None:
            return Rows(np.empty(0, np.int64), np.empty((0, 0), np.float32), np.empty(0, np.int64))
        rows, used = self._rows, slice(0, self._count)
        return Rows(rows.ids[used], rows.embeddings[used], rows.labels[used])

    def _with_room_for(self, count, dim):
        if self._rows is not None and count <= len(self._rows):
            return self._rows
        old, used = self._view(), slice(0, len(self))
        size = max(count, 2 * len(self))
        rows = Rows(np.empty(size, np.int64), np.empty((size, dim), np.float32), np.empty(size, np.int64))
        if len(self):
            rows.ids[used], rows.embeddings[used], rows.labels[used] = old.ids, old.embeddings, old.labels
        return rows

    def _positions(self, ids):
        ids = np.asarray(ids)
        ids = _checks.labels(ids[None] if ids.ndim == 0 else ids, name="ids")
        rows = self._view()
        order = np.argsort(rows.ids)
        slots = np.searchsorted(rows.ids, ids, sorter=order)
        found = np.zeros(len(ids), bool)
        inside = slots < len(order)
        found[inside] = rows.ids[order[slots[inside]]] == ids[inside]
        if not found.all():
            raise ValueError(
                f"ids must be in the index, but {(~found).sum()} of {len(ids)} are not, "
                f"for example id {ids[~found][0]}"
            )
        return order[slots]
