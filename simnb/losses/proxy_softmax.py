"""Classification over proxies: a softmax of cosine similarities, with or without a margin."""

import math

from simnb._keras import keras, ops
from simnb.losses import _proxies


def normalized_softmax_loss(labels, similarities, *, temperature=0.05, label_smoothing=0.0):
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
        ValueError: If a shape is wrong, the lengths differ or a label is no integer or has no proxy. While
            a graph is traced labels have no values; the loss of one without a proxy is NaN then.

    References:
        Wang et al., NormFace, ACM Multimedia 2017. https://arxiv.org/abs/1704.06369
        Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning, BMVC 2019.
        https://arxiv.org/abs/1811.12649
    """
    labels, similarities = _proxies.check(labels, similarities)
    own = _proxies.own_proxy(labels, similarities)
    return _proxies.cross_entropy(similarities / temperature, own, label_smoothing=label_smoothing)


def arcface_loss(labels, similarities, *, margin=0.5, scale=64.0):
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
        ValueError: If a shape is wrong, the lengths differ or a label is no integer or has no proxy. While
            a graph is traced labels have no values; the loss of one without a proxy is NaN then.

    References:
        Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019.
        https://arxiv.org/abs/1801.07698
    """
    labels, similarities = _proxies.check(labels, similarities)
    own = _proxies.own_proxy(labels, similarities)
    turned = similarities * math.cos(margin) - _sine(similarities) * math.sin(margin)
    beyond = similarities - margin * math.sin(margin)
    turned = ops.where(similarities > math.cos(math.pi - margin), turned, beyond)
    return _proxies.cross_entropy(scale * ops.where(own, turned, similarities), own)


def cosface_loss(labels, similarities, *, margin=0.35, scale=64.0):
    """CosFace loss of each example: the cross entropy of ``scale * S``, S to the own proxy less a margin.

    Args:
        labels: Class of each example, the position of its proxy, shape [batch].
        similarities: Cosine similarities to the proxies, shape [batch, num_classes]; computed in float32.
        margin: What the similarity to the own proxy is lowered by, at least 0.
        scale: What similarities are multiplied by, above 0.

    Returns:
        Loss of each example, shape [batch]; NaN where a similarity is NaN.

    Raises:
        ValueError: If a shape is wrong, the lengths differ or a label is no integer or has no proxy. While
            a graph is traced labels have no values; the loss of one without a proxy is NaN then.

    References:
        Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, CVPR 2018.
        https://arxiv.org/abs/1801.09414
    """
    labels, similarities = _proxies.check(labels, similarities)
    own = _proxies.own_proxy(labels, similarities)
    return _proxies.cross_entropy(scale * ops.where(own, similarities - margin, similarities), own)


def _sine(cosine):
    squared = 1.0 - cosine * cosine
    positive = squared > 0.0
    # The inner where keeps the gradient of sqrt finite at 0.
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


@keras.saving.register_keras_serializable(package="simnb")
class NormalizedSoftmaxLoss(_proxies.ProxyLoss):
    """``normalized_softmax_loss`` for ``model.compile(loss=...)``, averaged over the batch.

    Args:
        temperature: What similarities are divided by.
        label_smoothing: Share of the target that is spread evenly over all classes.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        *,
        temperature=0.05,
        label_smoothing=0.0,
        name="normalized_softmax_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing}")
        options = {"temperature": temperature, "label_smoothing": label_smoothing}
        super().__init__(normalized_softmax_loss, options, name=name, reduction=reduction, dtype=dtype)


@keras.saving.register_keras_serializable(package="simnb")
class ArcFaceLoss(_proxies.ProxyLoss):
    """``arcface_loss`` for ``model.compile(loss=...)``, averaged over the batch.

    Args:
        margin: Angle, in radians, added to that to the own proxy.
        scale: What similarities are multiplied by.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self, *, margin=0.5, scale=64.0, name="arcface_loss", reduction="sum_over_batch_size", dtype=None
    ):
        """Check the options."""
        if not 0 <= margin < math.pi:
            raise ValueError(f"margin must be at least 0 and below pi, in radians, got {margin}")
        options = {"margin": margin, "scale": _checked_scale(scale)}
        super().__init__(arcface_loss, options, name=name, reduction=reduction, dtype=dtype)


@keras.saving.register_keras_serializable(package="simnb")
class CosFaceLoss(_proxies.ProxyLoss):
    """``cosface_loss`` for ``model.compile(loss=...)``, averaged over the batch.

    Args:
        margin: What the similarity to the own proxy is lowered by.
        scale: What similarities are multiplied by.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self, *, margin=0.35, scale=64.0, name="cosface_loss", reduction="sum_over_batch_size", dtype=None
    ):
        """Check the options."""
        if not margin >= 0:
            raise ValueError(f"margin must be at least 0, got {margin}")
        options = {"margin": margin, "scale": _checked_scale(scale)}
        super().__init__(cosface_loss, options, name=name, reduction=reduction, dtype=dtype)


def _checked_scale(scale):
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    return scale
