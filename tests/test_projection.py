import sys

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from simnb.distances import pairwise
from simnb.projection import METHODS, project, trust


@pytest.fixture(scope="module")
def groups():
    """120 embeddings in six groups."""
    rng = np.random.default_rng(0)
    return (np.repeat(rng.normal(size=(6, 12)) * 3, 20, axis=0) + rng.normal(size=(120, 12))).astype("f")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_embeddings_give_the_same_map(groups, method):
    if method == "umap":
        pytest.importorskip("umap", reason="umap-learn is an extra", exc_type=ImportError)
    first, second = (project(groups, method, seed=3) for _ in range(2))
    assert first.shape == (120, 2)
    assert first.dtype == np.float32
    assert np.ptp(first, axis=0).min() > 0
    np.testing.assert_array_equal(first, second)


def test_pca_keeps_the_two_directions_of_largest_variance(groups):
    flat = project(groups, "pca")
    covariance = np.cov(groups.T.astype(np.float64))
    largest = np.linalg.eigvalsh(covariance)[::-1][:2]
    np.testing.assert_allclose(flat.var(axis=0, ddof=1), largest, rtol=1e-4)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embeddings_that_are_all_the_same_have_a_map(method):
    np.testing.assert_array_equal(project(np.ones((9, 5)), method), 0)


def test_one_dimension_and_one_embedding_have_a_map():
    assert project(np.arange(5.0)[:, None]).shape == (5, 2)
    np.testing.assert_array_equal(project(np.ones((1, 3))), 0)


def test_where_umap_is_missing_the_error_says_what_to_install(groups, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "simnb\[umap\]"'):
        project(groups, "umap")


def test_bad_input_is_refused(groups):
    with pytest.raises(ValueError, match="method must be one of pca, tsne, umap"):
        project(groups, "isomap")
    with pytest.raises(ValueError, match="tsne needs at least 4 embeddings, got 3"):
        project(groups[:3], "tsne")
    with pytest.raises(ValueError, match="k must be less than half of the 120 points, got 60"):
        trust(groups, groups[:, :2], k=60)
    with pytest.raises(ValueError, match=r"points must have shape \[120, 2\].*got \(120, 3\)"):
        trust(groups, groups[:, :3])


@pytest.mark.parametrize("k", [1, 5, 11])
def test_over_all_points_trustworthiness_is_that_of_scikit_learn(groups, k):
    points = np.random.default_rng(1).normal(size=(120, 2)) + groups[:, :2]
    expected = trustworthiness(groups, points, n_neighbors=k)
    assert trust(groups, points, k=k).trustworthiness == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "manhattan"])
def test_preservation_is_the_share_of_neighbors_that_stay(groups, distance):
    points, k, kept = groups[:, 3:5], 4, 0
    for i in range(120):
        others = [j for j in range(120) if j != i]
        far = {j: pairwise(groups[[i]], groups[[j]], distance)[0, 0] for j in others}
        near = {j: np.hypot(*(points[i].astype(float) - points[j])) for j in others}
        kept += len(set(sorted(far, key=far.get)[:k]) & set(sorted(near, key=near.get)[:k]))
    found = trust(groups, points, k=k, distance=distance)
    assert found.preservation == pytest.approx(kept / (120 * k), abs=0.005)
    assert found.num_sampled == 120


def test_a_map_that_is_the_embedding_keeps_everything(groups):
    plane = groups[:, :2]
    found = trust(plane, plane, k=7)
    assert (found.trustworthiness, found.preservation) == (1, 1)


def test_a_sample_estimates_what_all_points_give(groups):
    points = project(groups)
    whole = trust(groups, points, k=5)
    parts = [trust(groups, points, k=5, sample=30, seed=seed) for seed in range(40)]
    assert parts[0].num_sampled == 30
    assert parts[0] != parts[1]
    assert np.mean([p.trustworthiness for p in parts]) == pytest.approx(whole.trustworthiness, abs=0.005)
    assert np.mean([p.preservation for p in parts]) == pytest.approx(whole.preservation, abs=0.02)
