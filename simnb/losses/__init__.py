"""Losses over pairs of a batch: pure functions of ``keras.ops`` and thin Keras classes.

Every function takes ``(labels, embeddings)`` and returns the loss of each anchor; every class is that
function as a ``keras.losses.Loss``, for ``model.compile(loss=...)``.
"""

from simnb.losses.multi_similarity import MultiSimilarityLoss, multi_similarity_loss
from simnb.losses.triplet import TripletLoss, triplet_loss

__all__ = ["MultiSimilarityLoss", "TripletLoss", "multi_similarity_loss", "triplet_loss"]
