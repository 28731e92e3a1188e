import numpy as np
import pytest

from simnb.calibration import calibrate
from simnb.index import UNKNOWN, Neighbors, open_index
from simnb.matching import accept, match, match_majority_vote, match_nearest


def neighbors_of(labels, distances, dtype="float32"):
    labels = np.array(labels)
    return Neighbors(np.array(distances, dtype), np.arange(labels.size).reshape(labels.shape), labels)


def test_nearest_takes_the_first_label_up_to_and_including_the_threshold():
    neighbors = neighbors_of([[4, 9], [5, 9], [6, 9]], [[0.1, 1], [0.2, 1], [0.3, 1]])
    matches = match_nearest(neighbors, 0.2)
    assert matches.labels.tolist() == [4, 5, UNKNOWN]
    assert matches.accepted.tolist() == [True, True, False]
    np.testing.assert_array_equal(matches.distances, np.array([0.1, 0.2, 0.3], "float32"))


def test_answers_to_some_queries_are_taken_out_as_neighbors_are():
    neighbors = neighbors_of([[4], [5], [6]], [[0.1], [0.2], [0.3]])
    matches = match_nearest(neighbors, 0.2)
    for rows in (slice(1, None), np.array([False, True, True]), [1, 2]):
        assert matches[rows].labels.tolist() == [5, UNKNOWN]
        assert matches[rows].distances.tolist() == neighbors[rows].distances[:, 0].tolist()
    assert matches[0].labels.tolist() == [4]


@pytest.mark.parametrize("matcher", ["nearest", "majority_vote"])
def test_answers_have_the_names_that_the_neighbors_have(matcher):
    index = open_index(class_names=("cat", "dog", "eel"))
    index.add(np.eye(3), np.array(["eel", "cat", "dog"]))
    queries = np.array([[9, 1, 0], [1, 9, 1], [1, 1, 1.1], [0, 0, -1]], "f")
    everything = match(index.search(queries, k=1), matcher=matcher)
    assert everything.names.tolist() == ["eel", "cat", "dog", "eel"]
    for matches in (match(index.search(queries, k=1), 0.2, matcher=matcher), accept(everything, 0.2)):
        assert matches.names.tolist() == ["eel", "cat", "Unknown", "Unknown"]
        assert matches[[1, 2]].names.tolist() == ["cat", "Unknown"]
        assert matches[0].names.tolist() == ["eel"]
    assert "cat" not in repr(everything)  # a thousand names would hide the answers


def test_a_calibration_keeps_the_names():
    index = open_index(class_names=("cat", "dog"))
    index.add(np.eye(2), [0, 1])
    neighbors = index.search(np.array([[9, 1], [1, 9], [1, 1.2]], "f"), k=1)
    calibration = calibrate(neighbors, [0, 1, 0], known_labels=[0, 1], maximize="precision")
    assert calibration.match(neighbors).names.tolist() == ["cat", "dog", "Unknown"]


def test_answers_of_an_index_without_names_have_none():
    with pytest.raises(ValueError, match="these labels are plain integers: the index was given no class"):
        match(neighbors_of([[4, 9]], [[0.1, 1]])).names  # noqa: B018


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_threshold_is_compared_in_the_dtype_of_the_distances(dtype):
    # 0.1 as float32 lies above 0.1 as float64.
    assert match_nearest(neighbors_of([[1]], [[0.1]], dtype), 0.1).labels.tolist() == [1]


# The labels and distances that TensorFlow Similarity's public tests vote on.
def test_majority_vote_takes_the_most_frequent_label_and_the_nearest_of_equals():
    neighbors = neighbors_of(
        [[10, 12, 10, 12, 10], [20, 13, 13, 20, 30]], [[1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]]
    )
    assert match_majority_vote(neighbors).labels.tolist() == [10, 20]


def test_majority_vote_measures_to_the_nearest_neighbor_of_the_winning_label():
    matches = match_majority_vote(neighbors_of([[3, 8, 8]], [[0.1, 0.4, 0.5]]), 0.3)
    assert matches.labels.tolist() == [UNKNOWN]
    np.testing.assert_allclose(matches.distances, [0.4])
    assert match_majority_vote(neighbors_of([[3, 8, 8]], [[0.1, 0.4, 0.5]]), 0.4).labels.tolist() == [8]


def test_neighbors_without_a_label_do_not_vote():
    assert match_majority_vote(neighbors_of([[UNKNOWN, UNKNOWN, 2]], [[0.1, 0.2, 0.3]])).labels.tolist() == [
        2
    ]
    none = match_majority_vote(neighbors_of([[UNKNOWN, UNKNOWN]], [[np.inf, np.inf]]))
    assert none.labels.tolist() == [UNKNOWN]


def test_matchers_go_by_name():
    neighbors = neighbors_of([[3, 8, 8]], [[0.1, 0.4, 0.5]])
    assert match(neighbors).labels.tolist() == [3]
    assert match(neighbors, matcher="majority_vote").labels.tolist() == [8]
    with pytest.raises(ValueError, match="matcher must be one of majority_vote, nearest; got 'vote'"):
        match(neighbors, matcher="vote")


def test_a_threshold_beyond_the_dtype_accepts_everything():
    assert match_nearest(neighbors_of([[1]], [[0.5]]), 1e300).labels.tolist() == [1]


@pytest.mark.parametrize("threshold", [np.array([0.1, 0.2]), "0.1", None])
def test_a_threshold_is_one_number(threshold):
    with pytest.raises(ValueError, match="threshold must be one number, or a dict of one"):
        match_nearest(neighbors_of([[1]], [[0.5]]), threshold)


def test_a_nan_threshold_is_refused():
    with pytest.raises(ValueError, match=r"threshold must be one number, or .*, got nan"):
        match_nearest(neighbors_of([[1]], [[0.5]]), np.nan)
