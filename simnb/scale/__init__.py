"""A big corpus into an index: a worker that any engine can run, a plain loop, and Ray on many machines."""

from simnb.scale.embedder import Embedder, stable_ids
from simnb.scale.running import CorpusReport, embed_corpus

__all__ = ["embed_corpus", "Embedder", "CorpusReport", "stable_ids"]
