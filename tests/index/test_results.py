from types import SimpleNamespace

import numpy as np
import pytest

from simnb import calibration, matching, metrics
from simnb.index import Neighbors


def test_neighbors_check_their_shapes_and_refuse_nan():
    ids = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=r"distances must have shape \[num_queries, k\], got \(3,\)"):
        Neighbors(np.zeros(3), ids, ids)
    with pytest.raises(ValueError, match=r"labels must be integers of shape \(2, 3\) like distances"):
        Neighbors(np.zeros((2, 3)), ids, ids[:1])
    with pytest.raises(ValueError, match="distances must not be NaN, got 6 of them"):
        Neighbors(np.full((2, 3), np.nan), ids, ids)


def test_neighbors_can_be_cut_by_query():
    neighbors = Neighbors(
        np.arange(6.0).reshape(3, 2), np.arange(6).reshape(3, 2), np.zeros((3, 2), int), "snr"
    )
    assert neighbors[1].ids.tolist() == [[2, 3]]
    assert neighbors[1:].ids.tolist() == [[2, 3], [4, 5]]
    part = neighbors[np.array([True, False, True])]
    assert (len(part), part.k, part.distance) == (2, 2, "snr")


def test_queries_are_left_out_of_their_own_neighbors():
    ids = np.array([[7, 1, 2], [3, 8, 4], [5, 6, 0], [-1, -1, -1]])
    distances = np.arange(12.0).reshape(4, 3)
    found = Neighbors(distances, ids, ids % 5, "snr", ("a", "b", "c", "d", "e")).without([7, 8, 9, -1])
    assert found.ids.tolist() == [[1, 2], [3, 4], [5, 6], [-1, -1]]  # where it is not there, the last goes
    assert found.distances.tolist() == [[1, 2], [3, 5], [6, 7], [9, 10]]
    np.testing.assert_array_equal(found.labels, found.ids % 5)
    assert (found.k, found.distance, found.class_names[0]) == (2, "snr", "a")


def nobody(distances, k=1):
    """Something like Neighbors, of whose distances nobody has made sure."""
    shape = (len(distances), k)
    return SimpleNamespace(
        distances=np.array(distances, np.float32).reshape(shape),
        ids=np.zeros(shape, int),
        labels=np.zeros(shape, int),
        k=k,
        distance=None,
        class_names=None,
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda distances: Neighbors(distances[:, None], np.zeros((3, 1), int), np.zeros((3, 1), int)),
        lambda distances: matching.match(nobody(distances), 0.5),
        lambda distances: matching.match_majority_vote(nobody(distances)),
        lambda distances: matching.accept(matching.Matches(np.zeros(3, int), distances), 0.5),
        lambda distances: metrics.auroc(distances, np.array([True, False, True])),
        lambda distances: metrics.Pairs(distances, np.array([True, False, True])),
        lambda distances: calibration.fit_probability(
            matching.Matches(np.zeros(3, int), distances), np.zeros(3, int)
        ),
        lambda distances: calibration.MatchProbability("platt", np.empty(0), np.ones(2), "nearest", 3)(
            distances
        ),
        lambda distances: calibration.compare_distances(np.zeros(2), distances),
    ],
)
def test_no_distance_may_be_below_all_others(use):
    with pytest.raises(ValueError, match=r"(distances|other) must not be -inf, got 1 of them"):
        use(np.array([0.1, -np.inf, np.inf], np.float32))
    with pytest.raises(ValueError, match=r"(distances|other) must not be NaN, got 1 of them"):
        use(np.array([0.1, np.nan, np.inf], np.float32))


def test_what_calibration_counts_is_what_matching_does_down_to_the_smallest_distances():
    distances = np.array([[-3e38], [-2.0], [0.0], [0.0], [np.inf]], np.float32)
    neighbors = Neighbors(distances, np.arange(5)[:, None], np.array([0, 1, 0, 1, 0])[:, None])
    found = calibration.calibrate(neighbors, [0, 0, 0, 1, 0], maximize="f1")
    for position, threshold in enumerate(found.curves.threshold):
        accepted = found.curves.accepted_right[position] + found.curves.accepted_wrong[position]
        assert matching.match(neighbors, threshold).accepted.sum() == accepted
