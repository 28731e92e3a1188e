"""One string says where an index lives."""

import os
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from simnb._types import AnyPath
from simnb.index._sqlite_file import SUFFIXES
from simnb.index.base import Index
from simnb.index.local import MemoryIndex
from simnb.index.milvus import MilvusIndex
from simnb.index.milvus.client import SCHEMES
from simnb.index.sqlite import SqliteIndex


def open_index(
    uri: AnyPath = "memory:",
    *,
    distance: str | None = None,
    search: str | None = None,
    recall: float = 0.95,
    class_names: Iterable[str] | None = None,
    collection: str = "simnb",
    token: str | None = None,
    timeout: float | None = None,
) -> Index:
    """Open an index by its address, or make one there.

    Args:
        uri: Where the rows live:

            - ``"memory:"``: in arrays of this process;
            - ``"gallery.sqlite"``: in one file, searched in memory; several processes may use it;
            - ``"gallery.db"``: in a folder of Milvus Lite, searched by it; one process at a time;
            - ``"http://localhost:19530"``, or with ``https`` or ``tcp``: in Milvus Standalone or a Milvus
              cluster, for any number of processes. The last two need ``pip install "simnb[milvus]"``.
        distance: One of ``simnb.distances.DISTANCES``; smaller is closer. A new index takes ``cosine`` by
            default; an index that exists keeps its own. Milvus knows ``cosine``, ``euclidean``,
            ``squared_euclidean`` and ``inner_product``.
        search: ``exact``, the default, or ``hnsw`` for approximate search over a graph. An index that exists
            in Milvus keeps its own.
        recall: With ``hnsw``, the share of the true nearest neighbors that is to be found; what is found is
            measured.
        class_names: Name of each label, for labels that are positions in it. Strings as labels make it
            themselves; an index that exists keeps its own.
        collection: In Milvus, the name of the collection: one Milvus has room for many indexes.
        token: ``user:password``, for a Milvus server that asks for it.
        timeout: Seconds a call to Milvus may take; by default 10 with a server and 300 with a file.

    Returns:
        The index; see ``Index`` for what each of them does.

    Raises:
        ValueError: If nothing answers to ``uri``, an option is unknown, or what is there is no index, damaged
            or of another distance.
        OSError: If it cannot be reached or made.
        ImportError: If it needs a package that is not installed: the message says how to install it.

    Example:
        >>> import tempfile
        >>> from simnb.index import open_index
        >>> with tempfile.TemporaryDirectory() as folder, open_index(f"{folder}/gallery.sqlite") as index:
        ...     rows, years = [[1.0, 0.0], [0.0, 1.0]], [2019, 2024]
        ...     ids = index.add(rows, labels=["cat", "dog"], metadata={"year": years})
        ...     found = index.search([[0.8, 0.6]], k=2, where={"year": {">=": 2020}})
        ...     row = index.get(ids[:1])
        >>> found.names, row.names
        (array([['dog', None]], dtype=object), array(['cat'], dtype=object))
    """
    text = os.fspath(uri) if isinstance(uri, str | os.PathLike) else ""
    options: dict[str, Any] = {"distance": distance, "search": search, "recall": recall}
    options["class_names"] = class_names
    if PurePath(text).suffix == ".db" or urlsplit(text).scheme in SCHEMES:
        return MilvusIndex(text, **options, collection=collection, token=token, timeout=timeout)
    if (collection, token, timeout) != ("simnb", None, None):
        raise ValueError(f"collection, token and timeout are for an index in Milvus, got them with {uri!r}")
    options["search"] = search or "exact"
    if text == "memory:":
        return MemoryIndex(**{**options, "distance": distance or "cosine"})
    if names_a_file(text):
        return SqliteIndex(uri, **options)
    raise ValueError(
        'uri must be "memory:", a file such as "gallery.sqlite", or in Milvus "gallery.db" or '
        f'"http://localhost:19530", got {uri!r}'
    )


def names_a_file(uri: AnyPath) -> bool:
    """Whether ``open_index(uri)`` keeps rows in an SQLite file of this name."""
    return PurePath(uri).suffix in SUFFIXES
