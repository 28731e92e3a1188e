"""Layers by their old names; ``simnb.layers`` has them."""

from typing import Any

from simnb import layers
from simnb._keras import keras, ops
from simnb._types import Tensor

__all__ = [
    "MetricEmbedding",
    "GeneralizedMeanPooling1D",
    "GeneralizedMeanPooling2D",
    "ActivationStdLoggingLayer",
]

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

    def __init__(self, units: int | None = None, activation: str | None = None, **kwargs: Any) -> None:
        units = kwargs.pop("dim", units)
        if activation not in (None, "linear"):
            raise ValueError(
                f"activation must be None, got {activation!r}; put keras.layers.Activation before the layer"
            )
        super().__init__(units, **kwargs)
        self.units = self.dim


@keras.saving.register_keras_serializable(package="simnb.tfsim")
class ActivationStdLoggingLayer(keras.layers.Layer):
    """Passes activations on, and logs under its name how widely they are spread: 0 where they collapse.

    What is logged is the standard deviation over the batch of each value of the activations of norm 1, as a
    mean over the values and over the batches of an epoch.
    """

    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.spread = keras.metrics.Mean(name=self.name)

    def call(self, inputs: Tensor) -> Tensor:
        """The inputs, shape [batch, features]."""
        self.spread.update_state(ops.std(ops.normalize(inputs, axis=-1), axis=0))
        return inputs
