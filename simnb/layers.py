"""Layers that end an embedder."""

from simnb import _checks
from simnb._keras import keras

__all__ = ["MetricEmbedding"]


@keras.saving.register_keras_serializable(package="simnb")
class MetricEmbedding(keras.layers.Layer):
    """A dense layer whose outputs have unit L2 norm: the embedding.

    Computed and returned in float32 even under a mixed precision policy, since distances are small
    differences of products.

    Args:
        dim: Length of the embedding.
        kernel_initializer: Of the dense layer.
        use_bias: Whether the dense layer has a bias.
        **kwargs: ``name`` and the like, of ``keras.layers.Layer``; ``dtype`` is float32 unless given.

    Input shape:
        [batch, features].

    Output shape:
        [batch, dim], unit norm; shorter where the dense layer gives (nearly) nothing but zeros.

    Raises:
        ValueError: If dim is below 1.
    """

    def __init__(self, dim, *, kernel_initializer="glorot_uniform", use_bias=True, **kwargs):
        """Make the dense layer."""
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.dim = _checks.positive_int(dim, name="dim")
        self.dense = keras.layers.Dense(
            self.dim,
            kernel_initializer=kernel_initializer,
            use_bias=use_bias,
            dtype=self.dtype_policy,
            name="dense",
        )

    def build(self, input_shape):
        """Make the weights."""
        self.dense.build(input_shape)

    def call(self, inputs):
        """Embed: [batch, features] -> [batch, dim]."""
        return keras.ops.normalize(self.dense(inputs), axis=-1, order=2)

    def compute_output_shape(self, input_shape):
        """[batch, features] -> [batch, dim]."""
        return (*input_shape[:-1], self.dim)

    def get_config(self):
        """The options, so that a saved model can be loaded."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "kernel_initializer": keras.initializers.serialize(self.dense.kernel_initializer),
            "use_bias": self.dense.use_bias,
        }
