"""What the tests of the losses share: a batch, every loss, distances by hand, gradients on any backend."""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from simnb import losses

# Random unit vectors, one class with a single example; values for them come from
# pytorch-metric-learning 2.9.0 (PyTorch 2.13.0, float64).
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


class Variant(NamedTuple):
    """A loss with some options: its class, its function, and what an anchor needs for a loss above 0."""

    make: Any
    of_each: Any
    options: dict
    needs: tuple = ("positive", "negative")

    def __call__(self, labels, embeddings):
        return self.of_each(labels, embeddings, **self.options)


EVERY_LOSS = {
    "triplet": Variant(losses.TripletLoss, losses.triplet_loss, {}),
    "triplet-soft": Variant(
        losses.TripletLoss, losses.triplet_loss, {"margin": None, "distance": "euclidean"}
    ),
    "triplet-snr": Variant(
        losses.TripletLoss,
        losses.triplet_loss,
        {"positive_mining": "semi-hard", "negative_mining": "hard", "distance": "snr"},
    ),
    "batch-all": Variant(losses.BatchAllTripletLoss, losses.batch_all_triplet_loss, {"margin": 0.5}),
    "batch-all-skip": Variant(
        losses.BatchAllTripletLoss,
        losses.batch_all_triplet_loss,
        {"skip_zeros": True, "distance": "euclidean"},
    ),
    "pn": Variant(losses.PNLoss, losses.pn_loss, {"margin": 0.7, "positive_mining": "easy"}),
    "pn-soft": Variant(losses.PNLoss, losses.pn_loss, {"margin": None, "distance": "manhattan"}),
    "contrastive": Variant(losses.ContrastiveLoss, losses.contrastive_loss, {"margin": 1.5}, ()),
    "contrastive-not-squared": Variant(
        losses.ContrastiveLoss, losses.contrastive_loss, {"squared": False}, ()
    ),
    "lifted": Variant(losses.LiftedStructureLoss, losses.lifted_structure_loss, {"margin": 0.8}),
    "multi-similarity": Variant(
        losses.MultiSimilarityLoss,
        losses.multi_similarity_loss,
        {"alpha": 3.0, "beta": 30.0, "epsilon": 0.2, "lam": 0.4},
    ),
    "multi-similarity-unmined": Variant(
        losses.MultiSimilarityLoss, losses.multi_similarity_loss, {"epsilon": None}, ()
    ),
    "circle": Variant(losses.CircleLoss, losses.circle_loss, {"gamma": 20.0, "margin": 0.3}),
    "soft-nearest-neighbor": Variant(
        losses.SoftNearestNeighborLoss, losses.soft_nearest_neighbor_loss, {"temperature": 0.5}
    ),
    "multiple-negatives": Variant(
        losses.MultipleNegativesRankingLoss,
        losses.multiple_negatives_ranking_loss,
        {"temperature": 0.2, "distance": "inner_product"},
    ),
    "nt-xent": Variant(losses.NTXentLoss, losses.nt_xent_loss, {"temperature": 0.3}),
    "supervised-contrastive": Variant(
        losses.SupervisedContrastiveLoss,
        losses.supervised_contrastive_loss,
        {"temperature": 0.3},
        ("positive",),
    ),
}
CLASSES = sorted({variant.make for variant in EVERY_LOSS.values()}, key=lambda make: make.__name__)


@pytest.fixture
def batch():
    """Labels [12] and embeddings [12, 6] to which the reference numbers belong."""
    return LABELS.copy(), EMBEDDINGS.copy()


@pytest.fixture(params=EVERY_LOSS)
def variant(request):
    """Every loss, some with several sets of options."""
    return EVERY_LOSS[request.param]


@pytest.fixture(params=CLASSES, ids=lambda make: make.__name__)
def make(request):
    """Every class."""
    return request.param


@pytest.fixture
def every_class():
    """All classes at once."""
    return CLASSES


def _value_and_gradient(loss, labels, embeddings):
    labels, embeddings = np.array(labels), np.asarray(embeddings, "float32")

    def total(tensor):
        return keras.ops.sum(loss(labels, tensor))

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        embeddings = tf.Variable(embeddings)
        with tf.GradientTape() as tape:
            value = total(embeddings.value())
        gradient = tape.gradient(value, embeddings)
    elif backend == "jax":
        import jax

        value, gradient = jax.value_and_grad(total)(keras.ops.convert_to_tensor(embeddings))
    else:
        embeddings = keras.ops.convert_to_tensor(embeddings).requires_grad_()
        value = total(embeddings)
        value.backward()
        gradient = embeddings.grad
    return float(keras.ops.convert_to_numpy(value)), keras.ops.convert_to_numpy(gradient)


@pytest.fixture
def value_and_gradient():
    """``(loss, labels, embeddings) -> (sum of the losses, its gradient)``, on the backend in use."""
    return _value_and_gradient


def _distance(a, b, distance):
    pairs = list(zip(a, b, strict=True))
    product = sum(x * y for x, y in pairs)
    squared = sum((x - y) ** 2 for x, y in pairs)
    if distance == "cosine":
        return 1 - product / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))
    if distance == "snr":
        return float(np.var(np.subtract(a, b)) / np.var(a))
    return {
        "euclidean": math.sqrt(squared),
        "squared_euclidean": squared,
        "manhattan": sum(abs(x - y) for x, y in pairs),
        "inner_product": -product,
    }[distance]


@pytest.fixture
def distances_by_hand():
    """``(embeddings, distance) -> list of rows``, in Python's floats."""

    def rows(embeddings, distance):
        vectors = np.asarray(embeddings, "float64").tolist()
        return [[_distance(a, b, distance) for b in vectors] for a in vectors]

    return rows


@pytest.fixture
def follows_its_loop():
    """Check a function's losses and their gradient against a loop ``(labels, embeddings) -> [batch]``.

    ``frozen(labels, embeddings, at)`` is the loop whose slope the gradient is, where that is not the loop
    itself: ``at`` are the embeddings that the gradient is taken at.
    """

    def check(loss, loop, *, frozen=None, seed=0):
        rng = np.random.default_rng(seed)
        labels = np.array([1, 0, 2, 0, 1, 3, 2, 0, 1, 0])  # one class has a single example
        embeddings = rng.normal(0.3, 1, (10, 3)).astype("float32").astype("float64")
        expected = loop(labels, embeddings)
        losses_of_each = keras.ops.convert_to_numpy(loss(labels, embeddings))
        np.testing.assert_allclose(losses_of_each, expected, rtol=1e-4, atol=1e-5)
        gradient = _value_and_gradient(loss, labels, embeddings)[1]
        assert np.abs(gradient).max() > 0.01
        slope_of = loop if frozen is None else (lambda y, e: frozen(y, e, embeddings))
        for i, j in [(0, 0), (1, 2), (5, 1), (6, 0), (9, 2)]:
            step = np.zeros_like(embeddings)
            step[i, j] = 1e-6
            ahead, behind = slope_of(labels, embeddings + step), slope_of(labels, embeddings - step)
            slope = (sum(ahead) - sum(behind)) / 2e-6
            assert gradient[i, j] == pytest.approx(slope, rel=1e-3, abs=1e-3)

    return check
