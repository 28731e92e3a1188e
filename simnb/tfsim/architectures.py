"""Embedders over known networks; ``simnb.models`` builds them."""

from collections.abc import Sequence

from simnb import _checks, models
from simnb._keras import keras
from simnb.layers import GeneralizedMeanPooling2D
from simnb.models.backbone import pooling_layer
from simnb.tfsim._left_out import missing
from simnb.tfsim.layers import MetricEmbedding
from simnb.tfsim.models import SimilarityModel

__all__ = ["EfficientNetSim", "ResNet18Sim", "ResNet50Sim"]

__getattr__ = missing(__name__)


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
    inputs, x = _backbone(f"EfficientNet{variant}", input_shape, weights, trainable, "block7")
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
    inputs, x = _backbone("ResNet50", input_shape, weights, trainable, "conv5", preprocess=False)
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
    """ResNet-18, which ``keras.applications`` lacks, as a ``SimilarityModel``; nothing is trained yet.

    Images are taken as they come, scaled or not, as theirs did: batch normalization follows the first
    convolution. Where they are smaller than 64 pixels that keeps their size and nothing is pooled after it,
    as is usual on CIFAR.

    Args:
        input_shape: As in ``EfficientNetSim``, and so are the others.
        preproc_mode: Without effect, as it was, and so is ``similarity_model``.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016. https://arxiv.org/abs/1512.03385
    """
    _no_augmentation(augmentation)
    inputs = keras.Input(tuple(input_shape))
    small = min(inputs.shape[1:3]) < 64
    x = _convolution(inputs, 64, 3 if small else 7, 1 if small else 2)
    if not small:
        x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = _block(_block(x, filters, stride), filters, 1)
    return _topped(inputs, x, embedding_size, l2_norm, include_top, pooling, gem_p)


def _convolution(x, filters, size, stride, *, relu=True):
    options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(filters, size, stride, **options)(x))
    return keras.layers.ReLU()(x) if relu else x


def _block(x, filters, stride):
    same = stride == 1 and x.shape[-1] == filters
    shortcut = x if same else _convolution(x, filters, 1, stride, relu=False)
    x = _convolution(_convolution(x, filters, 3, stride), filters, 3, 1, relu=False)
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, x]))


def _backbone(name, input_shape, weights, trainable, last_block, *, preprocess=True):
    """Inputs and map of features of a network of ``keras.applications``."""
    blocks = {"frozen": "head", "partial": last_block, "full": "all"}
    options = {"weights": weights, "trainable": blocks[_checks.one_of(trainable, blocks, name="trainable")]}
    embedder = models.backbone(name, input_shape=tuple(input_shape), preprocess=preprocess, **options)
    return embedder.inputs, embedder.get_layer("backbone").output


def _topped(inputs, x, embedding_size, l2_norm, include_top, pooling, gem_p):
    """The model of a map of features ``x``."""
    if include_top or pooling is not None:
        _checks.one_of(pooling, ("gem", "avg", "max"), name="pooling")
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
