import numpy as np
import pytest

from simnb.calibration import calibrate, compare_per_class
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import match
from simnb.metrics import evaluate_matches


def two_scales(count, seed, scale=3.0, dtype="float32"):
    """Queries of two classes, whose answers of class 1 lie ``scale`` times as far."""
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 2, count)
    right = rng.random(count) < 0.7
    labels = np.where(right, answers, np.where(rng.random(count) < 0.5, 1 - answers, UNKNOWN))
    distances = np.abs(rng.normal(np.where(right, 0.3, 0.6), 0.08)) * np.where(answers == 1, scale, 1.0)
    return Neighbors(distances.astype(dtype)[:, None], answers[:, None], answers[:, None]), labels


def test_each_class_gets_the_threshold_of_its_scale():
    chosen = calibrate(*two_scales(4_000, 0), per_class=True).cutpoint
    assert set(chosen.by_class) == {0, 1}
    assert chosen.by_class[0] == pytest.approx(0.45, abs=0.05)
    assert chosen.by_class[1] == pytest.approx(1.35, abs=0.15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"targets": {"precision": 0.9}}, {"maximize": "accuracy"}])
def test_the_rates_are_those_that_matching_gives(dtype, options):
    neighbors, labels = two_scales(500, 1, dtype=dtype)
    chosen = calibrate(neighbors, labels, per_class=True, **options).cutpoint
    answers = match(neighbors, chosen.by_class).labels
    assert evaluate_matches(answers, labels) == pytest.approx(chosen.rates)


def test_without_shrinkage_a_class_is_calibrated_on_its_own_queries():
    neighbors, labels = two_scales(500, 2)
    chosen = calibrate(neighbors, labels, per_class=True, shrinkage=0).cutpoint
    for label in (0, 1):
        own = neighbors.labels[:, 0] == label
        alone = calibrate(neighbors[own], labels[own])
        accepted = match(neighbors[own], alone.threshold).accepted
        np.testing.assert_array_equal(match(neighbors[own], chosen.by_class).accepted, accepted)


def test_a_class_of_few_queries_gets_nearly_the_threshold_of_all():
    neighbors, labels = two_scales(2_000, 3)
    few = np.flatnonzero(neighbors.labels[:, 0] == 1)[3:]
    rest = np.setdiff1d(np.arange(2_000), few)
    neighbors, labels = neighbors[rest], labels[rest]
    single = calibrate(neighbors, labels).threshold
    assert calibrate(neighbors, labels, per_class=True).cutpoint.by_class[1] == pytest.approx(single)
    own = calibrate(neighbors, labels, per_class=True, shrinkage=0).cutpoint.by_class[1]
    assert own != pytest.approx(single)
    heavy = calibrate(*two_scales(2_000, 3), per_class=True, shrinkage=1e9).cutpoint
    single = calibrate(*two_scales(2_000, 3)).threshold
    assert list(heavy.by_class.values()) == pytest.approx([single, single])


def test_labels_without_a_threshold_are_rejected():
    neighbors = Neighbors(np.array([[0.1], [0.1]]), np.zeros((2, 1), int), np.array([[0], [7]]))
    assert match(neighbors, {0: 0.5}).labels.tolist() == [0, UNKNOWN]
    with pytest.raises(
        ValueError, match="threshold must be one number, or a dict of one for each label, got"
    ):
        match(neighbors, {0: "far"})


def test_an_unmet_target_is_judged_on_all_classes_together():
    calibration = calibrate(*two_scales(500, 4), per_class=True, targets={"recall": 1.0})
    assert not calibration.cutpoint.met
    assert "by class" in repr(calibration)
    with pytest.raises(ValueError, match="no thresholds by class were found that keep recall >= 1; together"):
        calibration.limits()
    nothing = Neighbors(np.array([[0.1]]), np.zeros((1, 1), int), np.array([[1]]))
    assert not calibrate(nothing, [0], per_class=True, targets={"precision": 0.5}).cutpoint.met


def test_a_target_that_a_single_threshold_meets_is_met_by_class_too():
    fallen_back = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        answers, right = rng.integers(0, 10, 500), rng.random(500) < 0.95
        labels = np.where(right, answers, (answers + 1) % 10)
        distances = np.abs(rng.normal(np.where(right, 0.3, 0.6), 0.1))[:, None]
        neighbors = Neighbors(distances, answers[:, None], answers[:, None])
        single = calibrate(neighbors, labels, targets={"recall": 0.8}).cutpoint
        chosen = calibrate(neighbors, labels, targets={"recall": 0.8}, per_class=True).cutpoint
        assert chosen.met >= single.met
        measured = evaluate_matches(match(neighbors, chosen.by_class).labels, labels)
        assert measured["recall"] == pytest.approx(chosen.rates["recall"])
        fallen_back += len(set(chosen.by_class.values())) == 1
    assert 0 < fallen_back < 15


def test_queries_without_any_answer_get_no_threshold():
    nothing = Neighbors(np.array([[np.inf]]), np.array([[-1]]), np.array([[UNKNOWN]]))
    chosen = calibrate(nothing, [0], per_class=True).cutpoint
    assert chosen.by_class == {}
    assert chosen.rates["coverage"] == 0


def test_both_are_measured_on_queries_that_chose_neither():
    measured = compare_per_class(*two_scales(2_000, 5))
    assert measured["per_class"]["f1"] > measured["single"]["f1"] + 0.05
    # With one scale there is nothing to gain, and what many thresholds seem to gain is not there.
    neighbors, labels = two_scales(200, 6, scale=1.0)
    measured = compare_per_class(neighbors, labels, shrinkage=0)
    seeming = calibrate(neighbors, labels, per_class=True, shrinkage=0).rates["f1"]
    assert measured["per_class"]["f1"] < seeming
    assert compare_per_class(neighbors, labels, seed=1) == compare_per_class(neighbors, labels, seed=1)


def test_bad_input_is_named():
    neighbors, labels = two_scales(50, 0)
    for shrinkage in (-1, np.nan, np.inf, "much", True):
        with pytest.raises(ValueError, match="shrinkage must be a number of at least 0"):
            calibrate(neighbors, labels, per_class=True, shrinkage=shrinkage)
    with pytest.raises(ValueError, match="folds must be from 2 to the 50 queries, got 51"):
        compare_per_class(neighbors, labels, folds=51)
