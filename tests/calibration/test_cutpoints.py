import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.calibration import METRICS, NotMet, calibrate
from simnb.index import UNKNOWN
from simnb.matching import match
from simnb.metrics import evaluate_matches

from .conftest import neighbors_of, small

MAXIMIZED = [name for name, more_is_better in METRICS.items() if more_is_better]


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
    maximize = data.draw(st.sampled_from(MAXIMIZED))
    known = [0, 1, 2]
    calibration = calibrate(neighbors, labels, known_labels=known, matcher=matcher, maximize=maximize)
    curves = calibration.curves
    for i, threshold in enumerate(curves.threshold):
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
    assert chosen == pytest.approx(calibration.rates, nan_ok=True)


def test_the_threshold_lies_midway_and_the_curves_are_those_counted_by_hand():
    calibration = calibrate(*small(), known_labels=[0, 1])
    assert calibration.threshold == pytest.approx(0.25)
    curves = calibration.curves
    np.testing.assert_allclose(curves.threshold, [-np.inf, 0.15, 0.25, 0.35, 0.65, 0.9], rtol=1e-6)
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_threshold_has_the_rates_of_the_candidate_that_accepts_the_same(dtype, population):
    neighbors, labels = population.draw(50, 0, dtype)
    curves = calibrate(neighbors, labels).curves
    seen = curves.distances
    for threshold in (-np.inf, *seen, *np.nextafter(seen, -np.inf), *np.nextafter(seen, np.inf), np.inf):
        expected = evaluate_matches(match(neighbors, threshold).labels, labels)
        assert curves.rates(threshold) == pytest.approx(expected)


def test_neighboring_floats_are_still_told_apart():
    low = np.float32(0.2)
    high = np.nextafter(low, np.float32(1))
    calibration = calibrate(neighbors_of([[0], [0]], [[low], [high]]), [0, 1])
    assert calibration.rates["precision"] == 1.0
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
    assert calibration.curves.threshold.tolist() == [-np.inf]
    assert calibration.rates["coverage"] == 0


def test_equal_distances_and_a_single_query_work():
    assert calibrate(neighbors_of([[0], [1]], [[0.5], [0.5]]), [0, 0]).threshold == 0.5
    one = calibrate(neighbors_of([[0]], [[0.5]]), [0])
    assert one.rates["f1"] == 1.0
    assert np.isnan(one.rates["false_acceptance"])


def test_without_known_labels_only_unknown_marks_an_unknown_query():
    neighbors, labels = small()
    assert calibrate(neighbors, labels).num_unknown == 1


@pytest.mark.parametrize("maximize", MAXIMIZED)
def test_the_result_says_what_was_maximized(maximize):
    calibration = calibrate(*small(), known_labels={0, 1}, maximize=maximize)
    assert calibration.cutpoint.goal.metric == maximize
    assert f"best {maximize} on 3 known and 2 unknown" in repr(calibration)


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@settings(deadline=None)
@given(st.data())
def test_a_target_is_met_where_any_threshold_meets_it_and_by_the_best_of_those(dtype, data):
    neighbors, labels = data.draw(searches(dtype))
    known = [0, 1, 2]
    metric = data.draw(st.sampled_from(sorted(METRICS)))
    if metric == "false_acceptance" and all(label in known for label in labels):
        return
    value = data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.6, 2 / 3, 0.9, 1.0]))
    chosen = calibrate(neighbors, labels, known_labels=known, targets={metric: value})[metric]

    # Brute force: what every threshold anybody could choose does.
    def rates(threshold):
        answers = match(neighbors, threshold).labels
        return {
            **evaluate_matches(answers, labels, known_labels=known),
            "answers": (answers != UNKNOWN).sum(),
        }

    distances = neighbors.distances[np.isfinite(neighbors.distances)]
    tried = [rates(t) for t in [-np.inf, *distances, *(distances + 0.01), np.inf]]
    if metric == "precision":
        tried = [one for one in tried if one["answers"]] or tried[:1]
    sign = 1 if METRICS[metric] else -1
    meeting = [one for one in tried if sign * one[metric] >= sign * value]
    if metric == "precision":
        meeting = [one for one in meeting if one["answers"]]
    own = rates(chosen.threshold)
    assert {name: own[name] for name in METRICS} == pytest.approx(chosen.rates, nan_ok=True)
    assert chosen.met == bool(meeting)
    assert isinstance(chosen, NotMet) != chosen.met
    if not meeting:
        assert sign * own[metric] == max(sign * one[metric] for one in tried)
        return
    first, second = ("precision", "recall") if metric in ("recall", "coverage") else ("recall", "precision")
    assert sign * own[metric] >= sign * value
    assert (own[first], own[second]) == max((one[first], one[second]) for one in meeting)


def test_targets_are_named_cutpoints_and_the_first_is_used():
    targets = {"careful": "precision >= 0.9", "false_acceptance": 0.5, "wide": "coverage>=0.9"}
    calibration = calibrate(*small(), known_labels=[0, 1], maximize="f1", targets=targets)
    assert list(calibration.cutpoints) == ["optimal", "careful", "false_acceptance", "wide"]
    assert calibration.threshold == calibration["optimal"].threshold
    assert [str(one) for one in calibration.cutpoints.values()] == [
        "best f1",
        "precision >= 0.9",
        "false_acceptance <= 0.5",
        "coverage >= 0.9",
    ]
    np.testing.assert_allclose(
        [one.threshold for one in calibration.cutpoints.values()], [0.25, 0.25, 0.25, 0.65], rtol=1e-6
    )
    only = calibrate(*small(), known_labels=[0, 1], targets=["recall >= 0.5", "precision >= 0.9"])
    assert list(only.cutpoints) == ["recall >= 0.5", "precision >= 0.9"]
    assert list(calibrate(*small(), targets="recall >= 0.5").cutpoints) == ["recall >= 0.5"]


def test_a_target_that_cannot_be_met_is_there_with_the_best_that_can_be_had():
    calibration = calibrate(*small(), known_labels=[0, 1], targets={"recall": 0.9, "precision": 0.9})
    chosen = calibration["recall"]
    assert isinstance(chosen, NotMet)
    assert chosen.rates["recall"] == pytest.approx(2 / 3)
    assert chosen.threshold == pytest.approx(0.25)  # of those with this recall the most precise
    assert calibration["precision"].met


def test_a_target_on_precision_is_not_met_by_giving_no_answer():
    neighbors = neighbors_of([[1], [1]], [[0.1], [0.2]])
    chosen = calibrate(neighbors, [0, 0], targets={"precision": 0.5}).cutpoint
    assert not chosen.met
    assert chosen.rates["precision"] == 0
    nothing = neighbors_of([[UNKNOWN]], [[np.inf]])
    assert not calibrate(nothing, [0], targets={"precision": 0.5}).cutpoint.met
    # To accept no unknown query it is enough.
    closest_is_unknown = neighbors_of([[1], [1]], [[0.1], [0.2]])
    chosen = calibrate(closest_is_unknown, [UNKNOWN, 1], targets={"false_acceptance": 0.5}).cutpoint
    assert chosen.met
    assert chosen.threshold == -np.inf


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            {"precision": 1.5},
            r"target 'precision' must be a number from 0 to 1, got 1.5$",
        ),
        ({"precision": 95}, r"got 95; for 95 % write 0.95"),
        ({"precision": -0.1}, r"must be a number from 0 to 1, got -0.1$"),
        ({"precision": float("nan")}, "must be a number from 0 to 1, got nan"),
        ({"precision": True}, "must be a number from 0 to 1, got True"),
        ({"precision": None}, "must be a number from 0 to 1, got None"),
        ({"speed": 0.5}, r"metric of target 'speed' must be one of .*; got 'speed'"),
        ({"careful": "speed >= 0.5"}, "metric of target 'careful' must be one of"),
        (
            {"careful": "precision <= 0.5"},
            r"must be precision >= 0.5 \(more is better\), got 'precision <= 0.5'",
        ),
        ({"strict": "false_acceptance >= 0.1"}, r"must be false_acceptance <= 0.1 \(less is better\)"),
        ({"careful": "precision"}, "must be a metric, >= or <=, and a share"),
        ({"careful": "precision >= high"}, "must end in a number from 0 to 1"),
        ({3: 0.5}, "names of targets must be strings"),
        ({"optimal": "precision >= 0.5"}, "names of targets must differ from 'optimal'"),
        (0.95, "targets must be a dict such as"),
        ({}, "needs a metric to maximize or targets to meet, got neither"),
    ],
)
def test_a_malformed_target_is_named(targets, message):
    maximize = "f1" if targets == {"optimal": "precision >= 0.5"} else None
    with pytest.raises(ValueError, match=message):
        calibrate(*small(), maximize=maximize, targets=targets)


def test_false_acceptance_needs_unknown_queries():
    with pytest.raises(ValueError, match=r"needs queries of unknown classes, got none among 2; label them"):
        calibrate(neighbors_of([[0], [1]], [[0.1], [0.2]]), [0, 1], targets={"false_acceptance": 0.1})


def test_majority_vote_of_one_is_the_nearest():
    neighbors, labels = small()
    one, other = (calibrate(neighbors, labels, matcher=m).rates for m in ("nearest", "majority_vote"))
    np.testing.assert_equal(one, other)
