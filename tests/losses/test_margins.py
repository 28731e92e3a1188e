"""Losses with margins for pairs: circle and lifted structure."""

import math

import numpy as np
import pytest

from simnb.losses import circle_loss, lifted_structure_loss


def sides(labels, i):
    same = [j for j in range(len(labels)) if labels[j] == labels[i] and j != i]
    return same, [j for j in range(len(labels)) if labels[j] != labels[i]]


def circle_by_hand(labels, distances, held, gamma, margin):
    """``held`` are the distances that the weights are computed from."""
    losses = []
    for i, row in enumerate(distances):
        same, other = sides(labels, i)
        pull = sum(
            math.exp(-gamma * max(1 + margin - (1 - held[i][p]), 0) * ((1 - row[p]) - (1 - margin)))
            for p in same
        )
        push = sum(
            math.exp(gamma * max((1 - held[i][n]) + margin, 0) * ((1 - row[n]) - margin)) for n in other
        )
        losses.append(math.log(1 + pull * push))
    return losses


@pytest.mark.parametrize("options", [{"gamma": 80.0, "margin": 0.4}, {"gamma": 5.0, "margin": 0.1}])
def test_circle_equals_its_loop_and_holds_its_weights(options, distances_by_hand, follows_its_loop):
    def loop(labels, embeddings, at=None):
        distances = distances_by_hand(embeddings, "cosine")
        held = distances if at is None else distances_by_hand(at, "cosine")
        return circle_by_hand(labels, distances, held, **options)

    follows_its_loop(lambda y, e: circle_loss(y, e, **options), loop, frozen=loop)


def lifted_by_hand(labels, distances, margin):
    def structure(i, p):
        away = [math.exp(margin - distances[end][n]) for end in (i, p) for n in sides(labels, end)[1]]
        return max(math.log(sum(away)) + distances[i][p], 0.0)

    every = [[structure(i, p) ** 2 / 2 for p in sides(labels, i)[0]] for i in range(len(labels))]
    pairs, anchors = sum(len(row) for row in every), sum(1 for row in every if row)
    return [sum(row) / pairs * anchors for row in every]


@pytest.mark.parametrize("margin", [1.0, 0.2, 3.0])
def test_lifted_structure_equals_its_loop(margin, distances_by_hand, follows_its_loop):
    follows_its_loop(
        lambda y, e: lifted_structure_loss(y, e, margin=margin),
        lambda y, e: lifted_by_hand(y, distances_by_hand(e, "euclidean"), margin),
    )


def test_lifted_structure_is_zero_once_its_pairs_are_met(value_and_gradient):
    embeddings = np.array([[0.0, 0], [0.1, 0], [9, 0], [9.1, 0]])
    total, gradient = value_and_gradient(lifted_structure_loss, [0, 0, 1, 1], embeddings)
    assert total == 0.0
    assert not gradient.any()
