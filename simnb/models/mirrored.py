"""Embeds an image together with its mirror image."""

from simnb._keras import keras, ops

__all__ = ["mirrored"]


def mirrored(model):
    """An embedder that averages the embedding of each image with that of its mirror image.

    What differs between the two says little about the class, and averaging takes part of it away. Nothing is
    trained, embedding takes twice as long, and an image and its mirror image get the same embedding: not
    for images where left and right matter, such as text.

    Args:
        model: An embedder, [batch, height, width, channels] -> [batch, dim] of unit norm. Its weights are
            shared with the result, not copied.

    Returns:
        A ``keras.Model`` of the same input and output. It can be saved, loaded and trained like any other.

    Raises:
        ValueError: If the model is not a Keras model that takes one batch of images.

    References:
        Krizhevsky, Sutskever, Hinton, ImageNet Classification with Deep Convolutional Neural Networks, 2012,
        section 4.1: predictions averaged over horizontal reflections.
    """
    shape = getattr(model, "input_shape", None)
    if not (isinstance(model, keras.Model) and isinstance(shape, tuple) and len(shape) == 4):
        raise ValueError(
            "model must be a Keras model that takes images, [batch, height, width, channels], "
            f"got {type(model).__name__}" + (f" with input shape {shape}" if shape else "")
        )
    images = keras.Input(shape[1:])
    both = model(images) + model(ops.flip(images, axis=2))
    mean = keras.layers.UnitNormalization(dtype="float32", name="unit")(both)
    return keras.Model(images, mean, name=f"mirrored_{model.name}")
