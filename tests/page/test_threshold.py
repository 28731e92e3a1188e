import numpy as np
import pytest

from simnb.calibration import calibrate
from simnb.index import open_index
from simnb.page import write_page
from simnb.page.threshold import RATES, calibrated_steps, steps_of

from .conftest import Page, collection


def calibration(count=200, **options):
    """Of queries that are half of a collection; class 2 is not in the gallery."""
    examples, embeddings = collection(count)
    gallery = (np.arange(count) < count // 2) & (examples.labels != 2)
    queries = np.arange(count) >= count // 2
    index = open_index(distance="euclidean")
    index.add(embeddings[gallery], examples.labels[gallery])
    neighbors = index.search(embeddings[queries], k=3)
    return calibrate(neighbors, examples.labels[queries], known_labels=[0, 1], **options)


def thresholds(steps):
    return np.frombuffer(steps["thresholds"], np.float32)


def test_a_step_says_what_the_calibration_says_of_its_threshold():
    made = calibration()
    steps = calibrated_steps(made, "euclidean")
    found = thresholds(steps)
    assert (np.diff(found) > 0).all()
    assert (found[0], found[-1]) == (-np.inf, np.inf)
    assert (steps["known"], steps["unknown"]) == (made.num_known, made.num_unknown)
    for name in RATES:
        rates = np.frombuffer(steps["rates"][name], np.float32)
        assert len(rates) == len(found)
        expected = [made.curves.rates(threshold)[name] for threshold in found]
        np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_it_starts_at_the_first_cutpoint_that_is_met_and_marks_all():
    made = calibration(
        targets={"impossible": "precision >= 1", "low": "false_acceptance <= 0.1"}, confidence=0.99
    )
    steps = calibrated_steps(made, "euclidean")
    assert [mark["met"] for mark in steps["marks"]] == [False, True]
    assert steps["start"] == steps["marks"][1]["step"]
    for mark, cutpoint in zip(steps["marks"], made.cutpoints.values(), strict=True):
        assert thresholds(steps)[mark["step"]] == np.float32(cutpoint.threshold)
    assert steps["marks"][1]["goal"] == "false acceptance ≤ 0.1 with confidence 0.99"


def test_a_threshold_for_each_class_is_told_as_such():
    steps = calibrated_steps(calibration(maximize="f1", per_class=True), "euclidean")
    (mark,) = steps["marks"]
    assert mark["byClass"]
    assert mark["goal"] == "best F1"


def test_answers_by_a_vote_are_told_as_such():
    assert calibrated_steps(calibration(), "euclidean")["vote"] == 0
    assert calibrated_steps(calibration(matcher="majority_vote"), "euclidean")["vote"] == 3


def test_many_thresholds_are_thinned_out_but_no_cutpoint_is_lost():
    made = calibration(3000, maximize="f1", targets={"precision": 0.9})
    steps = calibrated_steps(made, "euclidean")
    assert len(made.curves) > 1000
    assert len(thresholds(steps)) <= 403
    assert {np.float32(cut.threshold) for cut in made.cutpoints.values()} <= set(thresholds(steps))


def test_without_a_calibration_it_starts_where_nothing_is_rejected():
    distances = np.array([[0.5, np.inf], [0.25, 0.75]], np.float32)
    steps = steps_of(distances)
    assert thresholds(steps).tolist() == [-np.inf, 0.25, 0.5, 0.75, np.inf]
    assert steps["start"] == 4
    assert steps["marks"] == []
    assert thresholds(steps_of(np.full((1, 1), np.inf, np.float32))).tolist() == [-np.inf, np.inf]


def test_a_calibration_of_another_distance_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="calibration must be of the page's distance, cosine, got one of eucl"
    ):
        write_page(tmp_path / "page.html", *collection(), calibration=calibration())


def test_the_page_gets_the_steps(tmp_path):
    made = calibration()
    path = write_page(tmp_path / "page.html", *collection(), distance="euclidean", calibration=made)
    page = Page(path)
    assert page.state["limit"] == calibrated_steps(made, "euclidean")
