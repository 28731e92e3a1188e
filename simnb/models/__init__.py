"""Embedders, and the function that embeds images with any of them."""

from simnb import losses  # noqa: F401  so that models compiled with our losses can be loaded
from simnb.models.backbone import backbone, set_trainable
from simnb.models.embedding import embed
from simnb.models.fast import fast_resnet
from simnb.models.mirrored import mirrored
from simnb.models.precision import fastest_precision
from simnb.models.pretrained import pretrained, provenance
from simnb.models.tutorial import tutorial_convnet

__all__ = [
    "tutorial_convnet",
    "fast_resnet",
    "fastest_precision",
    "mirrored",
    "backbone",
    "set_trainable",
    "pretrained",
    "provenance",
    "embed",
]
