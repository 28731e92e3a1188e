"""Embedders, and the function that embeds images with any of them."""

import numpy as np

from simnb import _checks, losses  # noqa: F401  so that models compiled with our losses can be loaded
from simnb._keras import keras
from simnb._terminal import progress_bar
from simnb.layers import MetricEmbedding

__all__ = ["embed", "tutorial_convnet"]


def tutorial_convnet(input_shape=(32, 32, 3), embedding_size=256, *, seed=0):
    """The network of the TensorFlow Similarity tutorial.

    Args:
        input_shape: Height, width and channels; pixels from 0 to 255, rescaled inside.
        embedding_size: Length of the embedding.
        seed: The same seed gives the same initial weights.

    Returns:
        A ``keras.Model``, [batch, height, width, channels] -> [batch, embedding_size] of unit norm. With
        the default arguments it has 1,028,480 parameters, of which 1,027,584 are trained.

    Raises:
        ValueError: If the images are smaller than 24 pixels a side, embedding_size is below 1 or the seed
            is no integer of at least 0.

    References:
        https://keras.io/examples/vision/metric_learning_tf_similarity/
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 24:
        raise ValueError(
            "input_shape must be (height, width, channels) of at least 24 pixels a side, "
            f"got {tuple(input_shape)}"
        )
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


def embed(model, images, *, batch_size=64, progress=True):
    """Embed images.

    Args:
        model: A Keras model or any function from a batch of images to a batch of vectors.
        images: Shape [num_examples, height, width, channels]: an array, a memory map, or anything else
            that can be sliced.
        batch_size: Images at a time; more take more memory.
        progress: Show a progress bar when it takes more than five seconds.

    Returns:
        Unit vectors, shape [num_examples, dim] float32.

    Raises:
        ValueError: If the images have the wrong rank or do not fit the model, there are none, or the
            model gives NaN, infinity or an all-zero vector.
    """
    images = _checks.not_empty(_checks.images(images), name="images")
    batch_size = _checks.positive_int(batch_size, name="batch_size")
    _check_fits(model, images)
    forward = _forward(model)
    result = None
    starts = range(0, len(images), batch_size)
    for start in progress_bar(starts, desc="Embedding", unit="batch", shown=progress):
        batch = np.asarray(images[start : start + batch_size])
        vectors = _unit(forward(batch))
        if len(vectors) != len(batch):
            raise ValueError(f"the model must give one vector an image, got {len(vectors)} for {len(batch)}")
        if result is None:
            result = np.empty((len(images), vectors.shape[1]), np.float32)
        result[start : start + len(batch)] = vectors
    return result


def _forward(model):
    if not isinstance(model, keras.Model):
        return model
    # predict_on_batch keeps one compiled function; model(x) would run op by op.
    return model.predict_on_batch


def _check_fits(model, images):
    wanted = getattr(model, "input_shape", None)
    if not isinstance(wanted, tuple) or len(wanted) != 4:
        return
    if any(w not in (None, got) for w, got in zip(wanted[1:], images.shape[1:], strict=True)):
        raise ValueError(
            f"images must have shape [num_examples, {', '.join(map(str, wanted[1:]))}] for this model, "
            f"got {tuple(images.shape)}"
        )


def _float32(vectors):
    # NumPy has no bfloat16 of its own.
    return keras.ops.convert_to_numpy(keras.ops.cast(vectors, "float32"))


def _unit(vectors):
    vectors = _checks.embeddings(_float32(vectors), name="the model's output", nonzero=True)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / norms).astype(np.float32)
