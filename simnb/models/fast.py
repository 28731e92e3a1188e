"""A small convolution network made for speed on CPUs."""

import itertools

import numpy as np

from simnb import _checks
from simnb._keras import keras
from simnb.layers import MetricEmbedding
from simnb.models._pixels import check_pixels
from simnb.models.precision import precision_policy

WIDTHS = (64, 128, 256)
PATCH = 2


def fast_resnet(
    input_shape=(32, 32, 3),
    embedding_size=128,
    *,
    widths=WIDTHS,
    depth=2,
    residual=False,
    whiten=None,
    precision=None,
    seed=0,
):
    """A network that learns small images well in minutes on two cores.

    A first convolution of 2 x 2 patches, then one stage for each width: convolution, pooling, batch
    normalization, and more convolutions with batch normalization. Pooling comes first because the layers
    after it then have a quarter of the work. At the end the maximum of each channel, and the embedding.

    Args:
        input_shape: Height, width and channels; pixels from 0 to 255, rescaled inside.
        embedding_size: Length of the embedding.
        widths: Channels of each stage; each halves height and width.
        depth: Convolutions of a stage, 1 or more.
        residual: Add what comes out of the first convolution of a stage to what comes out of its last.
        whiten: Training images, shape [num_examples, height, width, channels]. The first convolution is
            then set to the principal components of their patches, scaled to equal variance, and not
            trained: half of what it would have to learn is known from the images. Some thousands are enough;
            at most the first 5,000 are read. None for a random start, trained like the rest.
        precision: ``"float32"``, ``"mixed_bfloat16"`` or another Keras dtype policy; ``"auto"`` takes the
            faster of these two by what the processor can do (``simnb.models.fastest_precision``). When left
            out, the policy that Keras is set to. The embedding is float32 in any case.
        seed: The same seed gives the same initial weights.

    Returns:
        A ``keras.Model``, [batch, height, width, channels] -> [batch, embedding_size] of unit norm. With
        the default arguments it has 1,193,240 parameters.

    Raises:
        ValueError: If the input is too small for the stages, the images of ``whiten`` do not have its shape
            or are not of 0 to 255, or a number or name is out of range.

    References:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024: the whitening, the order of layers.
        https://arxiv.org/abs/2404.00498
    """
    widths = [_checks.positive_int(width, name="each of widths") for width in widths]
    smallest = 2 ** len(widths) + PATCH - 1
    if len(input_shape) != 3 or min(input_shape[:2]) < smallest:
        raise ValueError(
            f"input_shape must be (height, width, channels) of at least {smallest} pixels a side for "
            f"{len(widths)} stages, got {tuple(input_shape)}"
        )
    depth = _checks.positive_int(depth, name="depth")
    if not isinstance(residual, bool):
        raise ValueError(f"residual must be True or False, got {residual!r}")
    seed = _checks.seed(seed)
    seeds = itertools.count(seed)
    layers = keras.layers
    policy = precision_policy(precision)

    def conv(x, filters):
        start = keras.initializers.HeNormal(seed=next(seeds))
        options = {"padding": "same", "use_bias": False, "kernel_initializer": start, "dtype": policy}
        return layers.Conv2D(filters, 3, **options)(x)

    def normalize(x):
        return layers.ReLU(dtype=policy)(layers.BatchNormalization(momentum=0.8, dtype=policy)(x))

    inputs = layers.Input(input_shape)
    x = layers.Rescaling(1.0 / 64.0, offset=-2.0, dtype=policy)(inputs)
    start = keras.initializers.HeNormal(seed=next(seeds))
    filters = 2 * input_shape[2] * PATCH**2  # each principal component and its negative
    patches = layers.Conv2D(
        filters, PATCH, use_bias=False, kernel_initializer=start, dtype=policy, name="patches"
    )
    x = layers.ReLU(dtype=policy)(patches(x))
    for width in widths:
        x = first = normalize(layers.MaxPooling2D(2, dtype=policy)(conv(x, width)))
        for _ in range(depth - 1):
            x = normalize(conv(x, width))
        if residual and depth > 1:
            x = layers.Add(dtype=policy)([first, x])
    x = layers.GlobalMaxPooling2D(dtype=policy)(x)
    start = keras.initializers.GlorotUniform(seed=next(seeds))
    embedding = MetricEmbedding(embedding_size, kernel_initializer=start, use_bias=False, name="embedding")
    model = keras.Model(inputs, embedding(x), name="fast_resnet")
    if whiten is not None:
        _whiten(model, whiten)
    return model


def _whiten(model, images):
    images = _checks.not_empty(_checks.images(images, name="whiten"), name="whiten")[:5000]
    if images.shape[1:] != model.input_shape[1:]:
        raise ValueError(f"whiten must hold images of shape {model.input_shape[1:]}, got {images.shape[1:]}")
    check_pixels(model, images, name="whiten")
    layer = model.get_layer("patches")
    images = images.astype(np.float32)
    images /= 64.0
    images -= 2.0
    kernel = whitening_kernel(images, PATCH)
    layer.set_weights([np.concatenate([kernel, -kernel], axis=-1)])
    layer.trainable = False


def whitening_kernel(images, size):
    """Principal components of image patches, each scaled so that its output has a mean square near 1.

    Args:
        images: Shape [num_examples, height, width, channels] float32, as the convolution will see them.
        size: Height and width of a patch.

    Returns:
        A convolution kernel, shape [size, size, channels, size * size * channels].
    """
    length = size * size * images.shape[3]
    products, count = np.zeros((length, length)), 0
    for start in range(0, len(images), 250):  # all patches at once take four times the memory of the images
        some = images[start : start + 250]
        patches = np.lib.stride_tricks.sliding_window_view(some, (size, size), axis=(1, 2))
        patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, length)
        products += patches.T @ patches
        count += len(patches)
    variances, components = np.linalg.eigh((products / count).astype(np.float32))
    # A constant beside the variance: what hardly varies is mostly noise, and is not blown up.
    kernel = components / np.sqrt(np.maximum(variances, 0) + 5e-4)
    return kernel.reshape(size, size, images.shape[3], -1)
