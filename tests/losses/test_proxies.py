"""Losses over proxies."""

import math

import keras
import numpy as np
import pytest

from simnb.layers import Proxies
from simnb.losses import (
    ArcFaceLoss,
    CosFaceLoss,
    NormalizedSoftmaxLoss,
    ProxyAnchorLoss,
    ProxyNCALoss,
    arcface_loss,
    cosface_loss,
    normalized_softmax_loss,
    proxy_anchor_loss,
    proxy_nca_loss,
)

values = keras.ops.convert_to_numpy

# Unit vectors; with the embeddings of conftest.py they give the numbers of the next test.
PROXIES = np.array(
    [
        [-0.32882234, -0.23329691, 0.27087011, -0.09277969, -0.15156000, -0.85586173],
        [-0.00739013, -0.28452285, 0.74798025, 0.41890547, -0.01548625, 0.42871443],
        [-0.18570616, 0.57488628, -0.00295034, 0.31876258, -0.70534952, 0.18942744],
        [-0.46892716, -0.56534694, -0.08457359, -0.24997007, 0.04556843, 0.62351901],
    ]
)
# Every option away from its default, and small scales, so that no term drowns the others.
OPTIONS = {
    normalized_softmax_loss: [{"temperature": 0.3}, {"temperature": 0.3, "label_smoothing": 0.2}],
    arcface_loss: [{"margin": 0.9, "scale": 4.0}],
    cosface_loss: [{"margin": 0.2, "scale": 5.0}],
    proxy_nca_loss: [{"scale": 2.0}, {"scale": 2.0, "own_in_denominator": False}],
    proxy_anchor_loss: [{"margin": 0.2, "alpha": 3.0}],
}
CASES = [(function, options) for function, several in OPTIONS.items() for options in several]
FUNCTIONS = list(OPTIONS)
CLASSES = {
    normalized_softmax_loss: NormalizedSoftmaxLoss,
    arcface_loss: ArcFaceLoss,
    cosface_loss: CosFaceLoss,
    proxy_nca_loss: ProxyNCALoss,
    proxy_anchor_loss: ProxyAnchorLoss,
}


def example(seed=0, batch=7, num_classes=5):
    """Labels, with one class that has no example, and similarities that touch both ends."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes - 1, batch)
    similarities = rng.uniform(-0.95, 0.95, (batch, num_classes))
    return labels, similarities


# What pytorch-metric-learning 2.9.0 (PyTorch 2.13.0, float64) gives.
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (NormalizedSoftmaxLoss(temperature=0.05), 8.66246838090018),
        (ArcFaceLoss(margin=math.radians(28.6), scale=64), 50.40885199563431),
        (CosFaceLoss(margin=0.35, scale=64), 45.69560231720221),
        (ProxyNCALoss(scale=1), 1.6093225133084506),
        (ProxyAnchorLoss(margin=0.1, alpha=32), 33.13211051373163),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_losses_are_those_of_the_reference(loss, expected, batch):
    labels, embeddings = batch
    layer = Proxies(4)
    layer.build((None, 6))
    layer.set_weights([PROXIES])
    assert float(values(loss(labels, layer(embeddings)))) == pytest.approx(expected, rel=1e-5)


def cross_entropy_by_hand(logits, label, smoothing=0.0):
    total = sum(math.exp(logit) for logit in logits)
    loss = 0.0
    for c, logit in enumerate(logits):
        target = smoothing / len(logits) + (1 - smoothing if c == label else 0.0)
        loss -= target * math.log(math.exp(logit) / total)
    return loss


def normalized_softmax_by_hand(labels, similarities, temperature, label_smoothing=0.0):
    return [
        cross_entropy_by_hand([s / temperature for s in row], label, label_smoothing)
        for label, row in zip(labels, similarities, strict=True)
    ]


def arcface_by_hand(labels, similarities, margin, scale):
    losses = []
    for label, row in zip(labels, similarities, strict=True):
        logits = [scale * s for s in row]
        angle = math.acos(row[label]) + margin
        logits[label] = scale * (
            math.cos(angle) if angle < math.pi else row[label] - margin * math.sin(math.pi - margin)
        )
        losses.append(cross_entropy_by_hand(logits, label))
    return losses


def cosface_by_hand(labels, similarities, margin, scale):
    losses = []
    for label, row in zip(labels, similarities, strict=True):
        logits = [scale * (s - margin if c == label else s) for c, s in enumerate(row)]
        losses.append(cross_entropy_by_hand(logits, label))
    return losses


def proxy_nca_by_hand(labels, similarities, scale, own_in_denominator=True):
    losses = []
    for label, row in zip(labels, similarities, strict=True):
        near = [math.exp(-scale * (2 - 2 * s)) for s in row]
        total = sum(n for c, n in enumerate(near) if own_in_denominator or c != label)
        losses.append(-math.log(near[label] / total))
    return losses


def proxy_anchor_of_the_batch(labels, similarities, margin, alpha):
    pull, push = [], []
    for proxy in range(len(similarities[0])):
        own = [row[proxy] for label, row in zip(labels, similarities, strict=True) if label == proxy]
        others = [row[proxy] for label, row in zip(labels, similarities, strict=True) if label != proxy]
        if own:
            pull.append(math.log(1 + sum(math.exp(-alpha * (s - margin)) for s in own)))
        push.append(math.log(1 + sum(math.exp(alpha * (s + margin)) for s in others)))
    return sum(pull) / len(pull) + sum(push) / len(push)


def proxy_anchor_by_hand(labels, similarities, margin, alpha):
    """Shares: the first term of a proxy goes to the examples of its class, the second sum to all."""
    present = set(labels.tolist())
    shares = []
    for label in labels:
        own = [row[label] for other, row in zip(labels, similarities, strict=True) if other == label]
        pull = math.log(1 + sum(math.exp(-alpha * (s - margin)) for s in own))
        push = 0.0
        for proxy in range(len(similarities[0])):
            rows = zip(labels, similarities, strict=True)
            others = [row[proxy] for other, row in rows if other != proxy]
            push += math.log(1 + sum(math.exp(alpha * (s + margin)) for s in others))
        shares.append(pull / len(own) * len(labels) / len(present) + push / len(similarities[0]))
    return shares


BY_HAND = {
    normalized_softmax_loss: normalized_softmax_by_hand,
    arcface_loss: arcface_by_hand,
    cosface_loss: cosface_by_hand,
    proxy_nca_loss: proxy_nca_by_hand,
    proxy_anchor_loss: proxy_anchor_by_hand,
}


@pytest.mark.parametrize(("function", "options"), CASES)
def test_each_function_and_its_gradient_follow_their_loop(function, options, value_and_gradient):
    labels, similarities = example()
    similarities[0, labels[0]] = -0.9  # theta + margin beyond pi for ArcFace
    loop = BY_HAND[function]
    result = values(function(labels, similarities.astype("float32"), **options))
    np.testing.assert_allclose(result, loop(labels, similarities, **options), rtol=1e-5, atol=1e-6)
    _, gradient = value_and_gradient(lambda y, s: function(y, s, **options), labels, similarities)
    for i, j in [(0, labels[0]), (0, 4), (3, labels[3]), (6, 0)]:
        step = np.zeros_like(similarities)
        step[i, j] = 1e-6
        ahead, behind = (sum(loop(labels, similarities + s, **options)) for s in (step, -step))
        assert gradient[i, j] == pytest.approx((ahead - behind) / 2e-6, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("batch", [1, 7])
def test_the_mean_of_proxy_anchor_is_the_papers_loss_of_the_batch(batch):
    labels, similarities = example(seed=3, batch=batch)
    expected = proxy_anchor_of_the_batch(labels, similarities, 0.1, 32.0)
    assert float(values(ProxyAnchorLoss()(labels, similarities))) == pytest.approx(expected, rel=1e-5)
    total = float(values(ProxyAnchorLoss(reduction="sum")(labels, similarities)))
    assert total == pytest.approx(batch * expected, rel=1e-5)


def test_proxy_nca_is_a_normalized_softmax():
    labels, similarities = example()
    softmax = values(normalized_softmax_loss(labels, similarities, temperature=1 / 6))
    np.testing.assert_allclose(values(proxy_nca_loss(labels, similarities, scale=3)), softmax, rtol=1e-5)


def test_arcface_gets_smaller_wherever_the_own_similarity_grows():
    own = np.linspace(-1, 1, 201)
    similarities = np.stack([own, np.full(201, 0.3)], axis=1)
    loss = values(arcface_loss(np.zeros(201, int), similarities, margin=1.0, scale=8.0))
    assert (np.diff(loss) < 0).all()


@pytest.mark.parametrize("end", [-1.0, 1.0, 1.0000001])
def test_arcface_has_a_finite_gradient_at_the_ends(end, value_and_gradient):
    similarities = np.array([[end, 0.2], [0.1, 0.5]], "float32")
    total, gradient = value_and_gradient(arcface_loss, [0, 1], similarities)
    assert np.isfinite(total)
    assert np.isfinite(gradient).all()
    assert (gradient[0, 0] < 0) == (end < 0)  # at 1 the own class has won, and there is nothing to gain


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "similarities",
    [
        np.zeros((3, 4)),
        np.full((3, 4), 1.0),
        np.full((3, 4), -1.0),
        np.array([[0.5]] * 3),
        np.array([[0.1, 0.2, 0.3, 0.4]]),
        1e4 * np.eye(3),  # similarities of vectors that were not normalized
    ],
    ids=["zero", "one", "minus one", "one class", "one example", "huge"],
)
def test_degenerate_batches_have_finite_losses_and_gradients(function, similarities, value_and_gradient):
    labels = np.arange(len(similarities)) % similarities.shape[1]
    total, gradient = value_and_gradient(function, labels, similarities)
    assert np.isfinite(total)
    assert np.isfinite(gradient).all()


def test_an_empty_batch_has_no_loss():
    for function in FUNCTIONS:
        assert values(function(np.zeros(0, int), np.zeros((0, 3), "float32"))).shape == (0,)


@pytest.mark.parametrize(("function", "options"), CASES)
def test_nan_similarities_give_a_nan_loss(function, options):
    labels, similarities = example()
    own, other = similarities.copy(), similarities.copy()
    own[2, labels[2]] = np.nan
    other[2, 4] = np.nan
    for bad in (own, other):
        loss = values(function(labels, bad, **options))
        assert np.isnan(loss[2])
        assert np.isnan(float(values(CLASSES[function](**options)(labels, bad))))
        if function is not proxy_anchor_loss:
            assert np.isfinite(np.delete(loss, 2)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_half_precision_similarities_are_computed_in_float32(function, dtype):
    labels, similarities = example()
    half = keras.ops.cast(similarities, dtype)
    for loss in (function, CLASSES[function]()):
        result = loss(labels, half)
        assert keras.backend.standardize_dtype(result.dtype) == "float32"
        np.testing.assert_array_equal(values(result), values(loss(labels, keras.ops.cast(half, "float32"))))


@pytest.mark.parametrize(("function", "options"), CASES)
def test_a_class_averages_its_function_and_survives_serialization(function, options):
    labels, similarities = example()
    make = CLASSES[function]
    loss = make(**options)
    each = values(function(labels, similarities, **options))
    assert loss.name == function.__name__
    assert options.items() <= loss.get_config().items()
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is make
    for given in (labels, labels[:, None], labels.astype("uint8"), labels.tolist()):
        for one in (loss, copy):
            assert float(values(one(given, similarities))) == pytest.approx(each.mean(), rel=1e-6)
    if keras.backend.backend() != "jax":  # which has no float64 by default
        double = make(**options, dtype="float64")
        assert float(values(double(labels, similarities))) == pytest.approx(each.mean(), rel=1e-6)
    np.testing.assert_allclose(values(make(**options, reduction=None)(labels, similarities)), each, rtol=1e-6)
    weights = np.arange(7.0)
    weighted = float(values(loss(labels, similarities, sample_weight=weights)))
    assert weighted == pytest.approx((weights * each).mean(), rel=1e-5)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_defaults_of_class_and_function_agree(function):
    labels, similarities = example()
    expected = values(function(labels, similarities)).mean()
    assert float(values(CLASSES[function]()(labels, similarities))) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_labels_without_a_proxy_are_refused(function):
    _, similarities = example(batch=2)
    loss = CLASSES[function]()
    for label in (5, -1, 2**24 + 1, 2**32 + 3):
        for bad in ([0, label], np.array([[0], [label]])):
            for call in (function, loss):
                with pytest.raises(ValueError, match=rf"labels must be 0 to 4, one a proxy, got {label}"):
                    call(bad, similarities)
    wide = np.zeros((1, 1000), "float32")
    assert np.isfinite(values(function(np.array([250], "uint8"), wide))).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_labels_without_a_proxy_make_the_loss_nan_in_a_graph(function):
    similarities = example(batch=3)[1].astype("float32")
    loss = CLASSES[function](reduction=None)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 5], tf.float32)]
        graph, far = tf.function(loss, input_signature=signature), 2**32 + 3
    elif keras.backend.backend() == "jax":
        import jax

        graph, far = jax.jit(loss), 2**24 + 1  # it has no longer integers by default
    else:
        pytest.skip("PyTorch traces no graph: labels always have values")
    good = values(graph(np.array([0, 4, 2]), similarities))
    np.testing.assert_allclose(good, values(loss([0, 4, 2], similarities)), rtol=1e-5)
    for label in (5, -1, far):
        bad = values(graph(np.array([0, 4, label]), similarities))
        assert np.isnan(bad).tolist() == [False, False, True]


def test_bad_input_is_named():
    labels, similarities = example()
    with pytest.raises(ValueError, match=r"similarities must have shape \[batch, num_classes\], got \(7,\)"):
        arcface_loss(labels, similarities[:, 0])
    with pytest.raises(ValueError, match=r"labels must be .* got \(7, 5\); one-hot labels become integers"):
        cosface_loss(np.eye(5, dtype=int)[labels], similarities)
    with pytest.raises(
        ValueError, match="labels must be integers, the positions of proxies, got dtype float"
    ):
        proxy_nca_loss(labels.astype("float32"), similarities)
    with pytest.raises(ValueError, match="labels and similarities must have the same length, got 3 and 7"):
        normalized_softmax_loss(labels[:3], similarities)
    with pytest.raises(ValueError, match="similarities must be to at least 2 proxies to leave the own one"):
        proxy_nca_loss([0], [[0.5]], own_in_denominator=False)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (NormalizedSoftmaxLoss, {"temperature": 0}, "temperature must be a number above 0, got 0"),
        (NormalizedSoftmaxLoss, {"label_smoothing": 1}, "label_smoothing must be .* below 1, got 1"),
        (
            ArcFaceLoss,
            {"margin": 28.6},
            "margin must be a number of at least 0 and .*, got 28.6; it is in rad",
        ),
        (ArcFaceLoss, {"scale": -1}, "scale must be a number above 0, got -1"),
        (CosFaceLoss, {"margin": -0.1}, "margin must be a number of at least 0, got -0.1"),
        (CosFaceLoss, {"scale": np.nan}, "scale must be a number above 0, got nan"),
        (ProxyNCALoss, {"scale": 0}, "scale must be a number above 0, got 0"),
        (ProxyAnchorLoss, {"margin": np.nan}, "margin must be a number of at least 0, got nan"),
        (ProxyAnchorLoss, {"alpha": 0}, "alpha must be a number above 0, got 0"),
        (ProxyNCALoss, {"dtype": "bfloat16"}, "dtype must be float32 or float64, got 'bfloat16'"),
    ],
)
def test_bad_options_are_named(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
