"""Losses over pairs of a batch and over proxies: pure functions of ``keras.ops`` and thin Keras classes.

A function over pairs takes ``(labels, embeddings)`` and returns the loss of each anchor; one over proxies
takes ``(labels, similarities)``, from ``simnb.layers.Proxies``, and returns the loss of each example. Every
class is such a function as a ``keras.losses.Loss``, for ``model.compile(loss=...)``: the mean over the batch,
unless ``reduction`` says otherwise. It takes the options of its function, and ``name``, ``reduction`` and
``dtype`` (float32 or float64). ``CrossBatchMemory`` goes around a loss over pairs.

Under ``tf.distribute`` every loss is that of the whole batch. Make and compile the model, and a loss that has
a state, inside ``strategy.scope()``; the first batch must split evenly. ``BatchNormalization`` still
normalizes by each replica's part unless ``synchronized=True``. Over several workers use a ``strategy.run``
loop in place of ``fit``.
"""

from simnb.losses.contrastive import (
    MultipleNegativesRankingLoss,
    NTXentLoss,
    SoftNearestNeighborLoss,
    SupervisedContrastiveLoss,
    multiple_negatives_ranking_loss,
    nt_xent_loss,
    soft_nearest_neighbor_loss,
    supervised_contrastive_loss,
)
from simnb.losses.cross_batch_memory import CrossBatchMemory
from simnb.losses.pairwise import (
    CircleLoss,
    ContrastiveLoss,
    LiftedStructureLoss,
    MultiSimilarityLoss,
    circle_loss,
    contrastive_loss,
    lifted_structure_loss,
    multi_similarity_loss,
)
from simnb.losses.proxies import (
    ArcFaceLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    ProxyAnchorLoss,
    ProxyNCALoss,
    arcface_loss,
    cosface_loss,
    normalized_softmax_loss,
    proxy_anchor_loss,
    proxy_nca_loss,
)
from simnb.losses.triplet import (
    BatchAllTripletLoss,
    PNLoss,
    TripletLoss,
    batch_all_triplet_loss,
    pn_loss,
    triplet_loss,
)

__all__ = [
    "TripletLoss",
    "triplet_loss",
    "BatchAllTripletLoss",
    "batch_all_triplet_loss",
    "PNLoss",
    "pn_loss",
    "ContrastiveLoss",
    "contrastive_loss",
    "LiftedStructureLoss",
    "lifted_structure_loss",
    "MultiSimilarityLoss",
    "multi_similarity_loss",
    "CircleLoss",
    "circle_loss",
    "SoftNearestNeighborLoss",
    "soft_nearest_neighbor_loss",
    "MultipleNegativesRankingLoss",
    "multiple_negatives_ranking_loss",
    "NTXentLoss",
    "nt_xent_loss",
    "SupervisedContrastiveLoss",
    "supervised_contrastive_loss",
    "CrossBatchMemory",
    "NormalizedSoftmaxLoss",
    "normalized_softmax_loss",
    "ArcFaceLoss",
    "arcface_loss",
    "CosFaceLoss",
    "cosface_loss",
    "ProxyNCALoss",
    "proxy_nca_loss",
    "ProxyAnchorLoss",
    "proxy_anchor_loss",
]
