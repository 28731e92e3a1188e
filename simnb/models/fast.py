"""Small convolution networks: one made for speed on CPUs, in the faster precision, and the tutorial's."""

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._keras import keras
from simnb._types import KerasObject
from simnb.layers import MetricEmbedding
from simnb.models._pixels import check_pixels

PATCH = 2
_POOLINGS = {"max": keras.layers.GlobalMaxPooling2D, "average": keras.layers.GlobalAveragePooling2D}
#: Instructions that multiply matrices of bfloat16, as Linux names them. oneDNN, through which TensorFlow and
#: PyTorch compute on x86, trains faster with these; without them it only emulates bfloat16.
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})


@keras.saving.register_keras_serializable(package="simnb", name="gelu")
def _gelu(x):
    """GELU by its approximation with tanh."""
    return keras.activations.gelu(x, approximate=True)


_ACTIVATIONS = {
    "relu": keras.layers.ReLU,
    "gelu": lambda dtype: keras.layers.Activation(_gelu, dtype=dtype),
}


def fast_resnet(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    embedding_size: int = 128,
    *,
    widths: Iterable[int] = (64, 128, 256),
    depth: int = 2,
    residual: bool = False,
    activation: str = "relu",
    identity: bool = False,
    pooling: str = "max",
    whiten: ArrayLike | None = None,
    precision: str | None = None,
    seed: int = 0,
) -> KerasObject:
    """A network that learns small images well in minutes on two cores.

    A first convolution of 2 x 2 patches, then one stage for each width: convolution, pooling, batch
    normalization, and more convolutions with batch normalization. Pooling comes first because the layers
    after it then have a quarter of the work. At the end each channel is pooled to one number, and the
    embedding follows.

    Args:
        input_shape: Height, width and channels; pixels from 0 to 255, rescaled inside.
        embedding_size: Length of the embedding.
        widths: Channels of each stage; each halves height and width.
        depth: Convolutions of a stage, 1 or more.
        residual: Add what comes out of the first convolution of a stage to what comes out of its last.
        activation: ``relu``, or ``gelu``, which is slower and learns a little more from an image.
        identity: Let each 3 x 3 convolution begin as the identity, as far as it has channels for that.
        pooling: ``max`` or ``average`` of each channel, at the end. The average finds unseen classes better.
        whiten: Training images, shape [num_examples, height, width, channels]. The first convolution is
            then set to the principal components of their patches, scaled to equal variance, and not
            trained: half of what it would have to learn is known from the images. Some thousands are enough;
            at most the first 5,000 are read. None for a random start, trained like the rest.
        precision: ``"float32"``, ``"mixed_bfloat16"`` or another Keras dtype policy; ``"auto"`` for the
            faster of these two (``simnb.models.fastest_precision``); None for the policy that Keras is set
            to. The embedding is float32 in any case.
        seed: The same seed gives the same initial weights.

    Returns:
        A ``keras.Model``, [batch, height, width, channels] -> [batch, embedding_size] of unit norm; by
        default of 1,193,240 parameters.

    Raises:
        ValueError: If the input is too small for the stages, the images of ``whiten`` do not have its shape
            or are not of 0 to 255, or a number or name is out of range.

    References:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024: the whitening, the order of layers,
        GELU, the start as the identity.
        https://arxiv.org/abs/2404.00498
    """
    widths = [_checks.positive_int(width, name="each of widths") for width in widths]
    _check_shape(input_shape, 2 ** len(widths) + PATCH - 1, f" for {len(widths)} stages")
    depth = _checks.positive_int(depth, name="depth")
    for name, value in {"residual": residual, "identity": identity}.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {value!r}")
    _checks.one_of(activation, _ACTIVATIONS, name="activation")
    _checks.one_of(pooling, _POOLINGS, name="pooling")
    seed = _checks.seed(seed)
    seeds = itertools.count(seed)
    layers = keras.layers
    policy = precision_policy(precision)

    def conv(x, filters):
        start = keras.initializers.HeNormal(seed=next(seeds))
        options = {"padding": "same", "use_bias": False, "kernel_initializer": start, "dtype": policy}
        return layers.Conv2D(filters, 3, **options)(x)

    def activate(x):
        return _ACTIVATIONS[activation](dtype=policy)(x)

    def normalize(x):
        return activate(layers.BatchNormalization(momentum=0.8, dtype=policy)(x))

    inputs = layers.Input(input_shape)
    x = layers.Rescaling(1.0 / 64.0, offset=-2.0, dtype=policy)(inputs)
    start = keras.initializers.HeNormal(seed=next(seeds))
    filters = 2 * input_shape[2] * PATCH**2  # each principal component and its negative
    patches = layers.Conv2D(
        filters, PATCH, use_bias=False, kernel_initializer=start, dtype=policy, name="patches"
    )
    x = activate(patches(x))
    for width in widths:
        x = first = normalize(layers.MaxPooling2D(2, dtype=policy)(conv(x, width)))
        for _ in range(depth - 1):
            x = normalize(conv(x, width))
        if residual and depth > 1:
            x = layers.Add(dtype=policy)([first, x])
    x = _POOLINGS[pooling](dtype=policy)(x)
    start = keras.initializers.GlorotUniform(seed=next(seeds))
    embedding = MetricEmbedding(embedding_size, kernel_initializer=start, use_bias=False, name="embedding")
    model = keras.Model(inputs, embedding(x), name="fast_resnet")
    if identity:
        _begin_as_identity(model)
    if whiten is not None:
        _whiten(model, whiten)
    return model


def _begin_as_identity(model):
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3):
            kernel = keras.ops.convert_to_numpy(layer.kernel).copy()
            channels = np.arange(min(kernel.shape[2:]))
            kernel[..., channels] = 0.0
            kernel[1, 1, channels, channels] = 1.0
            layer.set_weights([kernel])


def _check_shape(input_shape, smallest, why=""):
    if len(input_shape) != 3 or min(input_shape[:2]) < smallest:
        raise ValueError(
            f"input_shape must be (height, width, channels) of at least {smallest} pixels a side{why}, "
            f"got {tuple(input_shape)}"
        )


def _whiten(model, images):
    images = _checks.not_empty(_checks.images(images, name="whiten"), name="whiten")[:5000]
    if images.shape[1:] != model.input_shape[1:]:
        raise ValueError(f"whiten must hold images of shape {model.input_shape[1:]}, got {images.shape[1:]}")
    check_pixels(model, images, name="whiten")
    images = images.astype(np.float32)
    images /= 64.0
    images -= 2.0
    kernel = whitening_kernel(images, PATCH)
    layer = model.get_layer("patches")
    layer.set_weights([np.concatenate([kernel, -kernel], axis=-1)])
    layer.trainable = False


def whitening_kernel(images: ArrayLike, size: int = PATCH) -> NDArray[np.floating]:
    """Weights of a convolution whose outputs are not correlated, and have a mean square near 1.

    They are the principal components of patches. As weights of a first convolution they need no training.

    Args:
        images: Shape [num_examples, height, width, channels], scaled as the convolution gets them.
        size: Height and width of a patch.

    Returns:
        Shape [size, size, channels, size * size * channels]: what varies least comes first.

    Raises:
        ValueError: If there is no image, or a patch is larger than an image.

    References:
        Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024. https://arxiv.org/abs/2404.00498

    Example:
        >>> import numpy as np
        >>> from simnb import models
        >>> images = np.random.default_rng(0).normal(size=(20, 8, 8, 3))
        >>> models.whitening_kernel(images, 2).shape
        (2, 2, 3, 12)
    """
    images = np.asarray(_checks.not_empty(_checks.images(images), name="images"))
    if _checks.positive_int(size, name="size") > min(images.shape[1:3]):
        raise ValueError(f"size must be at most the {min(images.shape[1:3])} pixels of an image, got {size}")
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


def tutorial_convnet(
    input_shape: tuple[int, int, int] = (32, 32, 3), embedding_size: int = 256, *, seed: int = 0
) -> KerasObject:
    """The network of the TensorFlow Similarity tutorial.

    Args:
        input_shape: Height, width and channels; pixels from 0 to 255, rescaled inside.
        embedding_size: Length of the embedding.
        seed: The same seed gives the same initial weights.

    Returns:
        A ``keras.Model``, [batch, height, width, channels] -> [batch, embedding_size] of unit norm; by
        default of 1,028,480 parameters.

    Raises:
        ValueError: If the images are smaller than 24 pixels a side, embedding_size is below 1 or the seed
            is no integer of at least 0.

    References:
        https://keras.io/examples/vision/metric_learning_tf_similarity/
    """
    _check_shape(input_shape, 24)
    seed = _checks.seed(seed)
    layers, seeds = keras.layers, iter(range(seed, seed + 5))

    def conv(x, filters):
        start = keras.initializers.GlorotUniform(seed=next(seeds))
        return layers.Conv2D(filters, 3, activation="relu", kernel_initializer=start)(x)

    inputs = layers.Input(input_shape)
    x = layers.Rescaling(1.0 / 255.0)(inputs)
    x = layers.BatchNormalization()(conv(x, 64))
    x = layers.BatchNormalization()(conv(x, 128))
    x = layers.MaxPooling2D(4)(x)
    x = layers.BatchNormalization()(conv(x, 256))
    x = layers.GlobalMaxPooling2D()(conv(x, 256))
    start = keras.initializers.GlorotUniform(seed=next(seeds))
    outputs = MetricEmbedding(embedding_size, kernel_initializer=start, name="embedding")(x)
    return keras.Model(inputs, outputs, name="tutorial_convnet")


def fastest_precision(*, flags: Iterable[str] | None = None) -> str:
    """The faster of float32 and mixed bfloat16 for training convolutions on this machine.

    The choice depends on what the processor says it can do, not on a timing, so it is always the same on one
    machine. NVIDIA GPUs of compute capability 8.0 and above and TPUs gain from bfloat16. So do x86 CPUs with
    AVX512-BF16 or AMX, under Linux, with TensorFlow or PyTorch; other CPUs emulate it and are several times
    slower. What is not known to gain gets float32.

    Args:
        flags: Names of what the CPU can do, as in ``/proc/cpuinfo``; None for those of this machine.

    Returns:
        ``"mixed_bfloat16"`` or ``"float32"``.

    Example:
        >>> from simnb.models import fastest_precision
        >>> fastest_precision() in ("float32", "mixed_bfloat16")
        True
    """
    gains = _accelerator_gains()
    if gains is None:
        # XLA, through which JAX computes, turns bfloat16 into float32 on CPUs.
        onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") not in ("0", "false")
        computes = {"tensorflow": onednn, "torch": True}.get(keras.backend.backend(), False)
        gains = computes and not BFLOAT16.isdisjoint(cpu_flags() if flags is None else flags)
    return "mixed_bfloat16" if gains else "float32"


def cpu_flags(cpuinfo="/proc/cpuinfo"):
    """Names of what an x86 CPU can do, as Linux lists it; none on other systems and CPUs."""
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux; no x86 Mac can do it
        return frozenset()
    # Of ARM CPUs, which have "Features" instead, it is not known that training gains, even with bfloat16.
    found = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(found.partition(":")[2].split())


def precision_policy(precision):
    """The Keras dtype policy of a name, of ``"auto"``, or, for None, the one that Keras is set to."""
    if precision is None:
        return keras.config.dtype_policy()
    try:
        return keras.dtype_policies.get(fastest_precision() if precision == "auto" else precision)
    except (TypeError, ValueError):
        raise ValueError(
            f"precision must be 'auto', 'float32', 'mixed_bfloat16' or another Keras dtype policy, "
            f"got {precision!r}"
        ) from None


def _accelerator_gains():
    """Whether the GPU or TPU in use gains from bfloat16; None where it is the CPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.config.get_visible_devices("TPU"):
            return True
        gpus = tf.config.get_visible_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(d.get("compute_capability", (0, 0)) >= (8, 0) for d in details) if gpus else None
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        major = str(getattr(device, "compute_capability", "")).partition(".")[0]
        gains = device.platform == "tpu" or (major.isdigit() and int(major) >= 8)
        return None if device.platform == "cpu" else gains
    if backend == "torch":
        import torch

        return torch.cuda.get_device_capability() >= (8, 0) if torch.cuda.is_available() else None
    return None
