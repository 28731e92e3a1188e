"""Cross-batch memory: a loss over pairs that compares a batch with the batches before it as well."""

from typing import Any

from simnb import _checks, _replicas
from simnb._keras import keras, ops
from simnb._types import KerasObject, Tensor
from simnb.losses import _pairs
from simnb.losses.contrastive import MultipleNegativesRankingLoss
from simnb.losses.pairwise import LiftedStructureLoss
from simnb.losses.triplet import PNLoss

# They look at rows of examples that are no anchors, and so need the distances of all to all.
ALL_TO_ALL = (LiftedStructureLoss, MultipleNegativesRankingLoss, PNLoss)


@keras.saving.register_keras_serializable(package="simnb")
class CrossBatchMemory(keras.losses.Loss):
    """A loss over pairs whose anchors are compared with the last embeddings of the training as well.

    A batch holds few pairs. Embeddings drift slowly once a network has settled, so that those of the last
    batches can stand in for a larger one. What is in the memory is no anchor and gets no gradient;
    embeddings that are not finite are not taken in. It takes batch x (batch + size) distances, and
    (batch + size) x (batch + size) for ``LiftedStructureLoss``, ``MultipleNegativesRankingLoss`` and
    ``PNLoss``.

    The memory takes a batch in as the gradient of its loss is taken. So ``fit`` fills it, while ``evaluate``
    and the validation inside ``fit`` leave it as it is. Under ``tf.distribute`` the loss must be made inside
    the scope of the strategy.

    Two cases need ``compute_loss`` instead of calling the loss. On the JAX backend a model keeps the state
    that it tracks and no other: it must have ``memory`` as an attribute. And a loop of your own may take the
    gradient outside of the ``tf.function`` that computes the loss, where nothing would be taken in.

    Args:
        loss: A loss over pairs of ``simnb.losses``. Its reduction and dtype become those of this loss.
        size: How many embeddings the memory holds; the paper goes up to the whole training set.
        dim: Length of the embeddings.
        start: Training steps before the memory takes batches in: embeddings drift fast at first.
        name: Name of the loss.

    Attributes:
        loss: The loss over pairs.
        memory: The state, a layer, which the compiled model saves in ``save`` and ``save_weights``.

    Raises:
        ValueError: If the loss is not over pairs, or size, dim or start is out of range.

    References:
        Wang et al., Cross-Batch Memory for Embedding Learning, CVPR 2020. https://arxiv.org/abs/1912.06798

    Example:
        >>> from simnb.losses import CrossBatchMemory, SupervisedContrastiveLoss
        >>> loss = CrossBatchMemory(SupervisedContrastiveLoss(), size=1024, dim=2)
        >>> round(float(loss([0, 0, 1], [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])), 3)
        0.042
    """

    def __init__(
        self, loss: KerasObject, size: int, dim: int, *, start: int = 0, name: str = "cross_batch_memory"
    ) -> None:
        if not isinstance(loss, _pairs.PairLoss):
            raise ValueError(f"loss must be a loss over pairs of simnb.losses, got {loss!r}")
        super().__init__(name=name, reduction=loss.reduction, dtype=loss.dtype)
        self.loss = loss
        self.memory = EmbeddingMemory(size, dim, start=start)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Loss of the batch, reduced; the batch is remembered once the gradient is taken."""
        if keras.backend.backend() == "jax":
            raise ValueError(
                "CrossBatchMemory must be held by a model on the JAX backend, where what a model does not "
                "track is lost: let a keras.Model have its memory as an attribute, and override compute_loss "
                "to return loss.compute_loss(y, y_pred, sample_weight, training=training)"
            )
        return self._compute(y_true, y_pred, sample_weight, remember="with gradient")

    def compute_loss(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None, *, training: bool
    ) -> Tensor:
        """Loss of the batch, reduced, for models that override ``compute_loss`` and loops of your own.

        Args:
            y_true: Integer class of each example, shape [batch].
            y_pred: Embeddings, shape [batch, dim].
            sample_weight: Weight of each anchor, shape [batch].
            training: Whether the memory takes the batch in, now.

        Returns:
            The loss, a scalar, or of each anchor, shape [batch], where the reduction is None.

        Raises:
            ValueError: If a shape is wrong, the lengths differ or the labels are no integers.
        """
        return self._compute(y_true, y_pred, sample_weight, remember="now" if training else None)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss of each anchor, shape [batch], from the batch followed by the memory."""
        size = self.memory.size
        if isinstance(self.loss, ALL_TO_ALL):
            return self.loss.call(y_true, y_pred)[:-size]
        return self.loss.call(_pairs.WithReferences(y_true[:-size], y_true), y_pred)

    def _compute(self, y_true, y_pred, sample_weight, *, remember):
        _replicas.check()
        _replicas.check_state(self.memory.steps, of="CrossBatchMemory")
        labels, rows = _pairs.check(_replicas.labels(y_true), y_pred)
        _pairs.check_values(labels)
        if rows.shape[1] not in (None, self.memory.dim):
            raise ValueError(
                f"embeddings must have dim {self.memory.dim} like the memory, got {rows.shape[1]}"
            )
        labels, embeddings, sample_weight = _replicas.gather(labels, rows, sample_weight)
        if remember == "with gradient":
            embeddings = self.memory.enqueue_with_gradient(labels, embeddings)
        classes, everyone = self._with_memory(labels, embeddings)
        loss = super().__call__(classes, everyone, sample_weight)
        if remember == "now":
            self.memory.enqueue(labels, embeddings)
        return _replicas.share(loss, rows, reduction=self.reduction)

    def _with_memory(self, labels, embeddings):
        """Classes [batch + size] and embeddings of the batch followed by the memory."""
        labels = ops.cast(labels, self.memory.labels.dtype)
        everyone = _followed_by(labels, self.memory.labels)
        # Small numbers instead of labels, as in PairLoss: the position of the first of the class, and -1
        # for all classes that no anchor has, since those are negatives of every anchor.
        among = everyone if isinstance(self.loss, ALL_TO_ALL) else labels
        same = ops.equal(everyone[:, None], among[None, :])
        first = ops.argmax(ops.cast(same, "int32"), axis=1)
        classes = ops.cast(ops.where(ops.any(same, axis=1), first, -1), "float32")
        held = _followed_by(ops.ones_like(labels, dtype="bool"), self.memory.held)
        embeddings = _followed_by(embeddings, self.memory.embeddings)
        return ops.where(held, classes, float("nan")), embeddings

    def get_config(self) -> dict[str, Any]:
        """The options, so that a saved model can be loaded."""
        options = {option: getattr(self.memory, option) for option in ("size", "dim", "start")}
        return {"loss": keras.losses.serialize(self.loss), **options, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CrossBatchMemory":
        """Make the loss that ``get_config`` describes; its memory is empty."""
        return cls(**{**config, "loss": keras.losses.deserialize(config["loss"])})


class EmbeddingMemory(keras.layers.Layer):
    """The last embeddings of a training and their labels, the newest at the end: the state of a loss.

    A layer, so that a model which has it as an attribute tracks, saves and distributes its weights. The
    arguments are those of ``CrossBatchMemory``.

    Attributes:
        embeddings: Shape [size, dim] float32.
        labels: Shape [size] int64, or int32 where the backend has no other.
        held: Shape [size], whether a place holds an embedding.
        steps: How many batches were offered.
    """

    def __init__(self, size: int, dim: int, *, start: int = 0) -> None:
        super().__init__(dtype="float32", name="embedding_memory")
        self.size = _checks.positive_int(size, name="size")
        self.dim = _checks.positive_int(dim, name="dim")
        self.start = _checks.not_negative_int(start, name="start")
        integers = "int64" if keras.backend.backend() != "jax" else "int32"
        # Every replica enqueues the same gathered batch.
        options = {"initializer": "zeros", "trainable": False, "aggregation": "only_first_replica"}
        self.embeddings = self.add_weight(shape=(self.size, self.dim), name="embeddings", **options)
        self.labels = self.add_weight(shape=(self.size,), dtype=integers, name="labels", **options)
        self.held = self.add_weight(shape=(self.size,), dtype="bool", name="held", **options)
        self.steps = self.add_weight(shape=(), dtype="int32", name="steps", **options)
        self.built = True

    def enqueue(self, labels: Tensor, embeddings: Tensor) -> None:
        """Take in labels [batch] and embeddings [batch, dim] at the end; as many go out at the beginning."""
        embeddings = ops.stop_gradient(ops.cast(embeddings, "float32"))
        finite = ops.all(ops.isfinite(embeddings), axis=1)
        held = ops.logical_and(finite, ops.convert_to_tensor(self.steps) >= self.start)
        embeddings = ops.where(finite[:, None], embeddings, 0.0)
        self._push(self.embeddings, embeddings)
        self._push(self.labels, ops.cast(labels, self.labels.dtype))
        self._push(self.held, held)
        self.steps.assign(self.steps + 1)

    def enqueue_with_gradient(self, labels: Tensor, embeddings: Tensor) -> Tensor:
        """The same embeddings; ``enqueue`` is called when a gradient comes back through them."""

        # Keras does not tell a loss whether it trains or evaluates. Taking the gradient is the difference.
        @ops.custom_gradient
        def remembered(tensor):
            def gradient(*args, upstream=None):
                self.enqueue(labels, embeddings)
                # PyTorch names what the other backends give as the only argument.
                return args[0] if upstream is None else upstream

            return tensor, gradient

        return remembered(embeddings)

    def clear(self) -> None:
        """Forget everything, as before the first step of another training."""
        for weight in self.weights:
            weight.assign(ops.zeros(weight.shape, dtype=weight.dtype))

    def load_own_variables(self, store: Any) -> None:
        """Read the weights; a file that was saved without them leaves the memory as it is."""
        if len(store.keys()) > 0:
            super().load_own_variables(store)

    def _push(self, weight, rows):
        last = _followed_by(weight, rows)[-self.size :]
        weight.assign(ops.reshape(last, weight.shape))  # in a graph the slice may have lost its length


def _followed_by(rows, more):
    return ops.concatenate([ops.convert_to_tensor(rows), ops.convert_to_tensor(more)], axis=0)
