import numpy as np
import pytest

from simnb import plots

from .drawing import paint

QUERY, NEIGHBOR = np.full((4, 6, 3), 200, np.uint8), np.full((5, 5, 1), 0.5)
QUERY_MAP, NEIGHBOR_MAP = np.linspace(-0.1, 0.3, 24).reshape(4, 6), np.full((5, 5), -0.4)


def test_both_maps_lie_over_their_images_on_one_scale_around_zero():
    figure = plots.similar_parts(QUERY, NEIGHBOR, QUERY_MAP, NEIGHBOR_MAP, similarity=0.75)
    query, query_map, neighbor, neighbor_map, bar = figure.axes
    assert [ax.get_title() for ax in figure.axes[:4]] == [
        "query",
        "query: what counts",
        "neighbor",
        "neighbor: what counts",
    ]
    assert query.images[0].get_array().shape == (4, 6, 3)
    assert neighbor.images[0].get_array().shape[:2] == (5, 5)
    for ax, drops in ((query_map, QUERY_MAP), (neighbor_map, NEIGHBOR_MAP)):
        np.testing.assert_array_equal(ax.images[1].get_array(), drops)
        assert ax.images[1].get_clim() == (-0.4, 0.4)
    assert bar.get_ylabel().startswith("fall of the cosine similarity")
    assert figure.get_suptitle() == "Cosine similarity 0.750: the part that counts most takes 0.300 with it"
    paint(figure)


def test_nothing_that_counts_is_drawn_too():
    figure = plots.similar_parts(QUERY, QUERY, np.zeros((4, 6)), np.zeros((4, 6)), title="Nothing")
    assert figure.get_suptitle() == "Nothing"
    paint(figure)
    for drops in (np.zeros((4, 6)), np.full((4, 6), -0.1)):
        figure = plots.similar_parts(QUERY, QUERY, drops, drops, similarity=0.5)
        assert figure.get_suptitle() == "Cosine similarity 0.500: no part counts for it"


def test_what_is_transparent_does_not_lighten_the_grey_below_a_map():
    drawn = [np.dstack([QUERY, np.full((4, 6), alpha, np.uint8)]) for alpha in (0, 255)]
    figure = plots.similar_parts(*drawn, QUERY_MAP, QUERY_MAP)
    grey = plots.similar_parts(QUERY, QUERY, QUERY_MAP, QUERY_MAP).axes[1].images[0].get_array()
    for ax in figure.axes[1:4:2]:
        np.testing.assert_array_equal(ax.images[0].get_array(), grey)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"query must be one image, .* got \(1, 4, 6, 3\)"):
        plots.similar_parts(QUERY[None], NEIGHBOR, QUERY_MAP, NEIGHBOR_MAP)
    with pytest.raises(ValueError, match=r"neighbor_map must have shape \(5, 5\) .* got \(4, 6\)"):
        plots.similar_parts(QUERY, NEIGHBOR, QUERY_MAP, QUERY_MAP)
    with pytest.raises(ValueError, match=r"query_map must be finite, got NaN or infinity"):
        plots.similar_parts(QUERY, NEIGHBOR, QUERY_MAP * np.nan, NEIGHBOR_MAP)
