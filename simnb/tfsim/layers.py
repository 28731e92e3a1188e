"""Layers."""

from simnb import layers
from simnb._keras import keras

__all__ = ["MetricEmbedding", "GeneralizedMeanPooling1D", "GeneralizedMeanPooling2D"]

GeneralizedMeanPooling1D = layers.GeneralizedMeanPooling1D
GeneralizedMeanPooling2D = layers.GeneralizedMeanPooling2D


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class MetricEmbedding(layers.MetricEmbedding):
    """``simnb.layers.MetricEmbedding`` with the arguments of a dense layer.

    Args:
        units: Length of the embedding.
        activation: None alone: unit vectors come out, and an activation before would bend them.
        **kwargs: ``use_bias``, ``kernel_initializer``, ``name`` and the like.

    Raises:
        ValueError: If an activation is given.
    """

    def __init__(self, units=None, activation=None, **kwargs):
        """Make the dense layer."""
        units = kwargs.pop("dim", units)
        if activation not in (None, "linear"):
            raise ValueError(
                f"activation must be None, got {activation!r}; put keras.layers.Activation before the layer"
            )
        super().__init__(units, **kwargs)
        self.units = self.dim
