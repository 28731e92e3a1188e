"""An embedder together with what its losses need beside it."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from simnb import _checks, _replicas
from simnb._keras import keras, ops
from simnb._types import KerasObject, Tensor
from simnb.layers import Proxies
from simnb.losses import CrossBatchMemory
from simnb.losses.proxies import ProxyLoss


class MetricModel(keras.Model):
    """An embedder under one loss or a mix of several, for ``compile(optimizer)`` and ``fit``.

    The proxies of proxy losses and the state of cross-batch memory are held here, so that they are trained,
    saved and distributed with the model. The embedder is trained in place; once that is done it is used
    without this. ``simnb.training.fit`` makes one where the losses call for it.

    Args:
        embedder: A Keras model that gives embeddings, [batch, ...] -> [batch, dim].
        losses: A loss of ``simnb.losses``, or a list of them; their values are added.
        weights: What each value is multiplied by; None for 1.
        classes: The labels there are, any order; needed by proxy losses alone.
        seed: The same seed gives the same initial proxies.

    Attributes:
        terms: The weight and the loss of each, a list of pairs.

    Raises:
        ValueError: If there is no loss, the lengths differ or a proxy loss comes without classes.
    """

    def __init__(
        self,
        embedder: KerasObject,
        losses: KerasObject | Sequence[KerasObject],
        *,
        weights: Iterable[float] | None = None,
        classes: ArrayLike | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(name="metric_model")
        losses = list(losses) if isinstance(losses, list | tuple) else [losses]
        if not losses or not all(isinstance(loss, keras.losses.Loss) for loss in losses):
            raise ValueError(f"losses must be losses of simnb.losses, got {losses!r}")
        weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if len(weights) != len(losses):
            raise ValueError(f"weights must be one a loss, got {len(weights)} for {len(losses)} losses")
        self.embedder = embedder
        self.proxies = None
        if any(isinstance(loss, ProxyLoss) for loss in losses):
            if classes is None:
                raise ValueError("classes must be given for a proxy loss: the labels there are")
            self._classes = np.unique(_checks.labels(classes, name="classes"))
            self.proxies = Proxies(len(self._classes), seed=seed, name="proxies")
            self.proxies.build(_output_shape(embedder))
        self.memories = [loss.memory for loss in losses if isinstance(loss, CrossBatchMemory)]
        self.terms = list(zip(weights, losses, strict=True))
        self.built = True

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        """Embed: [batch, ...] -> [batch, dim]."""
        return self.embedder(images, training=training)

    def compute_loss(
        self,
        x: Tensor | None = None,
        y: Tensor | None = None,
        y_pred: Tensor | None = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        """The weighted sum of the losses, and of what regularizers add."""
        if self.proxies is not None:
            similarities, positions = self.proxies(y_pred), self._position(y)
        # Each replica adds its own: they must not count as often as there are replicas.
        total = _replicas.share(sum(self.losses), None, reduction="sum") if self.losses else 0.0
        for weight, loss in self.terms:
            if isinstance(loss, ProxyLoss):
                value = loss(positions, similarities, sample_weight)
            elif isinstance(loss, CrossBatchMemory):
                value = loss.compute_loss(y, y_pred, sample_weight, training=training)
            else:
                value = loss(y, y_pred, sample_weight)
            total = total + weight * value
        return total

    def _position(self, labels):
        """The position of each label among the classes; -1 for no class."""
        labels = _replicas.labels(labels)
        if len(labels.shape) > 1 and labels.shape[-1] != 1:
            raise ValueError(
                f"labels must be integer classes of shape [batch], got {tuple(labels.shape)}; "
                f"{_checks.one_label_hint(None)}"
            )
        labels = ops.reshape(labels, (-1,))
        # In the labels' own dtype: JAX has no int64.
        classes = ops.convert_to_tensor(self._classes.astype(keras.backend.standardize_dtype(labels.dtype)))
        same = ops.equal(labels[:, None], classes[None, :])
        position = ops.cast(ops.argmax(same, axis=1), "int32")
        return ops.where(ops.any(same, axis=1), position, -1)


def _output_shape(embedder):
    try:
        return embedder.output_shape
    except AttributeError:  # a Sequential that has seen no image, or a model with a call of its own
        raise ValueError(
            f"the output shape of {embedder.name!r} is not known: proxies need the length of its embeddings. "
            "Begin it with keras.Input, or wrap it: keras.Model(inputs, model(inputs))"
        ) from None
