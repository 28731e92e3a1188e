"""Losses over pairs of a batch and over proxies: pure functions of ``keras.ops`` and thin Keras classes.

A function over pairs takes ``(labels, embeddings)`` and returns the loss of each anchor; one over proxies
takes ``(labels, similarities)``, from ``simnb.layers.Proxies``, and returns the loss of each example. Every
class is such a function as a ``keras.losses.Loss``, for ``model.compile(loss=...)``.
``CrossBatchMemory`` goes around a loss over pairs.

Under ``tf.distribute`` every loss is that of the whole batch. Make and compile the model, and a loss that has
a state, inside ``strategy.scope()``; the first batch must split evenly. ``BatchNormalization`` still
normalizes by each replica's part unless ``synchronized=True``. Over several workers use a ``strategy.run``
loop in place of ``fit``.
"""

from simnb.losses.batch_all_triplet import BatchAllTripletLoss, batch_all_triplet_loss
from simnb.losses.circle import CircleLoss, circle_loss
from simnb.losses.contrastive import ContrastiveLoss, contrastive_loss
from simnb.losses.cross_batch_memory import CrossBatchMemory
from simnb.losses.lifted_structure import LiftedStructureLoss, lifted_structure_loss
from simnb.losses.multi_similarity import MultiSimilarityLoss, multi_similarity_loss
from simnb.losses.multiple_negatives_ranking import (
    MultipleNegativesRankingLoss,
    multiple_negatives_ranking_loss,
)
from simnb.losses.nt_xent import NTXentLoss, nt_xent_loss
from simnb.losses.pn import PNLoss, pn_loss
from simnb.losses.proxies import ProxyAnchorLoss, ProxyNCALoss, proxy_anchor_loss, proxy_nca_loss
from simnb.losses.proxy_softmax import (
    ArcFaceLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    arcface_loss,
    cosface_loss,
    normalized_softmax_loss,
)
from simnb.losses.soft_nearest_neighbor import SoftNearestNeighborLoss, soft_nearest_neighbor_loss
from simnb.losses.supervised_contrastive import SupervisedContrastiveLoss, supervised_contrastive_loss
from simnb.losses.triplet import TripletLoss, triplet_loss

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
