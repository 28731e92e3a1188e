"""Contrastive losses: of pairs, and those that tell positives from the rest of the batch by a softmax."""

import math

import keras
import numpy as np
import pytest

from simnb.losses import (
    contrastive_loss,
    multiple_negatives_ranking_loss,
    nt_xent_loss,
    soft_nearest_neighbor_loss,
    supervised_contrastive_loss,
)

values = keras.ops.convert_to_numpy


def contrastive_by_hand(labels, distances, margin, squared):
    def loss(d, positive):
        d = d if positive else max(margin - d, 0.0)
        return d * d / 2 if squared else d

    total = [0.0] * len(labels)
    for positive in (True, False):
        every = [
            [loss(d, positive) for j, d in enumerate(row) if (labels[j] == labels[i]) == positive and j != i]
            for i, row in enumerate(distances)
        ]
        pairs, anchors = sum(len(row) for row in every), sum(1 for row in every if row)
        total = [t + sum(row) / pairs * anchors for t, row in zip(total, every, strict=True)]
    return total


@pytest.mark.parametrize("margin", [1.0, 2.5])
@pytest.mark.parametrize("squared", [True, False])
def test_contrastive_equals_its_loop(margin, squared, distances_by_hand, follows_its_loop):
    options = {"margin": margin, "squared": squared}
    follows_its_loop(
        lambda y, e: contrastive_loss(y, e, **options),
        lambda y, e: contrastive_by_hand(y, distances_by_hand(e, "euclidean"), **options),
    )


def test_contrastive_is_hadsells_of_one_pair():
    near = [[0.0, 0], [0.6, 0]]
    np.testing.assert_allclose(values(contrastive_loss([0, 0], near)), 0.6**2 / 2, rtol=1e-6)
    np.testing.assert_allclose(values(contrastive_loss([0, 1], near)), 0.4**2 / 2, rtol=1e-6)


def softmax_by_hand(labels, distances, temperature, of_anchor):
    """``of_anchor(positives, negatives)``, lists of exp(-d / temperature), for each anchor."""
    losses = []
    for i, row in enumerate(distances):
        weights = [math.exp(-d / temperature) for d in row]
        same = [weights[j] for j in range(len(labels)) if labels[j] == labels[i] and j != i]
        other = [weights[j] for j in range(len(labels)) if labels[j] != labels[i]]
        losses.append(of_anchor(same, other))
    return losses


def soft_nearest_neighbor(same, other):
    return -math.log(sum(same) / (sum(same) + sum(other))) if same else 0.0


def supervised_contrastive(same, other):
    return sum(-math.log(p / sum(same + other)) for p in same) / len(same) if same else 0.0


def nt_xent(same, other):
    """Sum over the pairs; the mean over the batch's pairs needs all anchors."""
    return sum(-math.log(p / (p + sum(other))) for p in same)


@pytest.mark.parametrize(
    ("temperature", "distance"), [(1.0, "squared_euclidean"), (0.2, "cosine"), (3.0, "snr")]
)
def test_soft_nearest_neighbor_equals_its_loop(temperature, distance, distances_by_hand, follows_its_loop):
    follows_its_loop(
        lambda y, e: soft_nearest_neighbor_loss(y, e, temperature=temperature, distance=distance),
        lambda y, e: softmax_by_hand(y, distances_by_hand(e, distance), temperature, soft_nearest_neighbor),
    )


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_supervised_contrastive_equals_its_loop(temperature, distances_by_hand, follows_its_loop):
    follows_its_loop(
        lambda y, e: supervised_contrastive_loss(y, e, temperature=temperature),
        lambda y, e: softmax_by_hand(y, distances_by_hand(e, "cosine"), temperature, supervised_contrastive),
    )


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_nt_xent_equals_its_loop(temperature, distances_by_hand, follows_its_loop):
    def loop(labels, embeddings):
        totals = softmax_by_hand(labels, distances_by_hand(embeddings, "cosine"), temperature, nt_xent)
        counts = [sum(labels == label) - 1 for label in labels]
        return [total * np.count_nonzero(counts) / sum(counts) for total in totals]

    follows_its_loop(lambda y, e: nt_xent_loss(y, e, temperature=temperature), loop)


def ranking_by_hand(labels, distances, temperature):
    turn = [sum(labels[:i] == labels[i]) % 2 for i in range(len(labels))]
    losses = []
    for i, row in enumerate(distances):
        across = [j for j in range(len(labels)) if turn[j] != turn[i]]
        away = sum(math.exp(-row[j] / temperature) for j in across if labels[j] != labels[i])
        near = [math.exp(-row[j] / temperature) for j in across if labels[j] == labels[i]]
        losses.append(sum(-math.log(p / (p + away)) for p in near) / len(near) if near else 0.0)
    return losses


@pytest.mark.parametrize(
    ("temperature", "distance"), [(0.05, "cosine"), (1.0, "inner_product"), (0.5, "snr")]
)
def test_multiple_negatives_ranking_equals_its_loop(
    temperature, distance, distances_by_hand, follows_its_loop
):
    follows_its_loop(
        lambda y, e: multiple_negatives_ranking_loss(y, e, temperature=temperature, distance=distance),
        lambda y, e: ranking_by_hand(y, distances_by_hand(e, distance), temperature),
    )


def test_multiple_negatives_ranking_of_queries_is_hendersons():
    rng = np.random.default_rng(3)
    queries, keys = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    expected = []
    for i in range(5):
        scores = [float(queries[i] @ keys[j]) for j in range(5)]
        expected.append(-(scores[i] - math.log(sum(math.exp(s) for s in scores))))
    labels, embeddings = np.r_[0:5, 0:5], np.concatenate([queries, keys])
    options = {"temperature": 1.0, "distance": "inner_product"}
    loss = values(multiple_negatives_ranking_loss(labels, embeddings, **options))
    np.testing.assert_allclose(loss[:5], expected, rtol=1e-5)
    # And the same where each key follows its query.
    order = np.arange(10).reshape(2, 5).T.ravel()
    paired = values(multiple_negatives_ranking_loss(labels[order], embeddings[order], **options))
    np.testing.assert_allclose(paired, loss[order], rtol=1e-5)


def test_nt_xent_of_two_views_is_simclrs(distances_by_hand):
    views = np.random.default_rng(4).normal(size=(8, 3))
    labels = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    similarity = 1 - np.array(distances_by_hand(views, "cosine"))
    expected = []
    for i in range(8):
        rest = [math.exp(similarity[i, k] / 0.4) for k in range(8) if k != i]
        expected.append(-math.log(math.exp(similarity[i, (i + 4) % 8] / 0.4) / sum(rest)))
    loss = values(nt_xent_loss(labels, views, temperature=0.4))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("loss", [nt_xent_loss, supervised_contrastive_loss, multiple_negatives_ranking_loss])
def test_a_tiny_temperature_does_not_overflow(loss, value_and_gradient):
    embeddings = np.array([[1.0, 0], [0, 1], [1, 0.01], [0.01, 1]])
    total, gradient = value_and_gradient(lambda y, e: loss(y, e, temperature=1e-4), [0, 0, 1, 1], embeddings)
    assert 150 < total < 1e5
    assert np.isfinite(gradient).all()
