import numpy as np
import pytest

from simnb.distances import DISTANCES, paired
from simnb.index import exact

from .conftest import vectors


def pairs(search, queries, threshold, wanted=None):
    """All pairs that are found, and how many blocks they came in."""
    blocks = list(search.within(queries, threshold, wanted))
    return sorted((int(q), int(r)) for block in blocks for q, r in zip(*block, strict=True)), len(blocks)


def small_blocks(monkeypatch):
    monkeypatch.setattr(exact, "QUERY_BLOCK", 7)
    monkeypatch.setattr(exact, "GALLERY_BLOCK", 30)
    monkeypatch.setattr(exact, "_MEASURED_VALUES", 40)


def every_distance(queries, gallery, distance):
    """Measured pair by pair, in float32."""
    return np.stack([paired(np.repeat(q[None], len(gallery), 0), gallery, distance) for q in queries])


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("offset", [0.0, 50.0, 3000.0])
def test_pairs_are_those_whose_distance_is_at_most_the_threshold(distance, offset, monkeypatch):
    small_blocks(monkeypatch)
    gallery, queries = vectors(100, offset=offset), vectors(20, seed=1, offset=offset)
    gallery[40:44] = queries[3]
    distances = every_distance(queries, gallery, distance)
    search = exact.ExactSearch(gallery, distance)
    for threshold in (*np.quantile(distances, [0, 0.01, 0.3, 1], method="lower"), distances.min() - 1):
        expected = np.argwhere(distances <= threshold)
        assert pairs(search, queries, threshold)[0] == [tuple(pair) for pair in expected.tolist()]


@pytest.mark.parametrize("scale", [1e-22, 1e-10, 1e10, 1e17])
@pytest.mark.parametrize("distance", ["cosine", "euclidean", "manhattan", "snr"])
def test_very_small_and_very_large_values_lose_no_pair(scale, distance):
    gallery, queries = vectors(80) * np.float32(scale), vectors(15, seed=1) * np.float32(scale)
    distances = every_distance(queries, gallery, distance)
    threshold = np.quantile(distances, 0.1, method="lower")
    expected = np.argwhere(distances <= threshold).tolist()
    assert pairs(exact.ExactSearch(gallery, distance), queries, threshold)[0] == [tuple(p) for p in expected]


def test_rows_whose_lengths_are_nearly_1_are_no_exception():
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(300, 2))
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    gallery = (gallery * rng.uniform(1 - 2.5e-7, 1 + 2.5e-7, (300, 1))).astype("float32")
    distances = every_distance(gallery, gallery, "cosine")
    search = exact.ExactSearch(gallery, "cosine")
    for threshold in np.unique(distances)[[0, 1, 5, 50, 500]]:
        expected = np.argwhere(distances <= threshold).tolist()
        assert pairs(search, gallery, threshold)[0] == [tuple(pair) for pair in expected]


def test_only_pairs_that_are_wanted_are_measured_and_given(monkeypatch):
    small_blocks(monkeypatch)
    gallery, asked = vectors(100), []

    def wanted(queries, rows):
        asked.append(len(queries))
        return (queries + rows) % 3 == 0

    search = exact.ExactSearch(gallery, "euclidean")
    everything, blocks = pairs(search, gallery[:20], 2.0)
    some, _ = pairs(search, gallery[:20], 2.0, wanted)
    assert some == [pair for pair in everything if sum(pair) % 3 == 0]
    assert 0 < len(some) < len(everything)
    assert len(asked) == 3 * 4 >= blocks
