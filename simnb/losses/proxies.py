"""Losses over similarities to proxies: softmax with and without a margin, Proxy-NCA and Proxy-Anchor."""

import math
from typing import Any

from simnb import _checks, _replicas
from simnb._keras import keras, ops
from simnb._types import Tensor
from simnb.losses import _pairs


class ProxyLoss(_pairs.FunctionLoss):
    """A Keras loss around a function of labels and similarities.

    Its ``y_pred`` are similarities as ``simnb.layers.Proxies`` gives them, shape [batch, num_classes], and
    its ``y_true`` are integer labels, each the position of a proxy, shape [batch] or [batch, 1].
    """

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Loss of the batch, reduced: of the whole batch, on each of several replicas."""
        # Checked first: Keras casts y_true to float32, which holds the positions of proxies but not
        # every integer.
        _replicas.check()
        labels, rows = _check(_replicas.labels(y_true), y_pred)
        (sample_weight,) = _replicas.gather(sample_weight)
        loss = super().__call__(labels, rows, sample_weight)
        return _replicas.share(loss, rows, reduction=self.reduction)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss of each example of the batch, shape [batch]: of all replicas, where there are several."""
        # One number an example is gathered, rather than as many as there are proxies.
        (values,) = _replicas.gather(self._of_rows(y_true, y_pred))
        return values

    def _of_rows(self, labels, similarities):
        return super().call(ops.cast(labels, "int32"), similarities)


def normalized_softmax_loss(
    labels: Tensor, similarities: Tensor, *, temperature: float = 0.05, label_smoothing: float = 0.0
) -> Tensor:
    """Normalized softmax loss of each example: the cross entropy of ``similarities / temperature``.

    Args:
        labels: Class of each example, the position of its proxy, shape [batch].
        similarities: Cosine similarities to the proxies, shape [batch, num_classes]; computed in float32.
        temperature: What similarities are divided by, above 0; the lower, the harder.
        label_smoothing: Share of the target that is spread evenly over all classes, 0 up to but not
            including 1.

    Returns:
        Loss of each example, shape [batch]; NaN where a similarity is NaN.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or a label is no integer or has no proxy; inside
            a graph the loss of a label without a proxy is NaN instead.

    References:
        Wang et al., NormFace, ACM Multimedia 2017. https://arxiv.org/abs/1704.06369
        Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning, BMVC 2019.
        https://arxiv.org/abs/1811.12649
    """
    own, similarities = _own_proxy(labels, similarities)
    return _cross_entropy(similarities / temperature, own, label_smoothing=label_smoothing)


@keras.saving.register_keras_serializable(package="simnb")
class NormalizedSoftmaxLoss(ProxyLoss):
    """``normalized_softmax_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import NormalizedSoftmaxLoss
        >>> similarities = [[0.9, 0.1], [0.6, 0.3]]  # of two examples to the proxies of two classes
        >>> round(float(NormalizedSoftmaxLoss(temperature=0.05)([0, 1], similarities)), 3)
        3.001
    """

    def __init__(self, *, temperature: float = 0.05, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        label_smoothing = _checks.number(label_smoothing, name="label_smoothing", at_least=0, below=1)
        options = {"temperature": temperature, "label_smoothing": label_smoothing}
        super().__init__(normalized_softmax_loss, options, **kwargs)


def arcface_loss(labels: Tensor, similarities: Tensor, *, margin: float = 0.5, scale: float = 64.0) -> Tensor:
    """ArcFace loss of each example: the cross entropy of ``scale * S``, S to the own proxy made smaller.

    With theta the angle to the own proxy, ``S = cos(theta)`` becomes ``cos(theta + margin)``. That would
    grow again where theta + margin is above pi; there it is ``cos(theta) - margin * sin(margin)``, as in
    the authors' code.

    Args:
        labels: Class of each example, the position of its proxy, shape [batch].
        similarities: Cosine similarities to the proxies, shape [batch, num_classes]; computed in float32.
        margin: Angle, in radians, added to that to the own proxy: at least 0 and below pi.
        scale: What similarities are multiplied by, above 0.

    Returns:
        Loss of each example, shape [batch]; NaN where a similarity is NaN. At a similarity of exactly 1 or
        -1, where the slope is infinite, the gradient is that of ``cos(margin) * S``.

    Raises:
        ValueError: As ``normalized_softmax_loss``.

    References:
        Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019.
        https://arxiv.org/abs/1801.07698
    """
    own, similarities = _own_proxy(labels, similarities)
    turned = similarities * math.cos(margin) - _sine(similarities) * math.sin(margin)
    beyond = similarities - margin * math.sin(margin)
    turned = ops.where(similarities > math.cos(math.pi - margin), turned, beyond)
    return _cross_entropy(scale * ops.where(own, turned, similarities), own)


def _sine(cosine):
    squared = 1.0 - cosine * cosine
    positive = squared > 0.0
    # The inner where keeps the gradient of sqrt finite at 0.
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


@keras.saving.register_keras_serializable(package="simnb")
class ArcFaceLoss(ProxyLoss):
    """``arcface_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import ArcFaceLoss
        >>> similarities = [[0.9, 0.1], [0.6, 0.3]]  # of two examples to the proxies of two classes
        >>> round(float(ArcFaceLoss(margin=0.5)([0, 1], similarities)), 3)
        25.41
    """

    def __init__(self, *, margin: float = 0.5, scale: float = 64.0, **kwargs: Any) -> None:
        margin = _checks.number(margin, name="margin", at_least=0, below=math.pi, hint="; it is in radians")
        super().__init__(arcface_loss, {"margin": margin, "scale": scale}, **kwargs)


def cosface_loss(
    labels: Tensor, similarities: Tensor, *, margin: float = 0.35, scale: float = 64.0
) -> Tensor:
    """CosFace loss of each example: the cross entropy of ``scale * S``, S to the own proxy less a margin.

    Args:
        labels: Class of each example, the position of its proxy, shape [batch].
        similarities: Cosine similarities to the proxies, shape [batch, num_classes]; computed in float32.
        margin: What the similarity to the own proxy is lowered by, at least 0.
        scale: What similarities are multiplied by, above 0.

    Returns:
        Loss of each example, shape [batch]; NaN where a similarity is NaN.

    Raises:
        ValueError: As ``normalized_softmax_loss``.

    References:
        Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, CVPR 2018.
        https://arxiv.org/abs/1801.09414
    """
    own, similarities = _own_proxy(labels, similarities)
    return _cross_entropy(scale * ops.where(own, similarities - margin, similarities), own)


@keras.saving.register_keras_serializable(package="simnb")
class CosFaceLoss(ProxyLoss):
    """``cosface_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import CosFaceLoss
        >>> similarities = [[0.9, 0.1], [0.6, 0.3]]  # of two examples to the proxies of two classes
        >>> round(float(CosFaceLoss()([0, 1], similarities)), 3)
        20.8
    """

    def __init__(self, *, margin: float = 0.35, scale: float = 64.0, **kwargs: Any) -> None:
        margin = _checks.number(margin, name="margin", at_least=0)
        super().__init__(cosface_loss, {"margin": margin, "scale": scale}, **kwargs)


def proxy_nca_loss(
    labels: Tensor, similarities: Tensor, *, scale: float = 1.0, own_in_denominator: bool = True
) -> Tensor:
    """Proxy-NCA loss of each example.

    With d the squared Euclidean distance of an embedding and a proxy of unit norm, ``2 - 2 S``, it is
    ``-log(exp(-scale d_own) / sum exp(-scale d))``. By default the sum runs over all proxies, as in the
    authors' later work and most implementations: a softmax, and so the normalized softmax loss of
    temperature ``1 / (2 scale)``. The paper's sum leaves the own proxy out, and its loss has no lower
    bound of 0.

    Args:
        labels: Class of each example, the position of its proxy, shape [batch].
        similarities: Cosine similarities to the proxies, shape [batch, num_classes]; computed in float32.
        scale: What squared distances are multiplied by, above 0; the paper's is 1.
        own_in_denominator: Whether the sum holds the own proxy; False is the paper's formula.

    Returns:
        Loss of each example, shape [batch]; NaN where a similarity is NaN.

    Raises:
        ValueError: As ``normalized_softmax_loss``, or if the own proxy is left out and there is no other.

    References:
        Movshovitz-Attias et al., No Fuss Distance Metric Learning using Proxies, ICCV 2017, equation 4.
        https://arxiv.org/abs/1703.07464
    """
    own, similarities = _own_proxy(labels, similarities)
    logits = -scale * (2.0 - 2.0 * similarities)
    if own_in_denominator:
        return _cross_entropy(logits, own)
    if similarities.shape[1] < 2:
        raise ValueError("similarities must be to at least 2 proxies to leave the own one out, got 1")
    others = ops.logsumexp(ops.where(own, -_pairs.FAR, logits), axis=1)
    return _nan_without_proxy(others - ops.sum(ops.where(own, logits, 0.0), axis=1), own)


@keras.saving.register_keras_serializable(package="simnb")
class ProxyNCALoss(ProxyLoss):
    """``proxy_nca_loss``, which describes the options, as a ``keras.losses.Loss``.

    Example:
        >>> from simnb.losses import ProxyNCALoss
        >>> similarities = [[0.9, 0.1], [0.6, 0.3]]  # of two examples to the proxies of two classes
        >>> round(float(ProxyNCALoss()([0, 1], similarities)), 3)
        0.611
    """

    def __init__(self, *, scale: float = 1.0, own_in_denominator: bool = True, **kwargs: Any) -> None:
        options = {"scale": scale, "own_in_denominator": bool(own_in_denominator)}
        super().__init__(proxy_nca_loss, options, **kwargs)


def proxy_anchor_loss(
    labels: Tensor, similarities: Tensor, *, margin: float = 0.1, alpha: float = 32.0
) -> Tensor:
    """Proxy-Anchor loss of a batch, as shares of its examples.

    It is a loss of the batch: with P the proxies, P+ those with an example in the batch, and X+ and X- the
    examples of a proxy's class and the others,
    ``sum over P+ of log(1 + sum over X+ of exp(-alpha (S - margin))) / |P+|
    + sum over P of log(1 + sum over X- of exp(alpha (S + margin))) / |P|``.
    What is returned are shares whose mean over the batch is that value. The first term of a proxy is
    divided evenly among the examples of its class, the second sum evenly among all examples.

    Args:
        labels: Class of each example, the position of its proxy, shape [batch].
        similarities: Cosine similarities to the proxies, shape [batch, num_classes]; computed in float32.
        margin: Similarities to the own proxy ought to lie above it, and others below its negative.
        alpha: What similarities are multiplied by, above 0.

    Returns:
        Share of each example, shape [batch]; NaN where a similarity is NaN, and for the whole batch where
        it is one to a proxy of another class.

    Raises:
        ValueError: As ``normalized_softmax_loss``.

    References:
        Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020, equation 4.
        https://arxiv.org/abs/2003.13911
    """
    own, similarities = _own_proxy(labels, similarities)
    by_proxy, positives = ops.transpose(similarities), ops.transpose(own)
    pull = _pairs.log1p_sum_exp(-alpha * (by_proxy - margin), positives)
    push = _pairs.log1p_sum_exp(alpha * (by_proxy + margin), ops.logical_not(positives))
    num_positives = ops.sum(ops.cast(positives, "float32"), axis=1)
    present = ops.sum(ops.cast(num_positives > 0, "float32"))
    # Divided among the examples of the class, and scaled so that a mean over the batch is one over P+.
    batch = ops.cast(ops.shape(similarities)[0], "float32")
    shares = pull / ops.maximum(num_positives, 1.0) * batch / ops.maximum(present, 1.0)
    pulled = ops.sum(ops.where(own, shares[None, :], 0.0), axis=1)
    return _nan_without_proxy(pulled + ops.mean(push), own)


@keras.saving.register_keras_serializable(package="simnb")
class ProxyAnchorLoss(ProxyLoss):
    """``proxy_anchor_loss``, which describes the options, as a ``keras.losses.Loss``.

    It is the paper's value by default. The reduction ``sum`` gives that value times the size of the batch.
    Sample weights multiply the shares of the examples; the paper has none.

    Example:
        >>> from simnb.losses import ProxyAnchorLoss
        >>> similarities = [[0.9, 0.1], [0.6, 0.3]]  # of two examples to the proxies of two classes
        >>> round(float(ProxyAnchorLoss()([0, 1], similarities)), 3)
        14.402
    """

    def __init__(self, *, margin: float = 0.1, alpha: float = 32.0, **kwargs: Any) -> None:
        margin = _checks.number(margin, name="margin", at_least=0)
        super().__init__(proxy_anchor_loss, {"margin": margin, "alpha": alpha}, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Share of each example of the batch, shape [batch]: of all replicas, where there are several."""
        # Every share depends on the whole batch.
        return self._of_rows(*_replicas.gather(y_true, y_pred))


def _own_proxy(labels, similarities):
    """True where a similarity is that to the proxy of the own class, and the similarities, as ``_check``."""
    labels, similarities = _check(labels, similarities)
    proxies = ops.arange(similarities.shape[1], dtype="int32")
    return ops.equal(labels[:, None], proxies[None, :]), similarities


def _check(labels, similarities):
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
    values = _pairs.array_or_none(labels)
    labels = _pairs.one_column(ops.convert_to_tensor(labels if values is None else values))
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(f"labels must be integers, the positions of proxies, got dtype {dtype}")
    outside = [] if values is None else values[(values < 0) | (values >= num_classes)]
    if len(outside):
        raise ValueError(f"labels must be 0 to {num_classes - 1}, one a proxy, got {outside[0]}")
    _pairs.check_lengths(labels, similarities, "similarities")
    if dtype in ("int8", "uint8", "int16", "uint16"):  # too narrow to be compared with num_classes
        labels = ops.cast(labels, "int32")
    inside = ops.logical_and(labels >= 0, labels < num_classes)
    return ops.where(inside, ops.cast(labels, "int32"), -1), ops.cast(similarities, "float32")


def _cross_entropy(logits, own, *, label_smoothing=0.0):
    """Cross entropy of the softmax of logits [batch, num_classes]: shape [batch].

    The share ``label_smoothing`` of the target is spread evenly over all classes.
    """
    target = ops.sum(ops.where(own, logits, 0.0), axis=1)
    if label_smoothing:
        target = (1.0 - label_smoothing) * target + label_smoothing * ops.mean(logits, axis=1)
    return _nan_without_proxy(ops.logsumexp(logits, axis=1) - target, own)


def _nan_without_proxy(loss, own):
    """The loss [batch], NaN for a label that no proxy stands for: a graph cannot raise an error."""
    return ops.where(ops.any(own, axis=1), loss, float("nan"))
