import json
import re
import warnings

import numpy as np
import pytest

from simnb.calibration import Calibration, NotMet, calibrate, compare_distances
from simnb.index import UNKNOWN, Neighbors, open_index
from simnb.matching import match

from .conftest import neighbors_of, small

NAMES = ["precision", "recall", "f1", "accuracy", "coverage", "false_acceptance"]


def test_it_prints_and_displays_as_a_small_table():
    targets = {"careful": "precision >= 0.9", "all": "recall >= 0.9"}
    calibration = calibrate(*small(), known_labels=[0, 1], maximize="f1", targets=targets)
    lines = repr(calibration).splitlines()
    assert lines[0] == (
        "Match where cosine distance <= 0.25: best f1 on 3 known and 2 unknown queries (nearest, k=1)"
    )
    assert lines[1].split() == ["cutpoint", "goal", "threshold", *NAMES]
    rates = ["100.0%", "66.7%", "80.0%", "80.0%", "66.7%", "0.0%"]
    assert lines[2].split() == ["optimal", "best", "f1", "0.25", *rates]
    assert lines[3].split() == ["careful", "precision", ">=", "0.9", "0.25", *rates]
    assert lines[4].split() == ["all", "NOT", "MET:", "recall", ">=", "0.9", "0.25", *rates]
    assert len({len(line) for line in lines[1:]}) == 1
    html = calibration._repr_html_()
    assert "cosine distance &lt;= 0.25" in html
    assert (html.count("<tr>"), html.count("<td")) == (4, 27)
    assert html.count("text-align: left") == 2 * 4  # names and goals


def test_names_are_shown_as_text():
    html = calibrate(*small(), targets={"<img src=x>": "recall >= 0.1"})._repr_html_()
    assert "<img" not in html
    assert "&lt;img src=x&gt;" in html


def test_an_unmet_first_target_is_said_in_the_caption():
    text = repr(calibrate(*small(), known_labels=[0, 1], targets={"recall": 0.9}))
    assert text.startswith("No threshold keeps recall >= 0.9 on 3 known and 2 unknown queries")


def equal(one, other):
    assert repr(one) == repr(other)
    assert one.to_json() == other.to_json()
    for name in ("threshold", *NAMES):
        np.testing.assert_array_equal(getattr(one.curves, name), getattr(other.curves, name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_json_is_strict_and_comes_back_whole(dtype, population):
    drawn = population.draw(500, 0, dtype)
    cases = [
        calibrate(*small(), matcher="majority_vote", maximize="accuracy", gallery="5 rows, 00"),
        calibrate(neighbors_of([[1]], [[0.1]], dtype), [0], targets={"recall": 0.5}),
        calibrate(*drawn, targets={"precision": 0.8, "recall": 1.0}, confidence=0.9, seed=3),
        calibrate(*drawn, per_class=True),
    ]
    assert any(isinstance(one, NotMet) for case in cases for one in case.cutpoints.values())
    for calibration in cases:
        text = calibration.to_json()
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        copy = Calibration.from_json(text)
        equal(copy, calibration)
        assert copy.gallery == calibration.gallery
        assert copy.curves.distances.dtype == calibration.curves.distances.dtype
        if copy.cutpoint.met:
            neighbors = drawn[0] if len(calibration.curves) > 10 else small()[0].first(1)
            np.testing.assert_array_equal(copy.match(neighbors).labels, calibration.match(neighbors).labels)


def test_json_that_is_cut_short_changed_or_of_another_version_is_refused(population):
    whole = calibrate(*population.draw(20, 0), targets={"precision": 0.5}).to_json()
    for text in ("[]", "{}", "1", "no", '{"a": 1}', whole[:-10]):
        with pytest.raises(ValueError, match=r"the text is not a Calibration, as its to_json writes it"):
            Calibration.from_json(text)
    with pytest.raises(ValueError, match=r"must be of format 2, got 3, of another version of simnb; install"):
        Calibration.from_json(whole.replace('"format": 2', '"format": 3'))
    for change in (
        ('"k"', '"l"'),
        ('"cutpoints": [', '"cutpoints": [], "others": ['),
        ('"num_known"', '"num"'),
        ('"float64"', '"float16"'),
        ('"accepted_right": [0, ', '"accepted_right": ['),
        ('"metric": "precision"', '"metric": "speed"'),
        ('"k": 1', '"k": 0'),
        ('"matcher": "nearest"', '"matcher": "farthest"'),
        ('"gallery": null', '"gallery": 7'),
        ('"distances": [', '"distances": [9.5, '),
    ):
        assert change[0] in whole
        with pytest.raises(ValueError, match="not a whole Calibration of format 2"):
            Calibration.from_json(whole.replace(*change))
    for pattern, changed in (
        (r'"num_known": (\d+)', r'"num_known": [\1]'),
        (r'"num_known": \d+', f'"num_known": {2**63}'),
    ):
        text, times = re.subn(pattern, changed, whole)
        assert times
        with pytest.raises(ValueError, match="not a whole Calibration of format 2"):
            Calibration.from_json(text)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"targets": {"precision": 0.9}}, {"per_class": True}])
def test_matching_does_what_was_counted(population, dtype, options):
    neighbors, labels = population.draw(600, 1, dtype)
    calibration = calibrate(neighbors, labels, **options)
    answers = calibration.match(neighbors).labels
    known, accepted = labels != UNKNOWN, answers != UNKNOWN
    assert calibration.rates["coverage"] == accepted[known].mean()
    assert calibration.rates["precision"] == (answers == labels)[accepted].mean()
    assert calibration.rates["false_acceptance"] == accepted[~known].mean()


def test_a_cutpoint_is_matched_with_by_name(population):
    neighbors, labels = population.draw(600, 1)
    calibration = calibrate(neighbors, labels, maximize="f1", targets={"strict": "false_acceptance <= 0.05"})
    for name in ("optimal", "strict"):
        np.testing.assert_array_equal(
            calibration.match(neighbors, name).labels, match(neighbors, calibration[name].threshold).labels
        )
    assert calibration["strict"].threshold < calibration["optimal"].threshold
    with pytest.raises(ValueError, match="cutpoint must be one of optimal, strict; got 'loose'"):
        calibration.match(neighbors, "loose")


def test_a_target_that_is_not_met_is_not_matched_with():
    neighbors, labels = small()
    calibration = calibrate(neighbors, labels, known_labels=[0, 1], targets={"recall": 0.9})
    with pytest.raises(
        ValueError,
        match=r"cutpoint 'recall' is not met: .* the best on the calibration queries is recall 0.6667 at",
    ):
        calibration.match(neighbors)


def test_another_distance_or_too_few_neighbors_are_refused():
    neighbors, labels = small()
    calibration = calibrate(neighbors, labels)
    other = neighbors_of(neighbors.labels, neighbors.distances, distance="euclidean")
    with pytest.raises(ValueError, match="neighbors must be by cosine distance as calibrated, got euclidean"):
        calibration.match(other)
    with pytest.raises(ValueError, match="neighbors must be by cosine distance as calibrated, got euclidean"):
        calibration.compare_distances(other)
    for wrong in (neighbors.distances, match(neighbors)):
        with pytest.raises(
            ValueError, match=r"neighbors must be Neighbors, as index.search gives them, got \w+"
        ):
            calibration.match(wrong)
        with pytest.raises(ValueError, match="neighbors must be Neighbors"):
            calibrate(wrong, labels)
    three = neighbors_of([[0, 0, 1]] * 4, [[0.1, 0.2, 0.3]] * 4)
    voted = calibrate(three, [0] * 4, matcher="majority_vote")
    with pytest.raises(
        ValueError, match=r"must have the 3 a query that were calibrated with, got 1; search with k=3"
    ):
        voted.match(neighbors)


def test_the_nearest_needs_one_neighbor_however_many_were_calibrated_with():
    three = neighbors_of([[0, 1, 1]] * 4, [[0.1, 0.2, 0.3]] * 4)
    assert calibrate(three, [0] * 4).match(three.first(1)).labels.tolist() == [0] * 4


def test_of_more_neighbors_the_first_are_used():
    three = neighbors_of([[0, 1, 1]] * 4, [[0.1, 0.2, 0.3]] * 4)
    calibration = calibrate(three.first(1), [0] * 4, matcher="majority_vote")
    assert calibration.match(three).labels.tolist() == [0] * 4


def test_a_changed_gallery_warns():
    index = open_index()
    index.add(np.eye(4), [0, 0, 1, 1])
    queries = np.eye(4) + 0.1
    calibration = calibrate(index.search(queries, k=1), [0, 0, 1, 1], gallery=index)
    assert calibration.gallery == index.fingerprint
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calibration.match(index.search(queries, k=1), gallery=index.fingerprint)
        calibration.match(index.search(queries, k=1), gallery="4 rows")  # all that Milvus knows
    calibration.match(index.search(queries, k=1), gallery=index)
    index.update([0], labels=[1])
    with pytest.warns(RuntimeWarning, match=r"not the one of the calibration \(4 rows, but not the same\)"):
        calibration.match(index.search(queries, k=1), gallery=index.fingerprint)
    index.add(np.eye(4)[:1], [0])
    with pytest.warns(RuntimeWarning, match=r"\(4 rows then, 5 rows now\).*calibrate again"):
        calibration.match(index.search(queries, k=1), gallery=index.fingerprint)


def test_queries_at_other_distances_warn(population):
    calibration = calibrate(*population.draw(1_000, 0))
    same, _ = population.draw(1_000, 1)
    calibration.match(same)  # warnings are errors
    farther = Neighbors(same.distances + 0.1, same.ids, same.labels, "cosine")
    with pytest.warns(
        RuntimeWarning, match=r"not like those of the calibration: .*% of them lie within .* instead of"
    ):
        calibration.match(farther)
    calibration.match(farther[:20])  # too few to tell


def test_distances_are_compared_with_all_of_the_calibration_queries(population):
    neighbors, labels = population.draw(200, 0)
    distances = neighbors.distances.copy()
    distances[:30] = np.inf
    answers = neighbors.labels.copy()
    answers[:30] = UNKNOWN
    neighbors = Neighbors(distances, neighbors.ids, answers, "cosine")
    calibration = calibrate(neighbors, labels)
    np.testing.assert_array_equal(np.sort(distances[:, 0]), calibration._distances())
    assert calibration.compare_distances(neighbors).statistic == 0


def test_the_alarm_is_rarely_false():
    rng = np.random.default_rng(0)
    values = [compare_distances(rng.random(200), rng.random(100)).p_value for _ in range(1_000)]
    assert 0.02 < np.mean(np.array(values) < 0.05) < 0.08
    assert np.mean(np.array(values) < 0.001) <= 0.004


def test_a_shift_is_named_with_its_side_and_place():
    drift = compare_distances([0.1, 0.2, 0.3, 0.4], [0.1, 0.5, 0.6, np.inf])
    assert drift.statistic == 0.75
    assert drift.distance == pytest.approx(0.4)
    assert (
        str(drift)
        == "25.0% of them lie within distance 0.4, instead of 100.0% (Kolmogorov-Smirnov, p = 0.23)"
    )
    assert drift.shares == (1.0, 0.25)
    assert compare_distances([0.3, 0.4], [0.1, 0.2]).shares == (0.0, 1.0)
    with pytest.raises(ValueError, match="other must hold at least one example"):
        compare_distances([0.1], [])
    with pytest.raises(ValueError, match="one must not be NaN, got 1 of them"):
        compare_distances([np.nan], [0.1])


def test_queries_whose_neighbor_has_no_label_are_no_drift(population):
    neighbors, labels = population.draw(300, 0)
    answers = neighbors.labels.copy()
    answers[::5] = UNKNOWN
    neighbors = Neighbors(neighbors.distances, neighbors.ids, answers, "cosine")
    calibration = calibrate(neighbors, labels)
    calibration.match(neighbors)  # warnings are errors
    assert calibration.compare_distances(neighbors).statistic == 0


def test_samples_that_hardly_differ_are_compared_without_a_word():
    one = np.linspace(0, 1, 300)
    other = one.copy()
    other[150] += 1e-9  # the exact value fails on this
    assert compare_distances(one, other).p_value > 0.99


def test_a_gallery_without_labels_is_named():
    neighbors = neighbors_of([[UNKNOWN], [UNKNOWN]], [[0.1], [0.2]])
    with pytest.raises(
        ValueError, match="needs a labelled gallery, but no neighbor of any query has a label"
    ):
        calibrate(neighbors, [0, 0])
    nothing = calibrate(neighbors_of([[UNKNOWN]], [[np.inf]]), [0], targets={"precision": 0.9})
    with pytest.raises(ValueError, match="no query has a neighbor with a label, so that nothing can keep"):
        _ = nothing.threshold


def test_thresholds_by_class_are_no_single_one(population):
    calibration = calibrate(*population.draw(200, 0), per_class=True)
    with pytest.raises(ValueError, match=r"each class has a threshold of its own: use limits\(\)"):
        _ = calibration.threshold
    assert calibration.limits() == calibration.cutpoint.by_class


def test_warnings_name_the_line_that_asked(population):
    calibration = calibrate(*population.draw(200, 0), gallery="3 rows")
    far = Neighbors(np.full((100, 1), 0.9), np.zeros((100, 1), int), np.zeros((100, 1), int), "cosine")
    with pytest.warns(RuntimeWarning) as caught:
        calibration.match(far, gallery="4 rows")
    assert [warning.filename for warning in caught] == [__file__, __file__]
    assert len({warning.lineno for warning in caught}) == 1
