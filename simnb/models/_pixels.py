"""Which pixels a model expects, read from the layers that it begins with."""

import numpy as np

from simnb import _checks
from simnb._keras import keras
from simnb.models._applications import ReverseChannels
from simnb.models.backbone import Backbone
from simnb.models.pytorch import TorchEmbedder

__all__ = ["check_pixels"]

#: What leaves the range of pixels as it is, by the names of Keras's layers and operations.
_KEEPS_RANGE: tuple[str, ...] = (
    "InputLayer",
    "Flip",
    "Resizing",
    "CenterCrop",
    "ZeroPadding2D",
    "Cropping2D",
    "RandomFlip",
)
_KEEPS_RANGE += ("RandomCrop", "RandomRotation", "RandomTranslation", "RandomZoom", "RandomContrast")


def check_pixels(model, images, *, name="images"):
    """Raise ValueError where a model of pixels from 0 to 255 is given floats of 0 to 1, or of -1 to 1."""
    known = isinstance(model, TorchEmbedder) or (isinstance(model, keras.Model) and expects_bytes(model))
    if known:
        _checks.pixels(keras.ops.convert_to_numpy(images), name=name)


def expects_bytes(model):
    """Whether the first layers of a model say that it takes pixels of 0 to 255; False where it is not known.

    A ``Rescaling`` or a ``Normalization`` says so by its numbers, however the model was made or loaded.
    """
    if isinstance(model, Backbone):
        return expects_bytes(model.network)
    # A model of Keras's functional kind has operations; of others the order of the layers says nothing.
    operations = model.layers if isinstance(model, keras.Sequential) else getattr(model, "operations", ())
    for operation in operations:
        if isinstance(operation, keras.layers.Rescaling):
            return bool(1 / 512 <= np.max(np.abs(operation.scale)) <= 1 / 32)
        if isinstance(operation, keras.layers.Normalization):
            mean = operation.mean
            return mean is not None and float(np.mean(keras.ops.convert_to_numpy(mean))) > 2
        if isinstance(operation, keras.Model | Backbone):
            return expects_bytes(operation)
        if not isinstance(operation, ReverseChannels) and type(operation).__name__ not in _KEEPS_RANGE:
            return False
    return False
