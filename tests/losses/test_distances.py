"""Distances as the losses use them: their gradients."""

import keras
import numpy as np
import pytest

from simnb.distances import DISTANCES, pairwise


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_of_distances_equal_finite_differences(distance, value_and_gradient, distances_by_hand):
    rng = np.random.default_rng(0)
    embeddings, weights = rng.normal(0.5, 1, (7, 4)), rng.normal(size=(3, 4)).astype("float32")

    def weighted(_, e):
        return keras.ops.multiply(weights, pairwise(e[:3], e[3:], distance, ops=keras.ops))

    def by_hand(e):
        return float(np.sum(weights * np.array(distances_by_hand(e, distance))[:3, 3:]))

    value, gradient = value_and_gradient(weighted, [0], embeddings)
    assert value == pytest.approx(by_hand(embeddings), rel=1e-5)
    for i, j in [(0, 0), (2, 3), (3, 1), (6, 2)]:
        step = np.zeros_like(embeddings)
        step[i, j] = 1e-6
        slope = (by_hand(embeddings + step) - by_hand(embeddings - step)) / 2e-6
        assert gradient[i, j] == pytest.approx(slope, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_gradients_stay_small_where_points_coincide(distance, offset, value_and_gradient):
    embeddings = np.random.default_rng(1).normal(offset, 1, (6, 64))
    embeddings[4] = embeddings[1]
    embeddings[5] = embeddings[1]

    def to_all(_, e):
        return pairwise(e, e, distance, ops=keras.ops)

    value, gradient = value_and_gradient(to_all, [0], embeddings)
    assert np.isfinite(value)
    # Of the size of the coordinates, times the number of pairs.
    assert np.abs(gradient).max() < 40 * (offset + 4)


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_stay_finite_where_rows_are_zero(distance, value_and_gradient):
    embeddings = np.random.default_rng(2).normal(size=(5, 3))
    embeddings[2:4] = 0

    def to_all(_, e):
        return pairwise(e, e, distance, ops=keras.ops)

    value, gradient = value_and_gradient(to_all, [0], embeddings)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    if distance != "snr":  # whose zero rows have all but no signal to divide by
        assert np.abs(gradient).max() < 100
