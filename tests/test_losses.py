import keras
import numpy as np
import pytest

from simnb.distances import pairwise
from simnb.losses import MultiSimilarityLoss, TripletLoss, multi_similarity_loss, triplet_loss

# Random unit vectors, one class with a single example; values for them come from
# pytorch-metric-learning 2.9.0 (PyTorch 2.13, float64).
EMBEDDINGS = np.array(
    [
        [0.00083942, 0.20385448, -0.18706298, -0.60771162, -0.31025292, -0.67666816],
        [0.03597891, 0.80173909, -0.29444614, -0.37117842, 0.29303168, 0.21349575],
        [0.05735892, -0.50629441, -0.01591676, 0.37833446, -0.73142578, -0.24900189],
        [-0.58940768, -0.39977612, -0.57096560, -0.07288179, -0.39292750, 0.08409604],
        [0.06056286, -0.07222325, -0.97238350, -0.20813115, -0.01873898, 0.04377843],
        [-0.62682593, -0.19571344, -0.40085406, -0.33134325, 0.43460115, -0.33080965],
        [-0.03029321, 0.82378844, -0.54361013, -0.10404775, 0.10289476, 0.05941123],
        [-0.48052858, 0.02986603, 0.53299896, -0.60686804, 0.33709316, 0.04681666],
        [-0.24652603, 0.76878802, 0.29294705, -0.46090348, 0.02863763, 0.22162986],
        [-0.10123398, 0.36620907, -0.03566976, 0.35780998, 0.77140444, -0.36232233],
        [0.14168372, -0.32314458, 0.08876630, -0.82803627, -0.40404729, -0.13684142],
        [0.30142364, 0.38407973, -0.44387918, -0.26650381, 0.21695575, -0.66820936],
    ],
    "float32",
)
LABELS = np.array([2, 2, 0, 2, 1, 1, 3, 0, 0, 2, 1, 0])
MINING = ("easy", "semi-hard", "hard")


def values(loss):
    return keras.ops.convert_to_numpy(loss)


def test_multi_similarity_is_the_papers():
    assert values(multi_similarity_loss(LABELS, EMBEDDINGS)).mean() == pytest.approx(
        1.1541535859606027, rel=1e-5
    )
    unmined = values(multi_similarity_loss(LABELS, EMBEDDINGS, epsilon=None)).mean()
    assert unmined == pytest.approx(1.190162287307651, rel=1e-5)


@pytest.mark.parametrize(
    ("distance", "expected"), [("euclidean", 0.916744629177915), ("squared_euclidean", 1.9611649225002878)]
)
def test_hard_triplets_are_the_papers(distance, expected):
    # The reference averages over anchors that have a positive; the lone example of class 3 has none.
    loss = values(triplet_loss(LABELS, EMBEDDINGS, negative_mining="hard", distance=distance))
    assert loss[LABELS == 3].tolist() == [0.0]
    assert loss[LABELS != 3].mean() == pytest.approx(expected, rel=1e-5)


def multi_similarity_by_hand(labels, embeddings, alpha, beta, epsilon, lam):
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    losses = []
    for i, anchor in enumerate(unit):
        same = [float(anchor @ unit[j]) for j in range(len(unit)) if labels[j] == labels[i] and j != i]
        other = [float(anchor @ unit[j]) for j in range(len(unit)) if labels[j] != labels[i]]
        near = [s for s in same if other and s < max(other) + epsilon]
        far = [s for s in other if same and s > min(same) - epsilon]
        pull = np.log(1 + sum(np.exp(-alpha * (s - lam)) for s in near)) / alpha
        push = np.log(1 + sum(np.exp(beta * (s - lam)) for s in far)) / beta
        losses.append(pull + push)
    return losses


@pytest.mark.parametrize("change", [{}, {"alpha": 5.0}, {"beta": 10.0}, {"epsilon": 0.5}, {"lam": 0.1}])
def test_multi_similarity_equals_its_loop(change):
    rng = np.random.default_rng(0)
    labels, embeddings = rng.integers(0, 4, 15), rng.normal(0.3, 1, (15, 3)).astype("float32")
    options = {"alpha": 2.0, "beta": 40.0, "epsilon": 0.1, "lam": 0.5, **change}
    expected = multi_similarity_by_hand(labels, embeddings.astype("float64"), **options)
    np.testing.assert_allclose(
        values(multi_similarity_loss(labels, embeddings, **options)), expected, rtol=1e-4, atol=1e-5
    )


def triplet_by_hand(labels, distances, margin, positive_mining, negative_mining):
    losses = []
    for i, row in enumerate(distances):
        same = [d for j, d in enumerate(row) if labels[j] == labels[i] and j != i]
        other = [d for j, d in enumerate(row) if labels[j] != labels[i]]
        if not same or not other:
            losses.append(0.0)
            continue
        nearer = [d for d in same if d < min(other)]
        positive = {"easy": min(same), "hard": max(same), "semi-hard": max(nearer, default=min(same))}
        positive = positive[positive_mining]
        farther = [d for d in other if d > positive]
        negative = {"easy": max(other), "hard": min(other), "semi-hard": min(farther, default=max(other))}
        gap = positive - negative[negative_mining]
        losses.append(np.logaddexp(0, gap) if margin is None else max(gap + margin, 0.0))
    return losses


@pytest.mark.parametrize("positive_mining", MINING)
@pytest.mark.parametrize("negative_mining", MINING)
@pytest.mark.parametrize("margin", [0.2, 1.5, None])
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "snr"])
def test_triplet_equals_its_loop(positive_mining, negative_mining, margin, distance):
    rng = np.random.default_rng(1)
    labels, embeddings = rng.integers(0, 4, 15), rng.normal(0.3, 1, (15, 3)).astype("float32")
    options = {"margin": margin, "positive_mining": positive_mining, "negative_mining": negative_mining}
    expected = triplet_by_hand(labels, pairwise(embeddings, embeddings, distance), **options)
    loss = values(triplet_loss(labels, embeddings, distance=distance, **options))
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-4)


# What TensorFlow Similarity's public tests expect of its triplet loss, restated.
def test_triplet_values_of_the_field_hold():
    once = np.eye(32, dtype="float32")
    labels, twins = np.r_[0:32, 0:32], np.concatenate([once, once])
    assert values(triplet_loss(labels, twins, margin=None)).mean() == pytest.approx(0.31326169, rel=1e-5)
    assert values(triplet_loss(labels, twins, margin=1.1)).mean() == pytest.approx(0.1, rel=1e-5)
    crossed = np.concatenate([once, once[::-1]])
    assert values(triplet_loss(labels, crossed, margin=None)).mean() == pytest.approx(0.69314718, rel=1e-5)
    assert values(triplet_loss(labels, crossed, margin=1.0)).mean() == pytest.approx(1.0, rel=1e-5)
    embeddings = [[1.0, 0], [0.5, 0.8660254], [0, 1], [0.01010049, 0.999949]]
    loss = triplet_loss([0, 0, 1, 1], embeddings, margin=1.0, positive_mining="easy")
    np.testing.assert_allclose(values(loss), [0.51, 1.366, 0.866, 0.871], atol=1e-3)
    embeddings, labels = [[1.0, 0], [1, 0], [0, 1], [0, 1], [0, 1], [1, 0]], [0, 0, 0, 1, 1, 1]
    easy = triplet_loss(labels, embeddings, margin=1.0, positive_mining="easy", negative_mining="easy")
    assert values(easy).mean() == pytest.approx(1 / 3, rel=1e-5)
    assert values(
        triplet_loss(labels, embeddings, margin=1.0, negative_mining="hard")
    ).mean() == pytest.approx(2.0)


LOSSES = [
    multi_similarity_loss,
    triplet_loss,
    lambda y, e: triplet_loss(y, e, margin=None, distance="euclidean"),
    lambda y, e: triplet_loss(y, e, positive_mining="semi-hard", negative_mining="hard", distance="snr"),
]
BATCHES = {
    "one class": ([3, 3, 3], np.array([[1.0, 0], [0, 1], [0.6, 0.8]])),
    "one example": ([0], np.array([[1.0, 0]])),
    "no positive": ([0, 1, 2], np.array([[1.0, 0], [0, 1], [0.6, 0.8]])),
    "identical": ([0, 0, 1, 1], np.tile([[0.6, 0.8]], (4, 1))),
    "all zero": ([0, 0, 1, 1], np.zeros((4, 2))),
    "huge": ([0, 0, 1, 1], 1e4 * np.array([[1.0, 0], [0, 1], [1, 0.1], [0.1, 1]])),
}


def value_and_gradient(loss, labels, embeddings):
    import tensorflow as tf

    embeddings = tf.Variable(np.asarray(embeddings, "float32"))
    with tf.GradientTape() as tape:
        total = keras.ops.sum(loss(np.array(labels), embeddings.value()))
    return float(total), tape.gradient(total, embeddings).numpy()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch", BATCHES)
def test_degenerate_batches_have_finite_losses_and_gradients(loss, batch):
    total, gradient = value_and_gradient(loss, *BATCHES[batch])
    assert np.isfinite(total)
    assert np.isfinite(gradient).all()
    if batch in ("one class", "one example", "no positive"):
        assert total == 0.0
        assert not gradient.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_equal_finite_differences(loss):
    rng = np.random.default_rng(2)
    labels, embeddings = rng.integers(0, 3, 8), rng.normal(0.2, 1, (8, 4))
    _, gradient = value_and_gradient(loss, labels, embeddings)
    step = 1e-3
    for i, j in [(0, 0), (3, 1), (7, 3)]:
        ahead, behind = embeddings.copy(), embeddings.copy()
        ahead[i, j] += step
        behind[i, j] -= step
        slope = (
            (value_and_gradient(loss, labels, ahead)[0] - value_and_gradient(loss, labels, behind)[0])
            / 2
            / step
        )
        assert gradient[i, j] == pytest.approx(slope, rel=0.05, abs=0.02)


def test_a_soft_margin_does_not_overflow():
    embeddings = np.array([[1000.0, 0], [-1000, 0], [1000, 1]], "float32")
    loss = values(triplet_loss([0, 0, 1], embeddings, margin=None, distance="squared_euclidean"))
    np.testing.assert_allclose(loss, [4e6 - 1, np.log1p(np.exp(-1)), 0], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss", LOSSES[:2])
def test_half_precision_embeddings_are_computed_in_float32(loss, dtype):
    half = keras.ops.cast(EMBEDDINGS, dtype)
    result = loss(LABELS, half)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    np.testing.assert_array_equal(values(result), values(loss(LABELS, keras.ops.cast(half, "float32"))))


@pytest.mark.parametrize(
    ("make", "function", "options"),
    [
        (
            MultiSimilarityLoss,
            multi_similarity_loss,
            {"alpha": 3.0, "beta": 30.0, "epsilon": 0.2, "lam": 0.4},
        ),
        (MultiSimilarityLoss, multi_similarity_loss, {"epsilon": None}),
        (TripletLoss, triplet_loss, {"margin": 0.7, "positive_mining": "easy", "distance": "euclidean"}),
        (TripletLoss, triplet_loss, {"margin": None, "negative_mining": "hard"}),
    ],
)
def test_a_class_averages_its_function_and_survives_serialization(make, function, options):
    loss = make(**options)
    expected = values(function(LABELS, EMBEDDINGS, **options)).mean()
    assert float(loss(LABELS, EMBEDDINGS)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(LABELS[:, None], EMBEDDINGS)) == pytest.approx(expected, rel=1e-6)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is make
    assert float(copy(LABELS, EMBEDDINGS)) == pytest.approx(expected, rel=1e-6)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"embeddings must have shape \[batch, dim\], got \(12,\)"):
        triplet_loss(LABELS, EMBEDDINGS[:, 0])
    with pytest.raises(ValueError, match=r"labels must be .* got \(12, 4\); one-hot labels become integers"):
        multi_similarity_loss(np.eye(4)[LABELS], EMBEDDINGS)
    with pytest.raises(ValueError, match="labels and embeddings must have the same length, got 3 and 12"):
        multi_similarity_loss(LABELS[:3], EMBEDDINGS)
    with pytest.raises(ValueError, match="positive_mining must be one of easy, hard, semi-hard; got 'soft'"):
        TripletLoss(positive_mining="soft")
    with pytest.raises(ValueError, match="negative_mining must be one of"):
        triplet_loss(LABELS, EMBEDDINGS, negative_mining="medium")
    with pytest.raises(ValueError, match="distance must be one of"):
        TripletLoss(distance="l2")
    with pytest.raises(ValueError, match="margin must be at least 0, or None for the soft margin; got -1"):
        TripletLoss(margin=-1)
    with pytest.raises(ValueError, match="alpha and beta must be above 0, got 0 and 40"):
        MultiSimilarityLoss(alpha=0, beta=40)


@pytest.mark.parametrize("make", [MultiSimilarityLoss, TripletLoss])
def test_large_labels_do_not_run_together_in_float32(make):
    expected = float(make()(LABELS, EMBEDDINGS))
    for offset in (2**24, 2**40):
        assert float(make()(LABELS + offset, EMBEDDINGS)) == pytest.approx(expected, rel=1e-6)
        assert float(make()(LABELS[:, None] + offset, EMBEDDINGS)) == pytest.approx(expected, rel=1e-6)


def test_distances_beyond_a_billion_are_compared_rightly():
    embeddings = (1e5 * np.random.default_rng(0).normal(size=(6, 3))).astype("float32")
    labels = [0, 0, 1, 1, 2, 2]
    distances = pairwise(embeddings, embeddings, "squared_euclidean")
    expected = triplet_by_hand(labels, distances, 0.2, "hard", "hard")
    loss = triplet_loss(np.array(labels), embeddings, negative_mining="hard", distance="squared_euclidean")
    np.testing.assert_allclose(values(loss), expected, rtol=1e-4)
    assert max(expected) > 1e9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("positive_mining", MINING)
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_an_embedding_that_is_not_finite_is_never_a_loss_of_zero(bad, positive_mining, distance):
    one, every = EMBEDDINGS.copy(), np.full_like(EMBEDDINGS, bad)
    one[3, 2] = bad
    triplet = {"positive_mining": positive_mining, "distance": distance}
    for embeddings, rows in ((one, [3]), (every, np.arange(12))):
        assert np.isnan(values(multi_similarity_loss(LABELS, embeddings)))[rows].all()
        assert np.isnan(values(triplet_loss(LABELS, embeddings, **triplet)))[rows].all()
    assert np.isnan(MultiSimilarityLoss()(LABELS, one))


@pytest.mark.parametrize("make", [MultiSimilarityLoss, TripletLoss])
def test_a_dtype_that_cannot_tell_labels_apart_is_refused(make):
    for dtype in ("float16", "bfloat16", "mixed_bfloat16"):
        with pytest.raises(ValueError, match="dtype must be float32 or float64, got '"):
            make(dtype=dtype)
    expected = float(make()(LABELS, EMBEDDINGS))
    assert float(make(dtype="float64")(LABELS, EMBEDDINGS)) == pytest.approx(expected)


def test_reduction_and_sample_weights_are_those_of_keras():
    each = values(triplet_loss(LABELS, EMBEDDINGS))
    loss = TripletLoss(reduction=None)
    np.testing.assert_allclose(values(loss(LABELS, EMBEDDINGS)), each)
    assert loss.get_config()["reduction"] is None
    weights = np.arange(12.0)
    weighted = values(loss(LABELS, EMBEDDINGS, sample_weight=weights))
    np.testing.assert_allclose(weighted, each * weights, rtol=1e-6)


def test_a_graph_of_unknown_batch_size_is_traced():
    import tensorflow as tf

    loss = MultiSimilarityLoss()
    signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, None], tf.float32)]
    graph = tf.function(lambda labels, embeddings: loss(labels, embeddings), input_signature=signature)
    assert float(graph(LABELS, EMBEDDINGS)) == pytest.approx(float(loss(LABELS, EMBEDDINGS)), rel=1e-5)
