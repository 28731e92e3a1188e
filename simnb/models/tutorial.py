"""The network of the TensorFlow Similarity tutorial."""

from simnb import _checks
from simnb._keras import keras
from simnb.layers import MetricEmbedding

__all__ = ["tutorial_convnet"]


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
