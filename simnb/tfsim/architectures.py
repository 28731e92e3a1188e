"""Embedders over known networks; ``simnb.models`` builds them."""

from simnb import _checks, models
from simnb.layers import MetricEmbedding
from simnb.models.backbone import pooling_layer
from simnb.models.resnet18 import resnet18
from simnb.tfsim._left_out import missing
from simnb.tfsim.models import SimilarityModel

__all__ = ["EfficientNetSim", "ResNet18Sim", "ResNet50Sim"]

__getattr__ = missing(__name__)

_POOLING = {"gem": "gem", "avg": "average", "max": "max"}


def EfficientNetSim(
    input_shape,
    embedding_size=128,
    variant="B0",
    weights="imagenet",
    trainable="frozen",
    l2_norm=True,
    include_top=True,
    pooling="gem",
    gem_p=3.0,
):
    """``simnb.models.backbone`` over an EfficientNet, as a ``SimilarityModel``.

    Args:
        input_shape: (height, width, channels).
        embedding_size: Length of an embedding.
        variant: ``B0`` to ``B7``.
        weights: ``imagenet``, which is downloaded, or None.
        trainable: ``frozen``, ``partial`` (the last block) or ``full``.
        l2_norm: Must be True.
        include_top: Must be True.
        pooling: ``gem``, ``avg`` or ``max``.
        gem_p: Must be 3: the exponent is trained.
    """
    blocks = {"frozen": "head", "partial": "block7", "full": "all"}
    return _over(
        f"EfficientNet{variant}", blocks, input_shape, embedding_size, weights, trainable, pooling,
        l2_norm=l2_norm, include_top=include_top, gem_p=gem_p,
    )  # fmt: skip


def ResNet50Sim(
    input_shape,
    embedding_size=128,
    weights="imagenet",
    trainable="frozen",
    l2_norm=True,
    include_top=True,
    pooling="gem",
    gem_p=3.0,
):
    """``simnb.models.backbone`` over ResNet50, as a ``SimilarityModel``; see ``EfficientNetSim``."""
    blocks = {"frozen": "head", "partial": "conv5", "full": "all"}
    return _over(
        "ResNet50", blocks, input_shape, embedding_size, weights, trainable, pooling,
        l2_norm=l2_norm, include_top=include_top, gem_p=gem_p,
    )  # fmt: skip


def ResNet18Sim(input_shape, embedding_size=128, l2_norm=True, include_top=True, pooling="gem", gem_p=3.0):
    """``simnb.models.resnet18``, pooled and embedded, as a ``SimilarityModel``; nothing is trained yet."""
    _check(l2_norm=l2_norm, include_top=include_top, gem_p=gem_p)
    _checks.one_of(pooling, _POOLING, name="pooling")
    network = resnet18(input_shape)
    x = pooling_layer(_POOLING[pooling])(network.output)
    return SimilarityModel(network.input, MetricEmbedding(embedding_size)(x))


def _over(name, blocks, input_shape, embedding_size, weights, trainable, pooling, **fixed):
    _check(**fixed)
    _checks.one_of(trainable, blocks, name="trainable")
    _checks.one_of(pooling, _POOLING, name="pooling")
    embedder = models.backbone(
        name,
        input_shape=tuple(input_shape),
        embedding_size=embedding_size,
        weights=weights,
        trainable=blocks[trainable],
        pooling=_POOLING[pooling],
    )
    return SimilarityModel(embedder.inputs, embedder.outputs)


def _check(*, l2_norm, include_top, gem_p):
    if not l2_norm or not include_top:
        raise ValueError(
            "l2_norm and include_top must be True; a network without its embedding is "
            "keras.applications' own, with include_top=False"
        )
    if gem_p != 3.0:
        raise ValueError(f"gem_p must be 3.0, where training of it begins, got {gem_p}")
