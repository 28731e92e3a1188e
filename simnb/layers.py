"""Layers that end an embedder: pooling, the embedding, and the proxies that some losses compare it with."""

import math
from typing import Any

from simnb import _checks
from simnb._keras import keras, ops
from simnb._types import KerasObject, Tensor

__all__ = ["GeneralizedMeanPooling1D", "GeneralizedMeanPooling2D", "MetricEmbedding", "Proxies"]


@keras.saving.register_keras_serializable(package="simnb")
class MetricEmbedding(keras.layers.Layer):
    """A dense layer whose outputs have unit L2 norm: the embedding, [batch, features] -> [batch, dim].

    Computed and returned in float32 even under a mixed precision policy, since distances are small
    differences of products. Where the dense layer gives (nearly) nothing but zeros, the norm is below 1.

    Args:
        dim: Length of the embedding.
        kernel_initializer: What the weights of the dense layer start from.
        use_bias: Whether the dense layer has a bias.
        **kwargs: ``name`` and the like, of ``keras.layers.Layer``; ``dtype`` is float32 unless given.

    Raises:
        ValueError: If dim is below 1.

    Example:
        >>> import numpy as np
        >>> from simnb.layers import MetricEmbedding
        >>> embeddings = np.asarray(MetricEmbedding(4)(np.ones((2, 8), np.float32)))
        >>> np.linalg.norm(embeddings, axis=1).round(3)
        array([1., 1.], dtype=float32)
    """

    def __init__(
        self,
        dim: int,
        *,
        kernel_initializer: str | KerasObject = "glorot_uniform",
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
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

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        self.dense.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """Embed: [batch, features] -> [batch, dim]."""
        return _unit(self.dense(inputs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[batch, features] -> [batch, dim]."""
        return (*input_shape[:-1], self.dim)

    def get_config(self) -> dict[str, Any]:
        """The options, so that a saved model can be loaded."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "kernel_initializer": keras.initializers.serialize(self.dense.kernel_initializer),
            "use_bias": self.dense.use_bias,
        }


@keras.saving.register_keras_serializable(package="simnb")
class Proxies(keras.layers.Layer):
    """One trained vector a class, the proxy, and its cosine similarity to every embedding.

    Embeddings of any norm, [batch, dim], become similarities from -1 to 1, [batch, num_classes], in float32
    even under a mixed precision policy. It stands behind an embedder while that is trained under one of the
    proxy losses; the embedder is used without it afterwards.

    Args:
        num_classes: How many classes, and so proxies; labels are 0 to ``num_classes - 1``.
        seed: The same seed gives the same initial proxies: random directions, norms near 1.
        **kwargs: ``name`` and the like, of ``keras.layers.Layer``; ``dtype`` is float32 unless given.

    Raises:
        ValueError: If num_classes is below 1, the seed no integer of at least 0 or the input not
            [batch, dim].

    References:
        Movshovitz-Attias et al., No Fuss Distance Metric Learning using Proxies, ICCV 2017.
        https://arxiv.org/abs/1703.07464

    Example:
        >>> import keras
        >>> from simnb.layers import MetricEmbedding, Proxies
        >>> from simnb.losses import NormalizedSoftmaxLoss
        >>> inputs = keras.Input((8,))
        >>> embedder = keras.Model(inputs, MetricEmbedding(4)(inputs))
        >>> model = keras.Model(embedder.input, Proxies(10)(embedder.output))
        >>> model.compile(loss=NormalizedSoftmaxLoss())
        >>> model.output_shape, embedder.output_shape
        ((None, 10), (None, 4))
    """

    def __init__(self, num_classes: int, *, seed: int = 0, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.num_classes = _checks.positive_int(num_classes, name="num_classes")
        self.seed = _checks.seed(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the proxies, shape [num_classes, dim]."""
        if len(input_shape) != 2 or input_shape[1] is None:
            raise ValueError(f"embeddings must have shape [batch, dim], got {tuple(input_shape)}")
        dim = input_shape[1]
        self.proxies = self.add_weight(
            shape=(self.num_classes, dim),
            initializer=keras.initializers.RandomNormal(stddev=1.0 / math.sqrt(dim), seed=self.seed),
            name="proxies",
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Compare: [batch, dim] -> [batch, num_classes]."""
        return ops.matmul(_unit(inputs), ops.transpose(_unit(self.proxies)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """[batch, dim] -> [batch, num_classes]."""
        return (input_shape[0], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        """The options, so that a saved model can be loaded."""
        return {**super().get_config(), "num_classes": self.num_classes, "seed": self.seed}


class _GeneralizedMeanPooling(keras.layers.Layer):
    """Pooling over the axes of the positions; ``_rank`` is that of the input."""

    def __init__(
        self,
        p: float = 3.0,
        *,
        epsilon: float = 1e-6,
        data_format: str | None = None,
        keepdims: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.initial_p = _checks.number(p, name="p", at_least=1)
        self.epsilon = _checks.number(epsilon, name="epsilon", above=0)
        data_format = data_format or keras.config.image_data_format()
        self.data_format = _checks.one_of(
            data_format, ("channels_first", "channels_last"), name="data_format"
        )
        self.keepdims = bool(keepdims)
        self.input_spec = keras.layers.InputSpec(ndim=self._rank)
        first = 1 if self.data_format == "channels_last" else 2
        self._axes = tuple(range(first, first + self._rank - 2))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.p = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self.initial_p),
            constraint=lambda p: ops.maximum(p, 1.0),
            name="p",
        )

    def call(self, inputs: Tensor) -> Tensor:
        # mean(x^p)^(1/p) in logarithms, where a large power neither overflows nor underflows. The largest
        # term cancels out, and so does its gradient.
        p = ops.convert_to_tensor(self.p)
        powers = p * ops.log(ops.maximum(inputs, self.epsilon))
        top = ops.stop_gradient(ops.max(powers, axis=self._axes, keepdims=True))
        mean = ops.mean(ops.exp(powers - top), axis=self._axes, keepdims=True)
        pooled = ops.exp((top + ops.log(mean)) / p)
        return pooled if self.keepdims else ops.squeeze(pooled, axis=self._axes)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        shape = [1 if axis in self._axes else size for axis, size in enumerate(input_shape)]
        if self.keepdims:
            return tuple(shape)
        return tuple(size for axis, size in enumerate(shape) if axis not in self._axes)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "p": self.initial_p,
            "epsilon": self.epsilon,
            "data_format": self.data_format,
            "keepdims": self.keepdims,
        }


@keras.saving.register_keras_serializable(package="simnb")
class GeneralizedMeanPooling2D(_GeneralizedMeanPooling):
    """Generalized-mean (GeM) pooling of feature maps: ``mean(max(x, epsilon)^p)^(1/p)`` of each channel.

    [batch, height, width, channels] becomes [batch, channels], float32 even under a mixed precision policy.
    ``p = 1`` is average pooling, and the larger p the nearer it comes to maximum pooling. One p for all
    channels is trained with the network; after every step it is brought back to at least 1. Meant for
    activations that are not negative, as after a ReLU: what is below ``epsilon`` counts as ``epsilon`` and
    gets no gradient.

    Args:
        p: The power to start from, at least 1.
        epsilon: The least value an activation counts as, above 0.
        data_format: ``channels_last`` or ``channels_first``; None for that of ``keras.json``.
        keepdims: Whether the pooled axes stay, with length 1.
        **kwargs: ``name`` and the like, of ``keras.layers.Layer``: ``trainable=False`` keeps p as it is,
            ``dtype`` is float32 unless given.

    Raises:
        ValueError: If p is below 1, epsilon is not above 0 or the data format is unknown.

    References:
        Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019,
        equation 3. https://arxiv.org/abs/1711.02512

    Example:
        >>> import numpy as np
        >>> from simnb.layers import GeneralizedMeanPooling2D
        >>> np.asarray(GeneralizedMeanPooling2D()(np.ones((2, 7, 7, 3), np.float32))).shape
        (2, 3)
    """

    _rank = 4


@keras.saving.register_keras_serializable(package="simnb")
class GeneralizedMeanPooling1D(_GeneralizedMeanPooling):
    """``GeneralizedMeanPooling2D`` of sequences: [batch, steps, channels] becomes [batch, channels].

    Its arguments are those of ``GeneralizedMeanPooling2D``, and so are its errors.

    Example:
        >>> import numpy as np
        >>> from simnb.layers import GeneralizedMeanPooling1D
        >>> np.asarray(GeneralizedMeanPooling1D()(np.ones((2, 9, 3), np.float32))).shape
        (2, 3)
    """

    _rank = 3


def _unit(x):
    # As keras.ops.normalize, whose gradient at a zero vector is NaN on the JAX and PyTorch backends.
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=-1, keepdims=True), 1e-14))
