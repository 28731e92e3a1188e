"""What losses over the pairs of a batch share."""

import typing

import numpy as np

from simnb import _checks, _replicas
from simnb._keras import keras, ops
from simnb._types import Tensor
from simnb.distances import DISTANCES, pairwise

# Stands for infinity where arithmetic goes on: finite, so that gradients stay finite.
FAR = 1e38


class FunctionLoss(keras.losses.Loss):
    """A Keras loss around a function ``(labels, values, **options) -> [batch]``, whose name it has."""

    def __init__(self, function, options, *, name=None, dtype=None, **kwargs):
        dtype = keras.dtype_policies.get(dtype or "float32").compute_dtype
        if dtype not in ("float32", "float64"):
            raise ValueError(
                f"dtype must be float32 or float64, got {dtype!r}: a loss computes in float32 whatever it is "
                "given, since it takes small differences"
            )
        super().__init__(name=name or function.__name__, dtype=dtype, **kwargs)
        self._function = function
        self._options = {option: _checked(option, value) for option, value in options.items()}

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss of each row, shape [batch]."""
        return self._function(y_true, y_pred, **self._options)

    def get_config(self) -> dict[str, typing.Any]:
        """The options, so that a saved model can be loaded."""
        return {**super().get_config(), **self._options}


def _checked(option, value):
    """The value of an option, or raise ValueError: what is said here holds in every loss."""
    if option in ("temperature", "scale", "alpha", "beta", "gamma"):
        return _checks.number(value, name=option, above=0)
    if option == "distance":
        return _checks.one_of(value, DISTANCES, name=option)
    return value


class PairLoss(FunctionLoss):
    """A Keras loss around a function of labels and embeddings.

    Under ``tf.distribute`` it sees the pairs of the whole batch, on every replica.
    """

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Loss of the batch, reduced: of the whole batch, on each of several replicas."""
        _replicas.check()
        labels, rows = check(_replicas.labels(y_true), y_pred)
        check_values(labels)
        labels, embeddings, sample_weight = _replicas.gather(labels, rows, sample_weight)
        # Keras casts y_true to float32, where labels above 2**24 run together. What counts is which
        # examples are of one class: the position of the first example of the class says that too.
        same = ops.cast(ops.equal(labels[:, None], labels[None, :]), "int32")
        loss = super().__call__(ops.argmax(same, axis=1), embeddings, sample_weight)
        return _replicas.share(loss, rows, reduction=self.reduction)


class WithReferences(typing.NamedTuple):
    """Labels for a function over pairs whose anchors are compared with more than their batch.

    ``everyone`` begins with the anchors, as the embeddings do. Rows of distances and masks are anchors then,
    and columns everyone. NaN is the label of a place that holds no example: it is in no pair.
    """

    anchors: typing.Any
    everyone: typing.Any


def check(labels, embeddings):
    """Return labels [batch] and float32 embeddings [batch, dim], or raise ValueError."""
    if isinstance(labels, WithReferences):
        return labels, ops.cast(embeddings, "float32")
    # Tensors may be what a loss class makes of labels, in float32, with NaN for places without an example.
    given = None if ops.is_tensor(labels) else np.asarray(labels)
    labels, embeddings = labels if given is None else given, ops.convert_to_tensor(embeddings)
    if len(embeddings.shape) != 2:
        raise ValueError(f"embeddings must have shape [batch, dim], got {tuple(embeddings.shape)}")
    labels = one_column(labels)
    check_lengths(labels, embeddings, "embeddings")
    if given is not None:
        check_values(labels)
    return ops.convert_to_tensor(labels), ops.cast(embeddings, "float32")


def one_column(labels):
    """Labels [batch] of labels [batch] or [batch, 1], or raise ValueError."""
    if len(labels.shape) == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if len(labels.shape) != 1:
        raise ValueError(
            f"labels must be integer classes of shape [batch], got {tuple(labels.shape)}; "
            f"{_checks.one_label_hint(array_or_none(labels))}"
        )
    return labels


def check_lengths(labels, rows, name):
    """Raise ValueError where there are not as many labels as rows, as far as is known yet."""
    lengths = labels.shape[0], rows.shape[0]
    if None not in lengths and lengths[0] != lengths[1]:
        raise ValueError(f"labels and {name} must have the same length, got {lengths[0]} and {lengths[1]}")


def check_values(labels):
    """Raise ValueError unless labels, a tensor or an array, are integers of at least 0.

    While a graph is traced there are no values yet, and only the dtype is looked at.
    """
    dtype = str(getattr(labels.dtype, "name", labels.dtype)).removeprefix("torch.")
    if not dtype.startswith(("int", "uint")):
        hint = "" if "float" in dtype else "; simnb.data.from_arrays turns strings into integers"
        raise ValueError(f"labels must be integers, got dtype {dtype}{hint}")
    values = array_or_none(labels)
    if values is not None and np.min(values, initial=0) < 0:
        raise ValueError(
            f"labels must be 0 or above, got {np.min(values)}; -1 stands for unknown, which is no class: "
            "leave such examples out"
        )


def array_or_none(labels):
    """The labels in NumPy, or None while a graph is traced."""
    try:
        return ops.convert_to_numpy(labels) if ops.is_tensor(labels) else np.asarray(labels)
    except (NotImplementedError, TypeError):  # what TensorFlow and PyTorch raise, and JAX
        return None


def pairs(labels, embeddings, distance):
    """Checked embeddings, distances [batch, batch] and masks of positive and negative pairs.

    No example is in a pair with itself.
    """
    labels, embeddings = check(labels, embeddings)
    labels, everyone = labels if isinstance(labels, WithReferences) else (labels, labels)
    rows = embeddings if labels is everyone else embeddings[: ops.shape(labels)[0]]
    same = ops.equal(labels[:, None], everyone[None, :])
    itself = ops.eye(ops.shape(rows)[0], ops.shape(embeddings)[0], dtype="bool")
    positives = ops.logical_and(same, ops.logical_not(itself))
    # NaN alone differs from itself.
    negatives = ops.logical_and(ops.logical_not(same), ops.equal(everyone, everyone)[None, :])
    return embeddings, pairwise(rows, embeddings, distance, ops=ops), positives, negatives


def complete(positives, negatives):
    """Whether an anchor has a positive and a negative: shape [batch]."""
    return ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))


def nan_where_not_finite(loss, embeddings):
    """The loss [batch], NaN for embeddings that are not finite.

    Comparisons with NaN are false: without this, mining would keep no pair, and a model whose weights have
    become NaN would report a loss of 0.
    """
    finite = ops.all(ops.isfinite(embeddings[: ops.shape(loss)[0]]), axis=1)
    return ops.where(finite, loss, float("nan"))


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


def log_sum_exp(values, mask):
    """log(sum of exp over the mask) of each row, about ``-FAR`` where there is none: shape [batch]."""
    return ops.logsumexp(ops.where(mask, values, -FAR), axis=1)


def mean(values, mask):
    """Mean over the mask of each row, 0 where there is none: shape [batch]."""
    count = ops.sum(ops.cast(mask, "float32"), axis=1)
    return ops.sum(ops.where(mask, values, 0.0), axis=1) / ops.maximum(count, 1.0)


def part_of_mean(values, mask, counted=None):
    """What each anchor [batch] adds to the mean over every pair (or triplet) under the mask.

    It is scaled so that the mean over the anchors that have a pair is the mean over all pairs of the batch:
    an anchor with twice the pairs weighs twice as much. ``counted`` are the pairs that the mean divides by,
    those under the mask unless given.
    """
    axes = tuple(range(1, len(values.shape)))
    totals = ops.sum(ops.where(mask, values, 0.0), axis=axes)
    anchors = ops.sum(ops.cast(ops.any(mask, axis=axes), "float32"))
    count = ops.sum(ops.cast(mask if counted is None else counted, "float32"))
    return totals * anchors / ops.maximum(count, 1.0)


def cross_entropy(scores, negatives):
    """log(1 + sum over the negatives of the row of exp(score - score of the pair)), for every pair.

    The cross-entropy of telling the pair from the negatives of its anchor: shape [batch, batch].
    """
    return ops.softplus(log_sum_exp(scores, negatives)[:, None] - scores)
