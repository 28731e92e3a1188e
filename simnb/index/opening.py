"""One string says where an index lives."""

from pathlib import PurePath

from simnb.index.memory import MemoryIndex
from simnb.index.protocol import Index
from simnb.index.sqlite import SUFFIXES, SqliteIndex


def open_index(uri="memory:", *, distance=None, search="exact", recall=0.95, class_names=None) -> Index:
    """Open an index by its address, or make one there.

    Args:
        uri: Where the rows live:

            - ``"memory:"``: in arrays of this process;
            - ``"gallery.sqlite"``: in one file, searched in memory; several processes may use it.
        distance: One of ``simnb.distances.DISTANCES``; smaller is closer. Cosine for a new index when left
            out; an index that exists keeps its own.
        search: ``exact``, or ``hnsw`` for approximate search over a graph.
        recall: With ``hnsw``, the share of the true nearest neighbors that is to be found; what is found is
            measured.
        class_names: Name of each label, for labels that are positions in it. Strings as labels make it
            themselves.

    Returns:
        The index; see ``Index`` for what each of them does.

    Raises:
        ValueError: If nothing answers to ``uri``, an option is unknown, or what is there is no index, damaged
            or of another distance.
        OSError: If it cannot be reached or made.
        ImportError: If it needs a package that is not installed: the message says how to install it.
    """
    options = {"distance": distance, "search": search, "recall": recall, "class_names": class_names}
    if uri == "memory:":
        return MemoryIndex(**{**options, "distance": distance or "cosine"})
    text = str(uri) if isinstance(uri, str | PurePath) else ""
    if PurePath(text).suffix in SUFFIXES:
        return SqliteIndex(uri, **options)
    raise ValueError(f'uri must be "memory:" or a file such as "gallery.sqlite", got {uri!r}')
