"""Where embeddings are kept and searched: one protocol over every place they can live."""

from simnb.index.memory import MemoryIndex
from simnb.index.protocol import UNKNOWN, Index, Neighbors, Rows

__all__ = ["open_index", "Index", "MemoryIndex", "Neighbors", "Rows", "UNKNOWN"]


def open_index(uri="memory:", *, distance="cosine") -> Index:
    """Open an index by its address.

    Args:
        uri: Where the rows live. ``"memory:"`` keeps them in arrays of this process.
        distance: One of ``simnb.distances.DISTANCES``; smaller is closer.

    Returns:
        An empty index with ``add``, ``search``, ``get``, ``remove`` and ``len``.

    Raises:
        ValueError: If no engine answers to ``uri`` or the distance is unknown.
    """
    if uri != "memory:":
        raise ValueError(f'uri must be "memory:", got {uri!r}')
    return MemoryIndex(distance=distance)
