"""Pulling embeddings to the proxy of their class and pushing them off the others: Proxy-NCA, Proxy-Anchor."""

from simnb import _replicas
from simnb._keras import keras, ops
from simnb.losses import _pairs, _proxies


def proxy_nca_loss(labels, similarities, *, scale=1.0, own_in_denominator=True):
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
        ValueError: If a shape is wrong, the lengths differ, a label is no integer or has no proxy, or the
            own proxy is left out and there is no other. While a graph is traced labels have no values; the
            loss of one without a proxy is NaN then.

    References:
        Movshovitz-Attias et al., No Fuss Distance Metric Learning using Proxies, ICCV 2017, equation 4.
        https://arxiv.org/abs/1703.07464
    """
    labels, similarities = _proxies.check(labels, similarities)
    own = _proxies.own_proxy(labels, similarities)
    logits = -scale * (2.0 - 2.0 * similarities)
    if own_in_denominator:
        return _proxies.cross_entropy(logits, own)
    if similarities.shape[1] < 2:
        raise ValueError("similarities must be to at least 2 proxies to leave the own one out, got 1")
    others = ops.logsumexp(ops.where(own, -_pairs.FAR, logits), axis=1)
    return _proxies.nan_without_proxy(others - ops.sum(ops.where(own, logits, 0.0), axis=1), own)


def proxy_anchor_loss(labels, similarities, *, margin=0.1, alpha=32.0):
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
        ValueError: If a shape is wrong, the lengths differ or a label is no integer or has no proxy. While
            a graph is traced labels have no values; the share of one without a proxy is NaN then.

    References:
        Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020, equation 4.
        https://arxiv.org/abs/2003.13911
    """
    labels, similarities = _proxies.check(labels, similarities)
    own = _proxies.own_proxy(labels, similarities)
    by_proxy, positives = ops.transpose(similarities), ops.transpose(own)
    pull = _pairs.log1p_sum_exp(-alpha * (by_proxy - margin), positives)
    push = _pairs.log1p_sum_exp(alpha * (by_proxy + margin), ops.logical_not(positives))
    num_positives = ops.sum(ops.cast(positives, "float32"), axis=1)
    present = ops.sum(ops.cast(num_positives > 0, "float32"))
    # Divided among the examples of the class, and scaled so that a mean over the batch is one over P+.
    batch = ops.cast(ops.shape(similarities)[0], "float32")
    shares = pull / ops.maximum(num_positives, 1.0) * batch / ops.maximum(present, 1.0)
    pulled = ops.sum(ops.where(own, shares[None, :], 0.0), axis=1)
    return _proxies.nan_without_proxy(pulled + ops.mean(push), own)


@keras.saving.register_keras_serializable(package="simnb")
class ProxyNCALoss(_proxies.ProxyLoss):
    """``proxy_nca_loss`` for ``model.compile(loss=...)``, averaged over the batch.

    Args:
        scale: What squared distances are multiplied by.
        own_in_denominator: Whether the sum holds the own proxy; False is the paper's formula.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        *,
        scale=1.0,
        own_in_denominator=True,
        name="proxy_nca_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale}")
        options = {"scale": scale, "own_in_denominator": bool(own_in_denominator)}
        super().__init__(proxy_nca_loss, options, name=name, reduction=reduction, dtype=dtype)


@keras.saving.register_keras_serializable(package="simnb")
class ProxyAnchorLoss(_proxies.ProxyLoss):
    """``proxy_anchor_loss`` for ``model.compile(loss=...)``; the default reduction gives the paper's value.

    Sample weights multiply the shares of the examples, which the paper does not have.

    Args:
        margin: Similarities to the own proxy ought to lie above it, and others below its negative.
        alpha: What similarities are multiplied by.
        name: Name of the loss.
        reduction: As in ``keras.losses.Loss``; ``sum`` is the paper's value times the size of the batch.
        dtype: float32, or float64; it computes in float32.
    """

    def __init__(
        self,
        *,
        margin=0.1,
        alpha=32.0,
        name="proxy_anchor_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        """Check the options."""
        if not margin >= 0:
            raise ValueError(f"margin must be at least 0, got {margin}")
        if not alpha > 0:
            raise ValueError(f"alpha must be above 0, got {alpha}")
        options = {"margin": margin, "alpha": alpha}
        super().__init__(proxy_anchor_loss, options, name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        """Share of each example of the batch, shape [batch]: of all replicas, where there are several."""
        # Every share depends on the whole batch.
        return self._of_rows(*_replicas.gather(y_true, y_pred))
