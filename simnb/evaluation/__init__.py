"""Ways to evaluate a search, each a few lines of its parts: what is indexed, what is asked, what is unknown.

Queries match by their nearest neighbor. Embeddings and labels come as pairs: ``(embeddings [n, dim], labels
[n])``; ``unseen_classes`` takes several embeddings of the same images by name, to compare them. Images of
gallery, calibration and queries have to be different.
"""

from simnb.evaluation.searches import Evaluation, closed_set, gallery_grows, held_out
from simnb.evaluation.unseen import UnseenClasses, few_shot, unseen_classes
from simnb.evaluation.worth import WorthTraining, worth_training

__all__ = [
    "Evaluation",
    "closed_set",
    "held_out",
    "gallery_grows",
    "few_shot",
    "unseen_classes",
    "UnseenClasses",
    "worth_training",
    "WorthTraining",
]
