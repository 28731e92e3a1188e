"""What losses over the similarities of embeddings and proxies share."""

from simnb import _checks, _replicas
from simnb._keras import keras, ops
from simnb.losses._pairs import array_or_none, full_precision


class ProxyLoss(keras.losses.Loss):
    """A Keras loss around a function ``(labels, similarities, **options) -> [batch]``: any proxy loss.

    Its ``y_pred`` are similarities as ``simnb.layers.Proxies`` gives them, shape [batch, num_classes], and
    its ``y_true`` are integer labels, each the position of a proxy, shape [batch] or [batch, 1].
    """

    def __init__(self, function, options, *, name, reduction, dtype):
        """Keep the function and the options it is called with."""
        super().__init__(name=name, reduction=reduction, dtype=full_precision(dtype))
        self._function = function
        self._options = options

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Loss of the batch, reduced: of the whole batch, on each of several replicas."""
        # Checked first: Keras casts y_true to float32, which holds the positions of proxies but not
        # every integer.
        _replicas.check()
        labels, rows = check(_replicas.labels(y_true), y_pred)
        (sample_weight,) = _replicas.gather(sample_weight)
        loss = super().__call__(labels, rows, sample_weight)
        return _replicas.share(loss, rows, reduction=self.reduction)

    def call(self, y_true, y_pred):
        """Loss of each example of the batch, shape [batch]: of all replicas, where there are several."""
        # One number an example is gathered, rather than as many as there are proxies.
        (values,) = _replicas.gather(self._of_rows(y_true, y_pred))
        return values

    def _of_rows(self, labels, similarities):
        return self._function(ops.cast(labels, "int32"), similarities, **self._options)

    def get_config(self):
        """The options, so that a saved model can be loaded."""
        return {**super().get_config(), **self._options}


def check(labels, similarities):
    """Return positions of proxies [batch] int32 and float32 similarities, or raise ValueError.

    Where the labels have no values yet, because a graph is traced, those that are no position become -1.
    """
    similarities = ops.convert_to_tensor(similarities)
    if len(similarities.shape) != 2 or similarities.shape[1] is None:
        raise ValueError(
            f"similarities must have shape [batch, num_classes], got {tuple(similarities.shape)}; "
            "simnb.layers.Proxies makes them from embeddings"
        )
    num_classes = similarities.shape[1]
    if num_classes > 2**24:
        raise ValueError(f"similarities must be to at most 2**24 proxies, got {num_classes}")
    labels = _positions(labels, num_classes)
    if None not in (labels.shape[0], similarities.shape[0]) and labels.shape[0] != similarities.shape[0]:
        raise ValueError(
            "labels and similarities must have the same length, "
            f"got {labels.shape[0]} and {similarities.shape[0]}"
        )
    return labels, ops.cast(similarities, "float32")


def own_proxy(labels, similarities):
    """True where a similarity is the one to the proxy of the example's own class: [batch, num_classes]."""
    return ops.equal(labels[:, None], ops.arange(similarities.shape[1], dtype="int32")[None, :])


def cross_entropy(logits, own, *, label_smoothing=0.0):
    """Cross entropy of the softmax of logits [batch, num_classes]: shape [batch].

    The share ``label_smoothing`` of the target is spread evenly over all classes.
    """
    target = ops.sum(ops.where(own, logits, 0.0), axis=1)
    if label_smoothing:
        target = (1.0 - label_smoothing) * target + label_smoothing * ops.mean(logits, axis=1)
    return nan_without_proxy(ops.logsumexp(logits, axis=1) - target, own)


def nan_without_proxy(loss, own):
    """The loss [batch], NaN for a label that no proxy stands for: a graph cannot raise an error."""
    return ops.where(ops.any(own, axis=1), loss, float("nan"))


def _positions(labels, num_classes):
    values = array_or_none(labels)
    labels = ops.convert_to_tensor(labels if values is None else values)
    if len(labels.shape) == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if len(labels.shape) != 1:
        raise ValueError(
            f"labels must be integer classes of shape [batch], got {tuple(labels.shape)}; "
            f"{_checks.one_label_hint(values)}"
        )
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(f"labels must be integers, the positions of proxies, got dtype {dtype}")
    if dtype in ("int8", "uint8", "int16", "uint16"):  # too narrow to be compared with num_classes
        labels = ops.cast(labels, "int32")
    inside = ops.logical_and(labels >= 0, labels < num_classes)
    if values is not None and values.size:
        _check_range(values, num_classes)
    return ops.where(inside, ops.cast(labels, "int32"), -1)


def _check_range(values, num_classes):
    outside = values[(values < 0) | (values >= num_classes)]
    if outside.size:
        raise ValueError(f"labels must be 0 to {num_classes - 1}, one a proxy, got {outside.flat[0]}")
