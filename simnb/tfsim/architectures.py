"""Embedders over known networks; ``simnb.models`` builds them."""

from collections.abc import Sequence

from simnb import _checks, models
from simnb._keras import keras
from simnb.layers import GeneralizedMeanPooling2D
from simnb.models.backbone import pooling_layer
from simnb.tfsim._left_out import missing
from simnb.tfsim.layers import MetricEmbedding
from simnb.tfsim.models import SimilarityModel
from simnb.tfsim.resnet18 import resnet18

__all__ = ["EfficientNetSim", "ResNet18Sim", "ResNet50Sim"]

__getattr__ = missing(__name__)

_POOLING = ("gem", "avg", "max")


def EfficientNetSim(
    input_shape: Sequence[int],
    embedding_size: int = 128,
    variant: str = "B0",
    weights: str | None = "imagenet",
    trainable: str = "frozen",
    l2_norm: bool = True,
    include_top: bool = True,
    pooling: str | None = "gem",
    gem_p: float = 3.0,
    *,
    augmentation: None = None,
) -> SimilarityModel:
    """``simnb.models.backbone`` over an EfficientNet, for images of 0 to 255, as a ``SimilarityModel``.

    Args:
        input_shape: (height, width, channels).
        embedding_size: Length of an embedding.
        variant: ``B0`` to ``B7``.
        weights: ``imagenet``, which is downloaded, or None.
        trainable: ``frozen``, ``partial`` (the last block) or ``full``.
        l2_norm: Whether embeddings have norm 1, for the cosine distance; else they are what a dense layer
            gives.
        include_top: Whether the network ends in an embedding; else in its pooled features.
        pooling: ``gem``, ``avg`` or ``max``; without the top also None, for the map of features.
        gem_p: The exponent that the training of ``gem`` begins with, at least 1.
        augmentation: Must stay None: give the sampler an ``augmenter``.
    """
    _no_augmentation(augmentation)
    blocks = {"frozen": "head", "partial": "block7", "full": "all"}
    name = f"EfficientNet{variant}"
    inputs, x = _applications_network(name, blocks, input_shape, weights, trainable)
    return _topped(inputs, x, embedding_size, l2_norm, include_top, pooling, gem_p)


def ResNet50Sim(
    input_shape: Sequence[int],
    embedding_size: int = 128,
    weights: str | None = "imagenet",
    trainable: str = "frozen",
    l2_norm: bool = True,
    include_top: bool = True,
    pooling: str | None = "gem",
    gem_p: float = 3.0,
) -> SimilarityModel:
    """``simnb.models.backbone`` over ResNet50, as a ``SimilarityModel``; see ``EfficientNetSim``.

    As theirs, it takes images that ``keras.applications.resnet.preprocess_input`` has made;
    ``simnb.models.backbone("ResNet50")`` does so itself.
    """
    blocks = {"frozen": "head", "partial": "conv5", "full": "all"}
    inputs, x = _applications_network("ResNet50", blocks, input_shape, weights, trainable, preprocess=False)
    return _topped(inputs, x, embedding_size, l2_norm, include_top, pooling, gem_p)


def ResNet18Sim(
    input_shape: Sequence[int],
    embedding_size: int = 128,
    l2_norm: bool = True,
    include_top: bool = True,
    pooling: str | None = "gem",
    gem_p: float = 3.0,
    preproc_mode: str = "torch",
    similarity_model: bool = True,
    *,
    augmentation: None = None,
) -> SimilarityModel:
    """``simnb.tfsim.resnet18``, pooled and embedded, as a ``SimilarityModel``; nothing is trained yet.

    Images are taken as they come, scaled or not, as theirs did: batch normalization follows the first
    convolution.

    Args:
        input_shape: This and the following are as in ``EfficientNetSim``.
        embedding_size: Length of an embedding.
        l2_norm: Whether embeddings have norm 1.
        include_top: Whether the network ends in an embedding.
        pooling: ``gem``, ``avg``, ``max`` or None.
        gem_p: The exponent of ``gem`` to begin with.
        preproc_mode: Without effect, as it was.
        similarity_model: Without effect, as it was.
        augmentation: Must stay None: give the sampler an ``augmenter``.
    """
    _no_augmentation(augmentation)
    network = resnet18(tuple(input_shape), rescale=False)
    return _topped(network.inputs, network.output, embedding_size, l2_norm, include_top, pooling, gem_p)


def _applications_network(name, blocks, input_shape, weights, trainable, *, preprocess=True):
    _checks.one_of(trainable, blocks, name="trainable")
    embedder = models.backbone(
        name,
        input_shape=tuple(input_shape),
        weights=weights,
        trainable=blocks[trainable],
        preprocess=preprocess,
    )
    return embedder.inputs, embedder.get_layer("backbone").output


def _topped(inputs, x, embedding_size, l2_norm, include_top, pooling, gem_p):
    """The model of a map of features ``x``."""
    if include_top or pooling is not None:
        _checks.one_of(pooling, _POOLING, name="pooling")
    if pooling == "gem":
        x = GeneralizedMeanPooling2D(gem_p, name="gem_pool")(x)
    elif pooling is not None:
        x = pooling_layer({"avg": "average"}.get(pooling, pooling))(x)
    if include_top:
        x = (MetricEmbedding if l2_norm else keras.layers.Dense)(embedding_size)(x)
    return SimilarityModel(inputs, x)


def _no_augmentation(augmentation):
    if augmentation is not None:
        raise ValueError(
            "augmentation must be None: give the sampler an augmenter, or put Keras's layers first"
        )
