"""The five outcomes of a match, drawn with images and as shares."""

import numpy as np
import pytest

from simnb import plots
from simnb.calibration import calibrate
from simnb.data import from_arrays
from simnb.index import Neighbors
from simnb.matching import match

NAMES = ("cat", "dog", "owl")


@pytest.fixture
def search():
    """Seven queries: right, right, wrong, missed, let in, kept out, kept out, at a threshold of 0.5."""
    images = np.full((10, 4, 4, 3), 99, np.uint8)
    gallery = from_arrays(images[:3], [0, 1, 1], class_names=NAMES, ids=[10, 11, 12])
    queries = from_arrays(images[3:], [0, 1, 0, 1, 2, 2, 2], class_names=NAMES)
    nearest = np.array([[10], [11], [11], [12], [10], [10], [12]])
    labels = np.array([[0], [1], [1], [1], [0], [0], [1]])
    distances = np.array([[0.001], [0.01], [0.1], [0.9], [0.3], [0.7], [0.8]])
    return queries, Neighbors(distances, nearest, labels), gallery


def words(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_each_outcome_is_counted_with_its_share_of_the_known_or_the_unknown(search):
    queries, neighbors, gallery = search
    figure = plots.match_outcomes(queries, neighbors, match(neighbors, 0.5), gallery)
    found = words(figure)
    assert [word for word in found if word.endswith("%")] == [
        "2: 50%", "1: 25%", "1: 25%", "1: 33.3%", "2: 66.7%",
    ]  # fmt: skip
    assert "4 queries, known: the class is in the gallery" in found
    assert "3 queries, unknown" in found
    assert figure.axes[0].get_title("left").startswith("57.1% of 7 queries")
    assert len(figure.axes[0].images) == 10


def test_an_outcome_without_a_query_is_said_to_be_none(search):
    queries, neighbors, gallery = search
    figure = plots.match_outcomes(queries, neighbors, match(neighbors), gallery)
    assert words(figure).count("none") == 2  # missed and kept out
    assert len(figure.axes[0].images) == 6


def test_a_name_is_shown_as_it_is(search):
    queries, neighbors, gallery = search
    gallery = from_arrays(gallery.images, gallery.labels, class_names=("$a$", "b", "c"), ids=gallery.ids)
    figure = plots.match_outcomes(queries, neighbors, match(neighbors, 0.5), gallery)
    figure.canvas.draw()
    assert "owl → \\$a\\$" in words(figure)


@pytest.mark.parametrize("log", [False, True])
def test_at_every_threshold_the_five_shares_add_up_to_all_queries(search, log):
    queries, neighbors, _ = search
    chosen = calibrate(neighbors, queries.labels, known_labels=[0, 1], targets={"none": "coverage >= 0.5"})
    ax = plots.outcome_shares(chosen, log=log)
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in ax.collections]
    assert tops[-1] == pytest.approx(1)
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    right, wrong, missed, let_in, kept_out = (float(label.split("%")[0]) for label in labels)
    assert right + wrong + missed + let_in + kept_out == pytest.approx(100, abs=0.3)
    assert right + wrong + missed == pytest.approx(400 / 7, abs=0.2)
    low, high = ax.get_xlim()
    assert (low, high) == pytest.approx((-3, np.log10(0.9)) if log else (0, 0.9))


def test_without_unknown_queries_there_are_only_three(search):
    queries, neighbors, _ = search
    chosen = calibrate(neighbors[:4], queries.labels[:4], targets={"some": "coverage >= 0.5"})
    ax = plots.outcome_shares(chosen)
    assert not [line for line in ax.lines if line.get_color() == "white"]
