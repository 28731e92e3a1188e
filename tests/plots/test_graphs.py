import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import plots

from .drawing import drawn, gids, legend, paint, points, title

# Rows on a line, linked to the next; row 4 lies nearest to the query, and only row 0 leads to it.
POINTS = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [3.5, 1]])
LINKS = [[1, 4], [0, 2], [1, 3], [2], [0]]
QUERY = [3.5, 0.9]


def at(ax, gid):
    """Where a ring is."""
    (place,) = drawn(ax, gid).get_offsets().tolist()
    return place


def segments(ax, gid):
    return [segment.tolist() for segment in drawn(ax, gid).get_segments()]


def test_a_walk_compares_what_is_linked_to_the_rows_it_leaves():
    ax = plots.graph_walk(POINTS, LINKS, QUERY, left=[1, 2])
    assert sorted(points(ax, "seen")) == [[0, 0], [1, 0], [2, 0], [3, 0]]
    assert segments(ax, "steps") == [[[1, 0], [2, 0]]]
    assert len(segments(ax, "links")) == 4  # each once
    assert points(ax, "query") == [QUERY]
    assert title(ax) == "4 of 5 rows compared with the query"
    assert points(ax, "start") == [[1, 0]]
    assert legend(ax)[:5] == ["way of the walk", "row", "compared with the query", "start", "query"]
    paint(ax)


def test_a_row_that_was_missed_is_told_from_one_that_was_found_by_more_than_colour():
    ax = plots.graph_walk(POINTS, LINKS, QUERY, left=[1, 2])
    assert at(ax, "found") == [3, 0]
    assert at(ax, "missed") == [3.5, 1]
    whole = plots.graph_walk(POINTS, LINKS, QUERY, left=[1, 2, 0])
    assert at(whole, "found") == [3.5, 1]
    assert "missed" not in gids(whole)
    assert drawn(ax, "found").get_linestyle() != drawn(whole, "found").get_linestyle()


def test_a_step_begins_at_the_row_that_led_there_and_not_at_the_one_left_before():
    ax = plots.graph_walk(POINTS, LINKS, QUERY, left=[1, 2, 0])
    assert segments(ax, "steps") == [[[1, 0], [2, 0]], [[1, 0], [0, 0]]]


def test_axes_of_ones_own_get_no_legend_and_can_have_one():
    _, ax = plt.subplots()
    assert plots.graph_walk(POINTS, LINKS, QUERY, left=[1], ax=ax, title="Mine") is ax
    assert ax.get_legend() is None
    assert title(ax) == "Mine"
    assert "nearest of all" in ax.get_legend_handles_labels()[1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"points": np.ones((5, 3))}, r"points must have shape \[num_rows, 2\], got \(5, 3\)"),
        ({"query": [1, 2, 3]}, "query must be two finite numbers"),
        ({"query": [1, np.nan]}, "query must be two finite numbers"),
        ({"links": LINKS[:3]}, "links and points must have the same length, got 3 and 5"),
        ({"links": [[9], [], [], [], []]}, r"links\[0\] must be positions below 5, got 9"),
        ({"left": [-1]}, "left must be positions below 5, got -1"),
        ({"left": []}, "left must hold the row where the walk begins"),
        ({"left": [1, 3]}, "left must be rows that are linked to rows before them; 3 is not"),
    ],
)
def test_what_cannot_be_walked_is_refused(changed, message):
    given = {"points": POINTS, "links": LINKS, "query": QUERY, "left": [1]} | changed
    with pytest.raises(ValueError, match=message):
        plots.graph_walk(given["points"], given["links"], given["query"], left=given["left"])
