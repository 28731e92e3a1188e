import keras
import numpy as np
import pytest

from simnb.distances import pairwise
from simnb.losses import batch_all_triplet_loss, pn_loss, triplet_loss

MINING = ("easy", "semi-hard", "hard")
values = keras.ops.convert_to_numpy


def hinge(gap, margin):
    return float(np.logaddexp(0, gap)) if margin is None else max(gap + margin, 0.0)


def sides(labels, i):
    """Rows of the positives and of the negatives of an anchor."""
    same = [j for j in range(len(labels)) if labels[j] == labels[i] and j != i]
    return same, [j for j in range(len(labels)) if labels[j] != labels[i]]


def mined_by_hand(row, same, other, positive_mining, negative_mining):
    nearest, farthest = min(same, key=lambda j: row[j]), max(same, key=lambda j: row[j])
    nearer = [j for j in same if row[j] < min(row[n] for n in other)]
    positive = {"easy": nearest, "hard": farthest}.get(
        positive_mining, max(nearer, key=lambda j: row[j], default=nearest)
    )
    nearest, farthest = min(other, key=lambda j: row[j]), max(other, key=lambda j: row[j])
    farther = [j for j in other if row[j] > row[positive]]
    negative = {"easy": farthest, "hard": nearest}.get(
        negative_mining, min(farther, key=lambda j: row[j], default=farthest)
    )
    return positive, negative


def triplet_by_hand(labels, distances, margin, positive_mining, negative_mining, *, swap=False):
    losses = []
    for i, row in enumerate(distances):
        same, other = sides(labels, i)
        if not same or not other:
            losses.append(0.0)
            continue
        p, n = mined_by_hand(row, same, other, positive_mining, negative_mining)
        away = min(row[n], distances[p][n]) if swap else row[n]
        losses.append(hinge(row[p] - away, margin))
    return losses


def batch_all_by_hand(labels, distances, margin, skip_zeros):
    every = [
        [hinge(row[p] - row[n], margin) for p in sides(labels, i)[0] for n in sides(labels, i)[1]]
        for i, row in enumerate(distances)
    ]
    counted = [loss for row in every for loss in row if loss > 0 or not skip_zeros]
    anchors = sum(1 for row in every if row)
    return [sum(row) / len(counted) * anchors for row in every]


@pytest.mark.parametrize("positive_mining", MINING)
@pytest.mark.parametrize("negative_mining", MINING)
@pytest.mark.parametrize(
    ("function", "margin", "distance"),
    [
        (triplet_loss, 0.6, "cosine"),
        (triplet_loss, 1.5, "euclidean"),
        (triplet_loss, None, "snr"),
        (pn_loss, 1.5, "snr"),
    ],
)
def test_triplet_and_pn_equal_their_loops(
    function, margin, distance, positive_mining, negative_mining, distances_by_hand, follows_its_loop
):
    options = {"margin": margin, "positive_mining": positive_mining, "negative_mining": negative_mining}
    follows_its_loop(
        lambda y, e: function(y, e, distance=distance, **options),
        lambda y, e: triplet_by_hand(y, distances_by_hand(e, distance), **options, swap=function is pn_loss),
    )


@pytest.mark.parametrize(
    ("positive_mining", "negative_mining", "gap"),
    [
        ("easy", "easy", 1 - 8),
        ("easy", "semi-hard", 1 - 3),
        ("easy", "hard", 1 - 3),
        ("semi-hard", "easy", 2 - 8),
        ("semi-hard", "semi-hard", 2 - 3),
        ("semi-hard", "hard", 2 - 3),
        ("hard", "easy", 6 - 8),
        ("hard", "semi-hard", 6 - 8),  # a negative as far as the positive is not farther
        ("hard", "hard", 6 - 3),
    ],
)
def test_mining_chooses_by_name(positive_mining, negative_mining, gap):
    # Positives 1, 2 and 6 from the anchor, negatives 3, 6 and 8.
    points, labels = np.array([[0.0], [1], [2], [6], [-3], [-6], [-8]]), [0, 0, 0, 0, 1, 1, 1]
    options = {"positive_mining": positive_mining, "negative_mining": negative_mining}
    loss = triplet_loss(labels, points, margin=10.0, distance="manhattan", **options)
    assert values(loss)[0] == gap + 10


@pytest.mark.parametrize("skip_zeros", [False, True])
@pytest.mark.parametrize(("margin", "distance"), [(0.2, "cosine"), (1.5, "snr"), (None, "euclidean")])
def test_batch_all_equals_its_loop(skip_zeros, margin, distance, distances_by_hand, follows_its_loop):
    options = {"margin": margin, "skip_zeros": skip_zeros}
    follows_its_loop(
        lambda y, e: batch_all_triplet_loss(y, e, distance=distance, **options),
        lambda y, e: batch_all_by_hand(y, distances_by_hand(e, distance), **options),
    )


def test_pn_moves_the_negative_away_from_the_positive_too():
    # The negative is 5 from the anchor and 1 from the positive, which is 4 from the anchor.
    embeddings, labels = [[0.0], [4.0], [5.0]], [0, 0, 1]
    options = {"margin": 0.5, "negative_mining": "hard", "distance": "euclidean"}
    np.testing.assert_allclose(values(triplet_loss(labels, embeddings, **options)), [0, 3.5, 0])
    np.testing.assert_allclose(values(pn_loss(labels, embeddings, **options)), [3.5, 3.5, 0])


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
    hard = triplet_loss(labels, embeddings, margin=1.0, negative_mining="hard")
    assert values(hard).mean() == pytest.approx(2.0)


def test_a_soft_margin_does_not_overflow():
    embeddings = np.array([[1000.0, 0], [-1000, 0], [1000, 1]], "float32")
    loss = values(triplet_loss([0, 0, 1], embeddings, margin=None, distance="squared_euclidean"))
    np.testing.assert_allclose(loss, [4e6 - 1, np.log1p(np.exp(-1)), 0], rtol=1e-5)


def test_distances_beyond_a_billion_are_compared_correctly():
    embeddings = (1e5 * np.random.default_rng(0).normal(size=(6, 3))).astype("float32")
    labels = [0, 0, 1, 1, 2, 2]
    distances = pairwise(embeddings, embeddings, "squared_euclidean")
    expected = triplet_by_hand(labels, distances, 0.2, "hard", "hard")
    loss = triplet_loss(np.array(labels), embeddings, negative_mining="hard", distance="squared_euclidean")
    np.testing.assert_allclose(values(loss), expected, rtol=1e-4)
    assert max(expected) > 1e9


@pytest.mark.parametrize("margin", [None, 0.3])
def test_the_soft_margin_of_pn_equals_its_loop(margin, distances_by_hand, follows_its_loop):
    options = {"margin": margin, "positive_mining": "easy", "negative_mining": "hard"}
    follows_its_loop(
        lambda y, e: pn_loss(y, e, distance="manhattan", **options),
        lambda y, e: triplet_by_hand(y, distances_by_hand(e, "manhattan"), **options, swap=True),
    )


def test_skipping_zeros_with_every_triplet_met_gives_zero(value_and_gradient):
    labels, embeddings = [0, 0, 1, 1], np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    total, gradient = value_and_gradient(
        lambda y, e: batch_all_triplet_loss(y, e, skip_zeros=True), labels, embeddings
    )
    assert total == 0.0
    assert not gradient.any()
