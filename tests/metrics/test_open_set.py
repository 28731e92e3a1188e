import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb import metrics


@st.composite
def queries(draw):
    """Distances with ties and without neighbors, known and unknown, correctly named or not."""
    distance = st.sampled_from([0.0, 0.1, 0.25, 0.5, 2.0, np.inf])
    query = st.tuples(distance, st.booleans(), st.booleans())
    some = draw(st.lists(query, min_size=2, max_size=12).filter(lambda some: len({q[1] for q in some}) == 2))
    distances, known, right = (np.array(column) for column in zip(*some, strict=True))
    return distances.astype(draw(st.sampled_from(["float32", "float64"]))), known, right


def auroc_by_hand(distances, known):
    pairs = [(a, b) for a in distances[known] for b in distances[~known]]
    return np.mean([1.0 if a < b else 0.5 if a == b else 0.0 for a, b in pairs])


def aupr_by_hand(distances, positive, nearest_first):
    thresholds = sorted(set(distances.tolist()), reverse=not nearest_first)
    area, recall = 0.0, 0.0
    for threshold in thresholds:
        taken = distances <= threshold if nearest_first else distances >= threshold
        now = (taken & positive).sum() / positive.sum()
        area += (now - recall) * (taken & positive).sum() / taken.sum()
        recall = now
    return area


@settings(deadline=None)
@given(queries())
def test_areas_equal_their_loops_over_pairs_and_thresholds(some):
    distances, known, _ = some
    assert metrics.auroc(distances, known) == pytest.approx(auroc_by_hand(distances, known))
    assert metrics.aupr(distances, known) == pytest.approx(aupr_by_hand(distances, known, True))
    assert metrics.aupr(distances, known, "unknown") == pytest.approx(aupr_by_hand(distances, ~known, False))


@settings(deadline=None)
@given(queries(), st.sampled_from([0.01, 0.3, 0.5, 0.95, 1.0]))
def test_false_positives_are_those_of_the_smallest_threshold_that_accepts_enough(some, recall):
    distances, known, _ = some
    enough = [t for t in distances if (distances[known] <= t).mean() >= recall]
    expected = (distances[~known] <= min(enough)).mean()
    assert metrics.fpr_at_recall(distances, known, recall) == expected


@settings(deadline=None)
@given(queries(), st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.9]))
def test_detection_and_identification_is_that_of_the_largest_threshold_that_accepts_few_enough(some, share):
    distances, known, right = some
    allowed = [t for t in [-1.0, *distances] if (distances[~known] <= t).mean() <= share]
    expected = (right & (distances <= max(allowed)))[known].mean()
    rate = metrics.detection_and_identification_rate(distances, right, known, false_acceptance=share)
    assert rate == expected


def test_shares_are_reached_exactly_where_counts_allow():
    # 19 of 20 is 0.95, whatever floats make of it; and 7 of 100 is 0.07.
    known = np.array([True] * 20 + [False])
    distances = np.array([*range(20), 18.5])
    assert metrics.fpr_at_recall(distances, known, 0.95) == 0.0
    assert metrics.fpr_at_recall(distances, known, 0.951) == 1.0
    known = np.array([False] * 100 + [True])
    right, distances = np.ones(101, bool), np.array([*range(100), 6.5])
    rate = metrics.detection_and_identification_rate
    assert rate(distances, right, known, false_acceptance=0.07) == 1.0
    assert rate(distances, right, known, false_acceptance=0.069) == 0.0


def test_bad_queries_are_named():
    known = np.array([True, False])
    with pytest.raises(ValueError, match="distances must not be NaN, got 1 of them"):
        metrics.auroc([0.1, np.nan], known)
    with pytest.raises(ValueError, match="queries must be both known and unknown, got 2 known and 0 unknown"):
        metrics.aupr([0.1, 0.2], np.array([True, True]))
    with pytest.raises(ValueError, match="queries must be both known and unknown, got 0 known and 2 unknown"):
        metrics.fpr_at_recall([0.1, 0.2], ~np.array([True, True]))
    with pytest.raises(ValueError, match=r"known must be booleans of shape \[num_queries\], got int64 of"):
        metrics.auroc([0.1, 0.2], [3, 4])
    with pytest.raises(ValueError, match="known and distances must have the same length, got 2 and 3"):
        metrics.auroc([0.1, 0.2, 0.3], known)
    with pytest.raises(ValueError, match="positive must be one of known, unknown; got 'new'"):
        metrics.aupr([0.1, 0.2], known, "new")
    with pytest.raises(ValueError, match="recall must be a number above 0 and at most 1, got 0"):
        metrics.fpr_at_recall([0.1, 0.2], known, 0)
    with pytest.raises(
        ValueError, match="false_acceptance must be a number of at least 0 and below 1, got 1"
    ):
        metrics.detection_and_identification_rate([0.1, 0.2], known, known, false_acceptance=1)
    with pytest.raises(ValueError, match="distances must hold at least one example, got none"):
        metrics.auroc([], np.zeros(0, bool))
