"""An index whose rows are in Milvus: a folder on this machine (Milvus Lite), a server or a cluster."""

from simnb.index.milvus.index import MilvusIndex

__all__ = ["MilvusIndex"]
