"""Looking after a collection: images that are there twice, leaks between parts, labels that look wrong.

All rows are read once and compared exactly, wherever they live: also where an index searches over a graph, or
in Milvus.
"""

from simnb.collection.chance import Chance
from simnb.collection.duplicates import NearDuplicates, near_duplicates
from simnb.collection.leaking import Leaks, leaks
from simnb.collection.wrong_labels import Mislabelled, mislabelled

__all__ = [
    "near_duplicates",
    "NearDuplicates",
    "leaks",
    "Leaks",
    "Chance",
    "mislabelled",
    "Mislabelled",
]
