"""Embedders, and the function that embeds images with any of them."""

from simnb import losses  # noqa: F401  so that models compiled with our losses can be loaded
from simnb.models.backbone import backbone, set_trainable
from simnb.models.chaining import chain
from simnb.models.embedding import embed, mirrored
from simnb.models.explaining import Explanation, explain
from simnb.models.exporting import export
from simnb.models.fast import fast_resnet, fastest_precision, tutorial_convnet, whitening_kernel
from simnb.models.on_disk import best_on_disk
from simnb.models.pretrained import pretrained, provenance
from simnb.models.pytorch import TorchEmbedder, from_torch

__all__ = [
    "tutorial_convnet",
    "fast_resnet",
    "fastest_precision",
    "whitening_kernel",
    "mirrored",
    "chain",
    "backbone",
    "set_trainable",
    "from_torch",
    "TorchEmbedder",
    "pretrained",
    "provenance",
    "best_on_disk",
    "embed",
    "explain",
    "Explanation",
    "export",
]
