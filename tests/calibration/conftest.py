"""Populations whose rates are known exactly, and neighbors drawn from them."""

import numpy as np
import pytest
from scipy.stats import norm

from simnb.index import UNKNOWN, Neighbors

# Queries that find their class, that find another one, and of unknown classes: shares, and distances.
SHARES = np.array([0.7, 0.15, 0.15])
CENTERS = np.array([0.3, 0.5, 0.6])
SPREADS = np.array([0.1, 0.12, 0.12])


def neighbors_of(labels, distances, dtype="float32", distance="cosine"):
    labels = np.array(labels)
    return Neighbors(np.array(distances, dtype), np.zeros(labels.shape, int), labels, distance)


def small():
    # Right at 0.1 and 0.2, wrong at 0.4, unknown at 0.3 and 0.9.
    neighbors = neighbors_of([[0], [1], [1], [0], [1]], [[0.1], [0.2], [0.4], [0.3], [0.9]])
    return neighbors, [0, 1, 0, 5, UNKNOWN]


class Population:
    """Queries without end, of which any number can be drawn."""

    def draw(self, count, seed, dtype="float64"):
        """Neighbors and labels of ``count`` queries; the gallery holds the classes 0 and 1."""
        rng = np.random.default_rng(seed)
        kind = rng.choice(3, count, p=SHARES)
        distances = rng.normal(CENTERS[kind], SPREADS[kind]).astype(dtype)[:, None]
        answers = rng.integers(0, 2, count)
        labels = np.select([kind == 0, kind == 1], [answers, 1 - answers], UNKNOWN)
        return Neighbors(distances, answers[:, None], answers[:, None], "cosine"), labels

    def rates(self, threshold):
        """What a threshold does to queries without end."""
        share = norm.cdf((threshold - CENTERS) / SPREADS)
        right, wrong, unknown = SHARES * share
        known = SHARES[:2].sum()
        return {
            "precision": right / (right + wrong + unknown) if threshold > -np.inf else 1.0,
            "recall": right / known,
            "coverage": (right + wrong) / known,
            "false_acceptance": share[2],
            "accuracy": right + SHARES[2] * (1 - share[2]),
        }


@pytest.fixture
def population():
    """A ``Population``."""
    return Population()
