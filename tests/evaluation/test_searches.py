import numpy as np
import pytest

from simnb.calibration import calibrate
from simnb.evaluation import closed_set, gallery_grows, held_out
from simnb.index import UNKNOWN, open_index
from simnb.metrics import evaluate_matches, recall_at_k


def blobs(count, seed, classes=4, spread=0.35):
    """Embeddings around one direction for each class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    return np.eye(8)[labels] + spread * rng.normal(size=(len(labels), 8)), labels


GALLERY, CALIBRATION, QUERIES = (blobs(40, seed) for seed in range(3))


def test_closed_set_is_a_search_and_its_metrics():
    measured = closed_set(GALLERY, QUERIES, depth=40)
    index = open_index()
    index.add(*GALLERY)
    found = index.search(QUERIES[0], k=40)
    assert measured.value("recall@1") == recall_at_k(found, QUERIES[1], 1)
    assert 0.5 < measured.value("map@r") < 1
    with pytest.raises(ValueError, match="every query's class must be in the gallery, but label 6 is not"):
        closed_set(GALLERY, (QUERIES[0], QUERIES[1] + 6))
    with pytest.raises(ValueError, match="but label -1 is not"):
        closed_set(GALLERY, (QUERIES[0], np.where(QUERIES[1] == 0, UNKNOWN, QUERIES[1])))


def test_held_out_classes_are_not_indexed_and_calibration_may_or_may_not_see_them():
    seen = held_out(GALLERY, CALIBRATION, QUERIES, [2, 3])
    assert (seen.calibration.num_known, seen.calibration.num_unknown) == (80, 80)
    blind = held_out(GALLERY, CALIBRATION, QUERIES, [2, 3], calibrated_with=[2])
    assert blind.calibration.num_unknown == 40
    kept = GALLERY[1] < 2
    index = open_index()
    index.add(GALLERY[0][kept], GALLERY[1][kept])
    answers = blind.calibration.match(index.search(QUERIES[0], k=1)).labels
    expected = evaluate_matches(answers, QUERIES[1], known_labels=[0, 1])
    for name, rate in expected.items():
        assert blind.report.value(name) == pytest.approx(rate)
    assert seen.calibration.gallery == index.fingerprint
    with pytest.raises(ValueError, match=r"calibrated_with must be among unknown, \[2\], got \[3\]"):
        held_out(GALLERY, CALIBRATION, QUERIES, [2], calibrated_with=[3])
    with pytest.raises(ValueError, match="the gallery must hold a class that is not unknown"):
        held_out(GALLERY, CALIBRATION, QUERIES, [0, 1, 2, 3])


def test_a_gallery_grows_class_by_class_and_the_last_step_is_the_whole():
    steps = gallery_grows(GALLERY, CALIBRATION, QUERIES, [3, 1, 0, 2], start=2)
    assert steps["classes"].tolist() == [2, 3, 4]
    assert steps["rows"].tolist() == [80, 120, 160]
    assert steps["recall@1"][-1] == pytest.approx(closed_set(GALLERY, QUERIES).value("recall@1"))
    assert np.isnan(steps["false_acceptance"]).tolist() == [False, False, True]
    # By hand: the middle step, with the first threshold and with its own.
    old, new = (open_index(), open_index())
    for index, classes in ((old, [3, 1]), (new, [3, 1, 0])):
        rows = np.isin(GALLERY[1], classes)
        index.add(GALLERY[0][rows], GALLERY[1][rows])
    first = calibrate(old.search(CALIBRATION[0], k=1), CALIBRATION[1], known_labels=[3, 1])
    again = calibrate(new.search(CALIBRATION[0], k=1), CALIBRATION[1], known_labels=[3, 1, 0])
    found = new.search(QUERIES[0], k=1)
    for suffix, threshold in (("", first.threshold), (", calibrated again", again.threshold)):
        answers = np.where(found.distances[:, 0] <= np.float32(threshold), found.labels[:, 0], UNKNOWN)
        expected = evaluate_matches(answers, QUERIES[1], known_labels=[3, 1, 0])
        assert steps[f"f1{suffix}"][1] == pytest.approx(expected["f1"])
    for order, start, message in (
        ([0, 0], 1, "order must name classes of the gallery, each once"),
        ([0, 7], 1, "order must name classes of the gallery, each once"),
        ([0, 1], 3, "start must be from 1 to the 2 classes of order, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            gallery_grows(GALLERY, CALIBRATION, QUERIES, order, start=start)


def test_a_growing_gallery_that_runs_out_of_unknown_queries_says_so_and_goes_on():
    targets = {"false_acceptance": 0.2}
    steps = gallery_grows(GALLERY, CALIBRATION, QUERIES, [0, 1, 2, 3], start=2, targets=targets)
    assert np.isnan(steps["recall, calibrated again"]).tolist() == [False, False, True]
    assert not np.isnan(steps["recall"]).any()
    with pytest.raises(ValueError, match="cutpoint 'precision' is not met"):
        gallery_grows(
            GALLERY, CALIBRATION, QUERIES, [0, 1], start=1, targets={"precision": 1}, confidence=0.9
        )


def test_bad_parts_are_named():
    with pytest.raises(ValueError, match=r"queries must be a pair \(embeddings, labels\), got ndarray"):
        closed_set(GALLERY, QUERIES[0])
    with pytest.raises(ValueError, match="gallery labels and embeddings must have the same length"):
        closed_set((GALLERY[0], GALLERY[1][:3]), QUERIES)
