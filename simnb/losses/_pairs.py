"""What losses over the pairs of a batch share."""

from simnb._keras import keras, ops
from simnb.distances import DISTANCES, pairwise

# Stands for infinity where arithmetic goes on: finite, so that gradients stay finite.
FAR = 1e38


class PairLoss(keras.losses.Loss):
    """A Keras loss around a function ``(labels, embeddings, **options) -> [batch]``."""

    def __init__(self, function, options, *, name, reduction, dtype):
        """Keep the function and the options it is called with."""
        dtype = keras.dtype_policies.get(dtype or "float32").compute_dtype
        if dtype not in ("float32", "float64"):
            raise ValueError(
                f"dtype must be float32 or float64, got {dtype!r}: the loss computes in float32 whatever "
                "the embeddings are, since distances are small differences"
            )
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._function = function
        self._options = options

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Loss of the batch, reduced."""
        # Keras casts y_true to float32, where labels above 2**24 run together. What counts is which
        # examples are of one class: the position of the first example of the class says that too.
        labels, y_pred = check(y_true, y_pred)
        same = ops.cast(ops.equal(labels[:, None], labels[None, :]), "int32")
        return super().__call__(ops.argmax(same, axis=1), y_pred, sample_weight)

    def call(self, y_true, y_pred):
        """Loss of each anchor, shape [batch]."""
        return self._function(y_true, y_pred, **self._options)

    def get_config(self):
        """The options, so that a saved model can be loaded."""
        return {**super().get_config(), **self._options}


def check(labels, embeddings):
    """Return labels [batch] and float32 embeddings [batch, dim], or raise ValueError."""
    labels, embeddings = ops.convert_to_tensor(labels), ops.convert_to_tensor(embeddings)
    if len(embeddings.shape) != 2:
        raise ValueError(f"embeddings must have shape [batch, dim], got {tuple(embeddings.shape)}")
    if len(labels.shape) == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if len(labels.shape) != 1:
        raise ValueError(
            f"labels must be integer classes of shape [batch], got {tuple(labels.shape)}; "
            "one-hot labels become integers with argmax(axis=1)"
        )
    if None not in (labels.shape[0], embeddings.shape[0]) and labels.shape[0] != embeddings.shape[0]:
        raise ValueError(
            "labels and embeddings must have the same length, "
            f"got {labels.shape[0]} and {embeddings.shape[0]}"
        )
    return labels, ops.cast(embeddings, "float32")


def pairs(labels, embeddings, distance):
    """Distances [batch, batch] and the masks of positive and of negative pairs, no example with itself."""
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}; got {distance!r}")
    same = ops.equal(labels[:, None], labels[None, :])
    itself = ops.eye(ops.shape(embeddings)[0], dtype="bool")
    positives = ops.logical_and(same, ops.logical_not(itself))
    return pairwise(embeddings, embeddings, distance, ops=ops), positives, ops.logical_not(same)


def nan_where_not_finite(loss, embeddings):
    """The loss [batch], NaN for embeddings that are not finite.

    Comparisons with NaN are false: without this, mining would keep no pair, and a model whose weights have
    become NaN would report a loss of 0.
    """
    return ops.where(ops.all(ops.isfinite(embeddings), axis=1), loss, float("nan"))


def smallest(values, mask):
    """Smallest value under the mask of each row, ``FAR`` where there is none: shape [batch]."""
    return ops.min(ops.where(mask, values, FAR), axis=1)


def largest(values, mask):
    """Largest value under the mask of each row, ``-FAR`` where there is none: shape [batch]."""
    return ops.max(ops.where(mask, values, -FAR), axis=1)


def log1p_sum_exp(values, mask):
    """log(1 + sum of exp over the mask) of each row, without overflow: shape [batch]."""
    values = ops.where(mask, values, -FAR)
    return ops.logsumexp(ops.concatenate([ops.zeros_like(values[:, :1]), values], axis=1), axis=1)
