import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb.calibration import calibrate
from simnb.data import Examples
from simnb.index import UNKNOWN, Neighbors, open_index
from simnb.matching import match
from simnb.metrics import evaluate_matches
from simnb.widgets import ThresholdExplorer

NAMES = ("cat", "<img src=x onerror=alert(1)>", "eel", "fox")


def examples(labels, first_id=0, shape=(6, 6, 3)):
    labels = np.asarray(labels)
    images = np.broadcast_to(np.uint8(7), (len(labels), *shape)).copy()
    return Examples(images, labels, NAMES, np.arange(len(labels)) + first_id)


@pytest.fixture(scope="module")
def given():
    """A gallery of three classes, 90 queries of four, and a calibration on half of them."""
    rng = np.random.default_rng(0)
    gallery, queries = examples(np.arange(60) % 3), examples(np.arange(90) % 4, 1000)
    centers = rng.normal(size=(4, 5))
    index = open_index()
    index.add(centers[gallery.labels] + rng.normal(size=(60, 5)) * 0.8, gallery.labels, ids=gallery.ids)
    neighbors = index.search(centers[queries.labels] + rng.normal(size=(90, 5)) * 0.8, k=3)
    targets = {
        "careful": "precision >= 0.9",
        "dream": "recall >= 0.9999",
        "strict": "false_acceptance <= 0.1",
    }
    calibration = calibrate(neighbors[:45], queries.labels[:45], known_labels=[0, 1, 2], targets=targets)
    return queries, neighbors, gallery, calibration


@pytest.fixture
def explorer(given):
    *search, calibration = given
    return ThresholdExplorer(*search, calibration=calibration)


def expected(given, threshold, matcher="nearest"):
    queries, neighbors, _, _ = given
    answers = match(neighbors, threshold, matcher=matcher).labels
    return evaluate_matches(answers, queries.labels, known_labels=[0, 1, 2])


@pytest.mark.parametrize("matcher", ["nearest", "majority_vote"])
def test_at_every_step_the_rates_are_those_of_matching(given, matcher):
    explorer = ThresholdExplorer(*given[:3], matcher=matcher)
    for step in range(0, explorer.slider.max + 1, 3):
        explorer.slider.value = step
        rates = expected(given, explorer.threshold, matcher)
        assert explorer.rates == pytest.approx({name: rates[name] for name in explorer.rates})
        assert sum(explorer.counts) == 90
        assert explorer.matches.accepted.sum() == sum(explorer.counts[i] for i in (0, 1, 3))


def test_every_query_can_be_the_next_one_that_is_accepted(explorer):
    accepted = []
    for step in range(explorer.slider.max + 1):
        explorer.slider.value = step
        accepted.append(int(explorer.matches.accepted.sum()))
    assert accepted == list(range(91))


def test_its_ends_reject_everything_and_accept_everything(explorer):
    explorer.slider.value = 0
    assert explorer.threshold == -np.inf
    assert explorer.value.value == "none"
    assert not explorer.matches.accepted.any()
    explorer.slider.value = explorer.slider.max
    assert explorer.matches.accepted.all()


def test_it_starts_at_the_calibrated_cutpoint_and_buttons_jump_to_each(given, explorer):
    calibration = given[3]
    assert not calibration["dream"].met
    assert explorer.threshold == pytest.approx(calibration["careful"].threshold)
    assert [button.description.split()[0] for button in explorer.buttons] == ["careful", "strict"]
    explorer.buttons[1].click()
    assert explorer.threshold == pytest.approx(calibration["strict"].threshold)
    assert "dream" in explorer.children[-1].value


def test_without_a_calibration_it_starts_at_the_best_f1_here_and_says_so(given):
    explorer = ThresholdExplorer(*given[:3])
    best = max(
        expected(given, limit)["f1"] for limit in [-np.inf, *np.unique(given[1].distances[:, 0]).tolist()]
    )
    assert explorer.rates["f1"] == pytest.approx(best)
    assert "promises nothing" in explorer.children[-1].value


def test_a_threshold_set_in_python_moves_the_slider_and_is_observed(explorer):
    seen = []
    explorer.observe(lambda change: seen.append(change["new"]), "threshold")
    explorer.threshold = 0.05
    assert seen == [0.05]
    assert explorer.threshold == 0.05  # the slider's step does not round it
    limits = explorer._curves.threshold[explorer._steps]
    assert explorer._curves.position(limits[explorer.slider.value]) == explorer._curves.position(0.05)


def test_a_number_can_be_typed_and_what_is_none_is_refused_with_a_word(explorer):
    explorer.value.value = "0.07"
    assert explorer.threshold == 0.07
    explorer.value.value = "<b>far</b>"
    assert explorer.threshold == 0.07
    assert "not a number: &lt;b&gt;far" in explorer.message.value
    explorer.value.value = "none"
    assert explorer.threshold == -np.inf
    assert explorer.message.value == ""
    with pytest.raises(ValueError, match="threshold must be a number, got NaN"):
        explorer.threshold = np.nan


def test_the_box_shows_a_threshold_in_short_and_does_not_round_it(explorer):
    explorer.threshold = 0.00569868
    assert explorer.value.value == "0.0057"
    assert explorer.threshold == 0.00569868
    explorer.value.value = "0.0712345"
    assert (explorer.value.value, explorer.threshold) == ("0.0712", 0.0712345)
    explorer.threshold = 12345.6
    assert explorer.value.value == "12345.6"
    assert "threshold 12345.6" in repr(explorer)


def test_a_threshold_that_is_a_distance_accepts_it(given, explorer):
    # In the float32 of the distances: the double next to it is the same threshold.
    nearest = np.sort(given[1].distances[:, 0])
    explorer.threshold = float(nearest[10])
    assert explorer.matches.accepted.sum() == 11


def test_the_borderline_queries_are_those_nearest_to_the_threshold(given, explorer):
    explorer.threshold = float(np.sort(given[1].distances[:, 0])[40])
    distances = given[1].distances[explorer.borderline, 0]
    np.testing.assert_array_equal(distances, np.sort(given[1].distances[:, 0])[37:45])
    assert explorer.strip.value.count("<figure") == 8
    assert explorer.strip.value.count("<img src=") == 16


def test_the_confusion_matrix_counts_answers_and_unknown(given, explorer):
    queries, neighbors, _, _ = given
    explorer.threshold = 0.05
    answers = match(neighbors, 0.05).labels
    counts = explorer._matrix.counts(explorer.matches.accepted)
    assert counts.shape == (4, 4)
    for row, label in enumerate([0, 1, 2, 3]):
        for column, answer in enumerate([0, 1, 2, UNKNOWN]):
            assert counts[row, column] == ((queries.labels == label) & (answers == answer)).sum()


def test_of_many_classes_the_largest_are_shown_and_the_others_together():
    rng = np.random.default_rng(1)
    names = tuple(f"class {i}" for i in range(200))
    labels = np.arange(400) % 200
    images = np.zeros((400, 4, 4, 1), np.uint8)
    gallery = Examples(images, labels, names, np.arange(400))
    queries = Examples(images, rng.permutation(labels), names, np.arange(400) + 1000)
    found = rng.integers(0, 400, (400, 1))
    neighbors = Neighbors(rng.random((400, 1), np.float32), found, labels[found])
    explorer = ThresholdExplorer(queries, neighbors, gallery)
    counts = explorer._matrix.counts(np.ones(400, bool))
    assert counts.shape == (20, 21)
    assert counts.sum() == 400
    assert explorer._matrix.rows[-1] == "other classes"


def test_names_are_text(explorer):
    shown = "".join(part.value for part in (explorer.confusion, explorer.strip, explorer.curves))
    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_marks_and_the_line_that_moves_are_in_the_curves(explorer):
    explorer.slider.value = 3
    first = explorer.curves.value
    explorer.slider.value = 50
    assert first != explorer.curves.value
    assert first.count('class="here"') == 1
    assert all(name in first for name in ("careful", "strict", "precision", "false acceptance"))


def test_queries_of_known_classes_alone_have_no_false_acceptance(given):
    queries, neighbors, gallery, _ = given
    known = queries.labels < 3
    explorer = ThresholdExplorer(queries[known], neighbors[known], gallery)
    assert "\N{EN DASH}" in explorer.table.value
    assert 'points="' in explorer.curves.value
    assert "false acceptance</text>" not in explorer.curves.value


def test_padded_neighbors_and_a_single_query_are_shown():
    gallery, queries = examples([0]), examples([0, 0], 1000, shape=(5, 9, 1))
    padding = [[0.5, np.inf], [np.inf, np.inf]]
    neighbors = Neighbors(
        np.array(padding, "f"), np.array([[0, -1], [-1, -1]]), np.array([[0, -1], [-1, -1]])
    )
    explorer = ThresholdExplorer(queries, neighbors, gallery)
    assert explorer.counts == (1, 0, 1, 0, 0)
    single = ThresholdExplorer(queries[:1], neighbors[:1], gallery)
    single.slider.value = 0
    assert single.counts == (0, 0, 1, 0, 0)


def test_another_distance_and_other_lengths_are_refused(given):
    queries, neighbors, gallery, calibration = given
    other = Neighbors(neighbors.distances, neighbors.ids, neighbors.labels, "euclidean")
    with pytest.raises(ValueError, match="distance of neighbors must be one of cosine; got 'euclidean'"):
        ThresholdExplorer(queries, other, gallery, calibration=calibration)
    with pytest.raises(ValueError, match="queries and neighbors must have the same length"):
        ThresholdExplorer(queries[:5], neighbors, gallery)


def test_queries_without_labels_are_refused_and_gallery_rows_without_are_no_class(given):
    queries, neighbors, gallery, _ = given
    some = Examples(queries.images, np.where(queries.ids < 1005, UNKNOWN, queries.labels), NAMES, queries.ids)
    with pytest.raises(
        ValueError, match="ThresholdExplorer needs examples with labels, but 5 of 90 have none"
    ):
        ThresholdExplorer(some, neighbors, gallery)
    labels = np.where(gallery.ids < 5, UNKNOWN, gallery.labels)
    rows = Examples(gallery.images, labels, NAMES, gallery.ids)
    found = Neighbors(
        neighbors.distances, neighbors.ids, np.where(neighbors.ids < 5, UNKNOWN, neighbors.labels), "cosine"
    )
    assert ThresholdExplorer(queries, found, rows).threshold > 0


def test_where_no_widget_runs_there_is_a_picture_and_no_figure_is_left_open(explorer):
    before = plt.get_fignums()
    explorer.threshold = 0.05
    assert repr(explorer) == "ThresholdExplorer(90 queries, threshold 0.05)"
    data = explorer._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == repr(explorer)
    assert "application/vnd.jupyter.widget-view+json" in data
    assert plt.get_fignums() == before
