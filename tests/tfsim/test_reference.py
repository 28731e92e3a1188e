"""Values that the public tests of TensorFlow Similarity expect, through the names they expect them from."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import tfsim
from simnb._keras import ops


@pytest.mark.parametrize(("second", "margin", "expected"), [
    (range(32), None, 0.31326169),
    (range(32), 1.1, 0.1),
    (range(31, -1, -1), None, 0.69314718),
    (range(31, -1, -1), 1.0, 1.0),
])  # fmt: skip
def test_triplets_of_one_hot_vectors(second, margin, expected):
    embeddings = np.eye(32, dtype="float32")[[*range(32), *second]]
    loss = tfsim.losses.TripletLoss(margin=margin)(np.tile(np.arange(32), 2), embeddings)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("mining", "expected"), [("easy", 1 / 3), ("hard", 2.0)])
def test_triplets_by_mining(mining, expected):
    embeddings = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [1, 0]], "float32")
    loss = tfsim.losses.TripletLoss(
        positive_mining_strategy=mining, negative_mining_strategy=mining, margin=1
    )
    assert float(loss(np.array([0, 0, 0, 1, 1, 1]), embeddings)) == pytest.approx(expected, abs=1e-6)


def test_triplets_of_each_anchor():
    embeddings = np.array([[1, 0], [0.5, 0.8660254], [0, 1], [0.01010049, 0.999949]], "float32")
    loss = tfsim.losses.TripletLoss(positive_mining_strategy="easy", margin=1, reduction="none")
    found = np.asarray(loss(np.array([0, 0, 1, 1]), embeddings))
    np.testing.assert_allclose(found, [0.51, 1.366, 0.866, 0.871], atol=1e-3)


@pytest.mark.parametrize(("name", "query", "key", "expected"), [
    ("cosine", [[0.1, 0.3, 0.2]], [[0, 0.1, 0.5]], [[0.31861484]]),
    ("l2", [[0, 1], [0, 1], [1, 1]], [[2, 1], [1, 1]], [[2, 1], [2, 1], [1, 0]]),
    ("pythagorean", [[0, 1]], [[2, 1]], [[2]]),
    ("sql2", [[0, 1]], [[2, 1]], [[4]]),
    ("taxicab", [[0, 0], [0, 1], [1, 1], [3, 0]], [[0, 1], [1, 1], [3, 0]],
     [[1, 2, 3], [0, 1, 4], [1, 0, 3], [4, 3, 0]]),
    ("ip", [[1, 2]], [[3, 4]], [[-11]]),
    ("snr", [[1, 3, 2]], [[2, 3, 5]], [[np.var([1, 0, 3]) / np.var([1, 3, 2])]]),
])  # fmt: skip
def test_distances_by_name_and_alias(name, query, key, expected):
    distance = tfsim.distances.distance_canonicalizer(name)
    found = np.asarray(distance(np.array(query, "float32"), np.array(key, "float32")))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_metric_embedding():
    layer = tfsim.layers.MetricEmbedding(4, kernel_initializer="ones")
    found = np.asarray(layer(np.array([[4, 4, 4, 4], [1, 1, 1, 1]], "float32")))
    np.testing.assert_allclose(found, 0.5, rtol=1e-6)


@pytest.mark.parametrize(("name", "expected"), [
    ("f1", [0.555556, 0.851064]),
    ("precision", [0.909091, 0.909091]),
    ("recall", [0.4, 0.8]),
    ("binary_accuracy", [0.277778, 0.555556]),
    ("false_positive_rate", [0.090909, 0.181818]),
    ("negative_predictive_value", [0.4, 0.642857]),
])  # fmt: skip
def test_classification_metrics(name, expected):
    metric = tfsim.classification_metrics.make_classification_metric(name)
    counts = {"tp": [10, 20], "fp": [1, 2], "tn": [10, 9], "fn": [15, 5]}
    found = metric.compute(**{key: np.array(value) for key, value in counts.items()}, count=36)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_majority_vote():
    labels = np.array([[10, 12, 10, 12, 10], [20, 13, 13, 20, 30]])
    distances = np.array([[1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]])
    found, _ = tfsim.matchers.MatchMajorityVote().derive_match(labels, distances)
    assert found.ravel().tolist() == [10, 20]


def test_matchers_count():
    matcher = tfsim.matchers.make_classification_matcher("match_nearest")
    with pytest.raises(AttributeError, match="compute_count"):
        matcher.tp  # noqa: B018 - asked for too early
    matcher.compile([0.5, 2.0])
    matcher.compute_count([1, 2, 3], np.array([[1], [2], [4]]), np.array([[0.1], [1.0], [3.0]]))
    assert (matcher.tp.tolist(), matcher.fn.tolist()) == ([1, 2], [1, 0])
    assert (matcher.fp.tolist(), matcher.tn.tolist(), matcher.count) == ([0, 0], [1, 1], 3)


@pytest.mark.parametrize("alpha", [0, 0.1])
def test_warmup_cosine(alpha):
    schedule = tfsim.schedules.WarmupCosineDecay(1, 1000, 500, alpha=alpha)
    again = type(schedule).from_config(schedule.get_config())
    for step in (0, 1, 250, 499, 500, 501, 750, 999, 1000):
        falling = (1 - alpha) * 0.5 * (1 + np.cos(np.pi * (step - 500) / 500)) + alpha
        expected = step / 500 if step <= 500 else falling
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-6)
        assert float(again(step)) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="warmup_steps"):
        tfsim.schedules.WarmupCosineDecay(1, 10, 10)


def test_confusion_matrix():
    true, predicted = [0, 1, 2, 3, 4] * 2, [0, 1, 2, 4, 3, 0, 1, 4, 4, 4]
    ax, counts = tfsim.visualization.confusion_matrix(predicted, true, normalize=False, show=False)
    assert "accuracy=0.6000" in ax.get_xlabel()
    assert ops.shape(counts) == (5, 5)
    assert np.trace(counts) == 6
    ax, counts = tfsim.visualization.confusion_matrix([-1, 1], [0, 1], labels=["a", "b"], show=False)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b", "Unknown"]
    np.testing.assert_allclose(counts, [[0, 0, 1], [0, 1, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="name class 2"):
        tfsim.visualization.confusion_matrix([2], [0], labels=["a", "b"], show=False)
    plt.close("all")
