"""Where embeddings are kept and searched: one set of verbs for every place they can live."""

from simnb.index.base import Index
from simnb.index.hnsw import Tuning
from simnb.index.local import MemoryIndex
from simnb.index.milvus import MilvusIndex
from simnb.index.opening import open_index
from simnb.index.reranking import Reranker
from simnb.index.results import UNKNOWN, Neighbors, Rows
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
    "Reranker",
    "UNKNOWN",
]
