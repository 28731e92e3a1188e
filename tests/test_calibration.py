import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.calibration import METRICS, Calibration, calibrate
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import match
from simnb.metrics import evaluate_matches


def neighbors_of(labels, distances, dtype="float32"):
    labels = np.array(labels)
    return Neighbors(np.array(distances, dtype), np.zeros(labels.shape, int), labels, "cosine")


@st.composite
def searches(draw, dtype):
    """Neighbors and true labels with ties, duplicates, unknown queries and short rows."""
    k = draw(st.integers(1, 3))
    count = draw(st.integers(1, 12))
    distance = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.7, np.inf, float(np.nextafter(np.float32(0.2), 1))])
    rows = [sorted(draw(st.lists(distance, min_size=k, max_size=k))) for _ in range(count)]
    label = st.integers(0, 2)
    found = [[draw(label) if d < np.inf else UNKNOWN for d in row] for row in rows]
    truth = [
        draw(st.integers(0, 2)),
        *draw(st.lists(st.integers(-1, 4), min_size=count - 1, max_size=count - 1)),
    ]
    return neighbors_of(found, rows, dtype), truth


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None)
@given(st.data())
def test_every_candidate_does_what_matching_then_does_and_none_scores_better(dtype, data):
    neighbors, labels = data.draw(searches(dtype))
    matcher = data.draw(st.sampled_from(["nearest", "majority_vote"]))
    maximize = data.draw(st.sampled_from(METRICS))
    known = [0, 1, 2]
    calibration = calibrate(neighbors, labels, known_labels=known, matcher=matcher, maximize=maximize)
    curves = calibration.curves
    for i, threshold in enumerate(curves.distance):
        predicted = match(neighbors, threshold, matcher=matcher).labels
        expected = evaluate_matches(predicted, labels, known_labels=known)
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(curves, name)[i], value, err_msg=name)

    # Brute force: every threshold anybody could choose.
    distances = neighbors.distances[np.isfinite(neighbors.distances)]
    scores = [
        evaluate_matches(match(neighbors, t, matcher=matcher).labels, labels, known_labels=known)[maximize]
        for t in [-np.inf, *distances, *(distances + 0.01), np.inf]
    ]
    chosen = evaluate_matches(
        match(neighbors, calibration.threshold, matcher=matcher).labels, labels, known_labels=known
    )
    assert chosen[maximize] == pytest.approx(max(scores))
    assert chosen == pytest.approx(calibration.cutpoint, nan_ok=True)


def small():
    # Right at 0.1 and 0.2, wrong at 0.4, unknown at 0.3 and 0.9.
    neighbors = neighbors_of([[0], [1], [1], [0], [1]], [[0.1], [0.2], [0.4], [0.3], [0.9]])
    return neighbors, [0, 1, 0, 5, UNKNOWN]


def test_the_threshold_lies_midway_and_the_curves_are_those_counted_by_hand():
    calibration = calibrate(*small(), known_labels=[0, 1])
    assert calibration.threshold == pytest.approx(0.25)
    curves = calibration.curves
    np.testing.assert_allclose(curves.distance, [-np.inf, 0.15, 0.25, 0.35, 0.65, 0.9], rtol=1e-6)
    np.testing.assert_allclose(curves.precision, [1, 1, 1, 2 / 3, 2 / 4, 2 / 5])
    np.testing.assert_allclose(curves.recall, [0, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curves.coverage, [0, 1 / 3, 2 / 3, 2 / 3, 1, 1])
    np.testing.assert_allclose(curves.false_acceptance, [0, 0, 0, 1 / 2, 1 / 2, 1])
    np.testing.assert_allclose(curves.accuracy, [2 / 5, 3 / 5, 4 / 5, 3 / 5, 3 / 5, 2 / 5])
    np.testing.assert_allclose(curves.f1, [0, 1 / 2, 4 / 5, 2 / 3, 4 / 7, 1 / 2])
    assert (calibration.num_known, calibration.num_unknown, calibration.k) == (3, 2, 1)


def test_recall_does_not_reach_1_where_neighbors_are_wrong():
    curves = calibrate(*small(), known_labels=[0, 1]).curves
    assert curves.recall.max() == pytest.approx(2 / 3)


def test_the_query_that_sets_the_last_threshold_is_accepted():
    neighbors = neighbors_of([[0], [0]], [[0.1], [0.3]])
    calibration = calibrate(neighbors, [0, 0])
    assert match(neighbors, calibration.threshold).labels.tolist() == [0, 0]
    assert calibration.threshold == np.float32(0.3)


def test_neighboring_floats_are_still_told_apart():
    low = np.float32(0.2)
    high = np.nextafter(low, np.float32(1))
    calibration = calibrate(neighbors_of([[0], [0]], [[low], [high]]), [0, 1])
    assert calibration.cutpoint["precision"] == 1.0
    assert low <= calibration.threshold < high


@pytest.mark.parametrize(
    ("maximize", "expected"), [("precision", 0.25), ("recall", 0.25), ("accuracy", 0.25), ("coverage", 0.65)]
)
def test_of_equally_good_thresholds_the_most_precise_then_the_largest_is_taken(maximize, expected):
    assert calibrate(*small(), known_labels=[0, 1], maximize=maximize).threshold == pytest.approx(expected)


def test_everything_is_rejected_where_no_query_finds_its_class():
    neighbors = neighbors_of([[1], [1]], [[0.1], [0.2]])
    assert calibrate(neighbors, [0, 0]).threshold == -np.inf
    empty = neighbors_of([[UNKNOWN], [UNKNOWN]], [[np.inf], [np.inf]])
    calibration = calibrate(empty, [0, 0])
    assert calibration.curves.distance.tolist() == [-np.inf]
    assert calibration.cutpoint["coverage"] == 0


def test_equal_distances_and_a_single_query_work():
    assert calibrate(neighbors_of([[0], [1]], [[0.5], [0.5]]), [0, 0]).threshold == 0.5
    one = calibrate(neighbors_of([[0]], [[0.5]]), [0])
    assert one.cutpoint["f1"] == 1.0
    assert np.isnan(one.cutpoint["false_acceptance"])


def test_without_known_labels_only_unknown_marks_an_unknown_query():
    neighbors, labels = small()
    assert calibrate(neighbors, labels).num_unknown == 1


def test_it_prints_and_displays_as_a_small_table():
    calibration = calibrate(*small(), known_labels=[0, 1])
    lines = repr(calibration).splitlines()
    assert lines[0] == (
        "Match where cosine distance <= 0.25: best f1 on 3 known and 2 unknown queries (nearest, k=1)"
    )
    assert lines[1].split() == [
        "threshold",
        "precision",
        "recall",
        "f1",
        "accuracy",
        "coverage",
        "false_acceptance",
    ]
    assert lines[2].split() == ["0.25", "100.0%", "66.7%", "80.0%", "80.0%", "66.7%", "0.0%"]
    html = calibration._repr_html_()
    assert "cosine distance &lt;= 0.25" in html
    assert html.count("<td>") == html.count("<th>") == 7


def test_json_is_strict_and_comes_back_whole():
    for neighbors, labels in (small(), (neighbors_of([[1]], [[0.1]]), [0])):
        calibration = calibrate(neighbors, labels, matcher="majority_vote", maximize="accuracy")
        text = calibration.to_json()
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        copy = Calibration.from_json(text)
        assert repr(copy) == repr(calibration)
        assert copy.threshold == calibration.threshold
        assert (
            match(neighbors, copy.threshold).labels.tolist()
            == match(neighbors, calibration.threshold).labels.tolist()
        )
        for name in ("distance", "precision", "f1", "false_acceptance"):
            np.testing.assert_array_equal(getattr(copy.curves, name), getattr(calibration.curves, name))


@pytest.mark.parametrize("maximize", METRICS)
def test_the_result_says_what_was_maximized(maximize):
    calibration = calibrate(*small(), known_labels={0, 1}, maximize=maximize)
    assert calibration.maximize == maximize
    assert f"best {maximize} on 3 known and 2 unknown" in repr(calibration)


def test_json_of_another_version_is_refused():
    for text in ("[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "curves": {}}', "1", "no"):
        with pytest.raises(ValueError, match="the text is not a calibration of format 1"):
            Calibration.from_json(text)


def test_bad_input_is_named():
    neighbors, labels = small()
    with pytest.raises(ValueError, match=r"maximize must be one of .*; got 'speed'"):
        calibrate(neighbors, labels, maximize="speed")
    with pytest.raises(ValueError, match="labels and neighbors must have the same length, got 2 and 5"):
        calibrate(neighbors, labels[:2])
    with pytest.raises(ValueError, match="neighbors must hold at least one example, got none"):
        calibrate(neighbors[:0], [])
    with pytest.raises(
        ValueError, match=r"at least one query of a known class, got none \(5 unknown queries\)"
    ):
        calibrate(neighbors, labels, known_labels=[8])
    with pytest.raises(ValueError, match="matcher must be one of"):
        calibrate(neighbors, labels, matcher="farthest")
