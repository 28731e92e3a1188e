"""Ways to evaluate a search, each a few lines of its parts: what is indexed, what is asked, what is unknown.

Queries match by their nearest neighbor. Each takes embeddings with their labels as pairs:
``(embeddings [n, dim], labels [n])``. Images of gallery, calibration and queries have to be different.
"""

from simnb.evaluation.searches import Evaluation, closed_set, gallery_grows, held_out
from simnb.evaluation.unseen import few_shot

__all__ = ["Evaluation", "closed_set", "held_out", "gallery_grows", "few_shot"]
