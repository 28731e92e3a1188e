import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import binom, skew

from simnb import plots
from simnb.data import from_arrays
from simnb.index import UNKNOWN, Neighbors


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def examples(labels, first_id=0, names=("cat", "dog", "$<b>")):
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    return from_arrays(images, labels, class_names=names, ids=np.arange(first_id, first_id + len(labels)))


def neighbors_of(ids, distances, gallery):
    ids = np.array(ids)
    return Neighbors(
        np.array(distances, "float32"), ids, np.where(ids < 0, UNKNOWN, gallery.labels[ids]), "cosine"
    )


def words(figure):
    ax = figure.axes[0]
    return [text.get_text() for text in ax.texts] + [ax.get_title(loc="left")]


def paint(figure):
    figure.canvas.draw()


def test_the_pairs_that_are_confused_most_come_first_with_their_surest_mistakes():
    gallery, queries = examples([0, 1, 2]), examples([0, 0, 1, 1, 2, 2], first_id=10)
    nearest = [[1], [1], [0], [1], [0], [2]]  # cat as dog twice, dog as cat once, the third as cat once
    figure = plots.confused_pairs(
        queries, neighbors_of(nearest, [[0.3], [0.1], [0.2], [0], [0], [0]], gallery), gallery
    )
    texts = words(figure)
    assert texts[-1] == "4 of 4 mistakes are among 2 pairs of classes"
    assert texts.index("cat\ndog") < texts.index("cat\n\\$<b>")
    assert "3" in texts
    assert "1" in texts
    # Query, neighbor, query, neighbor: in the order of their distances, then those of the other pair.
    shades = [int(image.get_array().ravel()[0]) for image in figure.axes[0].images]
    displayed = [value // 4 * 4 // 4 * 255 // 63 for value in range(6)]
    assert len(shades) == 8
    assert shades[0::2] == [displayed[q] for q in (1, 2, 0, 4)]
    assert figure.axes[0].get_title(loc="left")
    paint(figure)


def test_fewer_pairs_and_mistakes_may_be_drawn():
    gallery, queries = examples([0, 1, 2]), examples([0, 0, 1, 1, 2, 2], first_id=10)
    neighbors = neighbors_of([[1], [1], [0], [1], [0], [2]], np.zeros((6, 1)), gallery)
    figure = plots.confused_pairs(queries, neighbors, gallery, num_pairs=1, each=2)
    assert len(figure.axes[0].images) == 4
    assert words(figure)[-1] == "3 of 4 mistakes are among 1 pair of classes"


def test_where_nothing_is_confused_it_is_said():
    gallery, queries = examples([0, 1]), examples([0, 1], first_id=10)
    figure = plots.confused_pairs(queries, neighbors_of([[0], [-1]], [[0], [np.inf]], gallery), gallery)
    assert "✓ No class is taken for another." in words(figure)
    assert words(figure)[-1] == "None of 2 queries is confused"
    paint(figure)


def test_confused_pairs_refuse_what_does_not_fit():
    gallery, queries = examples([0, 1]), examples([0, 1], first_id=10)
    neighbors = neighbors_of([[0], [1]], [[0], [0]], gallery)
    with pytest.raises(ValueError, match="queries and neighbors must have the same length, got 2 and 1"):
        plots.confused_pairs(queries, neighbors[:1], gallery)
    with pytest.raises(ValueError, match="each must be an integer of at least 1, got 0"):
        plots.confused_pairs(queries, neighbors, gallery, each=0)


def test_every_row_counts_as_often_as_it_is_found():
    ids = np.array([[0, 1], [0, 2], [0, -1]])
    ax = plots.hubness(Neighbors(np.zeros((3, 2)), ids, np.zeros((3, 2), int)), 5)
    rows = next(line for line in ax.lines if line.get_gid() == "rows")
    even = next(line for line in ax.lines if line.get_gid() == "even")
    assert rows.get_xdata().tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(rows.get_ydata(), [2 / 5, 2 / 5, 0, 1 / 5])
    np.testing.assert_allclose(even.get_ydata(), binom.pmf([0, 1, 2, 3], 3, 2 / 5))
    assert ax.get_title(loc="left") == "40.0% of the gallery are never found, one row 3 times"
    assert f"skewness {skew([3, 1, 1, 0, 0]):.2f}" in [text.get_text() for text in ax.texts]
    assert ax.get_xlabel() == "times among the 2 nearest of 3 queries"
    paint(ax.figure)


def test_hubness_of_a_gallery_where_all_are_alike_or_nothing_is_found():
    for ids in ([[0], [1]], [[-1], [-1]]):
        paint(plots.hubness(Neighbors(np.zeros((2, 1)), np.array(ids), np.zeros((2, 1), int)), 2).figure)
    with pytest.raises(ValueError, match="num_gallery must be at least the 2 rows that were found, got 1"):
        plots.hubness(Neighbors(np.zeros((2, 1)), np.array([[0], [1]]), np.zeros((2, 1), int)), 1)
