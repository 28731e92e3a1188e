"""Where embeddings are kept and searched: one protocol over every place they can live."""

from simnb.index.hnsw import Tuning
from simnb.index.memory import MemoryIndex
from simnb.index.milvus import MilvusIndex
from simnb.index.opening import open_index
from simnb.index.protocol import UNKNOWN, Index, Neighbors, Rows
from simnb.index.sqlite import SqliteIndex

__all__ = [
    "open_index",
    "Index",
    "MemoryIndex",
    "SqliteIndex",
    "MilvusIndex",
    "Neighbors",
    "Rows",
    "Tuning",
    "UNKNOWN",
]
