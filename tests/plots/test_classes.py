from itertools import pairwise

import numpy as np
import pytest

from simnb import plots
from simnb.index import UNKNOWN
from simnb.plots import styling

from .drawing import NAMES, drawn, gids, intervals, paint, points, tick_names, title, words

NAN, INF = np.nan, np.inf


# rates_by_class


def test_classes_are_sorted_with_their_intervals():
    ax = plots.rates_by_class(
        [4, 0, 2], [0.5, 0.9, 0.7], low=[0.4, 0.8, 0.5], high=[0.6, 1.0, 0.75],
        class_names=("cat", "?", "$dog", "?", "<b>"), reference=0.72, metric="recall",
    )  # fmt: skip
    assert points(ax, "values") == [[0.5, 0], [0.7, 1], [0.9, 2]]
    assert intervals(ax) == [[[0.4, 0], [0.6, 0]], [[0.5, 1], [0.75, 1]], [[0.8, 2], [1.0, 2]]]
    assert tick_names(ax.yaxis) == ["<b>", r"\$dog", "cat"]
    assert drawn(ax, "reference").get_xdata()[0] == 0.72
    assert title(ax) == "Recall from 50.0% (<b>) to 90.0% (cat)"
    assert "dotted: over all, 72.0%" in words(ax)
    assert ax.get_xlabel() == "recall (%)"
    paint(ax)


def test_without_intervals_and_reference_only_dots_are_drawn():
    ax = plots.rates_by_class([3], [1.0])
    assert gids(ax) == {"values"}
    assert title(ax) == "Recall is 100.0% (3)"
    paint(ax)


def test_classes_held_out_are_diamonds():
    ax = plots.rates_by_class([4, 0, 2], [0.5, 0.9, 0.7], held_out={0, 4})
    assert points(ax, "values") == [[0.7, 1]]
    assert points(ax, "held out") == [[0.5, 0], [0.9, 2]]
    assert drawn(ax, "held out").get_marker() != drawn(ax, "values").get_marker()
    assert "dot: a class diamond: held out of training" in words(ax)
    paint(ax)
    assert gids(plots.rates_by_class([4], [0.5], held_out={5})) == {"values"}


def test_classes_without_a_rate_come_last_and_are_named_so():
    ax = plots.rates_by_class([1, 2, 3], [NAN, 0.0, 0.5], low=[NAN, 0.0, 0.4], high=[NAN, 0.2, 0.6])
    assert tick_names(ax.yaxis) == ["1 (not defined)", "2", "3"]
    assert points(ax, "values")[1:] == [[0.0, 1], [0.5, 2]]
    paint(ax)
    none = plots.rates_by_class([1], [NAN], metric="precision")
    assert title(none) == "No class has a precision"
    paint(none)


def test_of_equal_rates_the_first_class_is_on_top():
    assert tick_names(plots.rates_by_class([5, 9, 7], [0.5, 0.5, 0.5]).yaxis) == ["7", "9", "5"]


def test_a_hundred_classes_grow_the_figure_and_thin_the_names():
    values = np.linspace(0, 1, 100)
    few = plots.rates_by_class(np.arange(10), values[:10])
    many = plots.rates_by_class(np.arange(100), values)
    assert few.figure.get_figheight() < many.figure.get_figheight() < 12
    assert len(tick_names(few.yaxis)) == 10
    assert 30 < len(tick_names(many.yaxis)) < 100
    # The best and the worst are always named.
    assert {tick_names(many.yaxis)[0], tick_names(many.yaxis)[-1]} == {"0", "99"}
    assert len(points(many, "values")) == 100
    many.figure.canvas.draw()
    boxes = sorted(label.get_window_extent().bounds[1::2] for label in many.get_yticklabels())
    assert all(y + height < above for (y, height), (above, _) in pairwise(boxes))


def test_rates_by_class_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="classes must hold each class once, got 3 2 times"):
        plots.rates_by_class([3, 3], [0.1, 0.2])
    with pytest.raises(ValueError, match="classes must hold at least one example"):
        plots.rates_by_class([], [])
    with pytest.raises(ValueError, match="values and classes must have the same length, got 1 and 2"):
        plots.rates_by_class([1, 2], [0.1])
    with pytest.raises(ValueError, match="values must be from 0 to 1 or NaN, got 12"):
        plots.rates_by_class([1], [12])
    with pytest.raises(ValueError, match="low and high must be given together, got low only"):
        plots.rates_by_class([1], [0.1], low=[0])
    with pytest.raises(ValueError, match="high and values must have the same length, got 2 and 1"):
        plots.rates_by_class([1], [0.1], low=[0], high=[1, 1])
    with pytest.raises(ValueError, match=r"hold each value between them, got 0\.2 to 0\.3 for 0\.1 at 1"):
        plots.rates_by_class([1, 2], [0.1, 0.1], low=[0, 0.2], high=[0.2, 0.3])
    with pytest.raises(
        ValueError, match="class_names must name every one of the classes, got 1 names and la"
    ):
        plots.rates_by_class([1], [0.1], class_names=("a",))
    with pytest.raises(ValueError, match="reference must be a number from 0 to 1, got"):
        plots.rates_by_class([1], [0.1], reference=[0.1])


# thresholds_by_class


def test_thresholds_are_dots_beside_the_one_for_all():
    ax = plots.thresholds_by_class(
        {2: 0.3, 0: 0.1, 1: 0.2}, 0.2, counts={0: 1_200, 1: 7, 2: 30}, class_names=("cat", "dog", "cow"),
        distance="cosine",
    )  # fmt: skip
    assert points(ax, "thresholds") == [[0.1, 0], [0.2, 1], [0.3, 2]]
    assert drawn(ax, "pooled").get_xdata()[0] == 0.2
    assert tick_names(ax.yaxis) == ["cat", "dog", "cow"]
    assert [text.get_text() for text in ax.texts if text.get_gid() == "count"] == ["1,200", "7", "30"]
    assert [text.xy[1] for text in ax.texts if text.get_gid() == "count"] == [0, 1, 2]
    assert title(ax) == "Stricter than for all: 1 of 3 classes"
    assert ax.get_xlabel() == "cosine distance up to which a neighbor matches"
    assert "dashed: one for all, 0.200" in words(ax)
    paint(ax)


def test_classes_that_reject_or_accept_everything_stand_at_the_edges_with_triangles():
    ax = plots.thresholds_by_class({0: 0.1, 1: -INF, 2: INF, 3: 0.2}, 0.15)
    assert points(ax, "thresholds") == [[0.1, 1], [0.2, 2]]
    ((left, lowest),) = points(ax, "reject everything")
    ((right, highest),) = points(ax, "accept everything")
    assert ax.get_xlim()[0] < left < 0.1 < 0.2 < right < ax.get_xlim()[1]
    assert (lowest, highest) == (0, 3)
    assert drawn(ax, "reject everything").get_marker() == "<"
    assert drawn(ax, "accept everything").get_marker() == ">"
    assert "◂ rejects everything: 1 class" in words(ax)
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert (names[0], names[-1]) == ("\N{MINUS SIGN}∞", "∞")
    paint(ax)


@pytest.mark.parametrize("pooled", [-INF, 0.0, 0.3, INF])
@pytest.mark.parametrize("thresholds", [{0: -INF}, {5: 0.3}, {UNKNOWN: INF}, dict.fromkeys(range(120), 0.2)])
def test_extreme_thresholds_are_drawn(thresholds, pooled):
    ax = plots.thresholds_by_class(thresholds, pooled, counts=dict.fromkeys(thresholds, 0))
    low, high = ax.get_xlim()
    assert low < drawn(ax, "pooled").get_xdata()[0] < high
    paint(ax)


def test_thresholds_by_class_refuse_what_does_not_fit():
    with pytest.raises(
        ValueError, match="thresholds must hold at least one class with its threshold, got none"
    ):
        plots.thresholds_by_class({}, 0.1)
    with pytest.raises(ValueError, match="thresholds must be a dict of thresholds by label, got ndarray"):
        plots.thresholds_by_class(np.zeros(3), 0.1)
    with pytest.raises(ValueError, match="labels of thresholds must be integers"):
        plots.thresholds_by_class({"cat": 0.1}, 0.1)
    with pytest.raises(ValueError, match="thresholds must not be NaN, got 1 of 1"):
        plots.thresholds_by_class({0: NAN}, 0.1)
    with pytest.raises(ValueError, match="pooled must not be NaN"):
        plots.thresholds_by_class({0: 0.1}, NAN)
    with pytest.raises(ValueError, match="counts must hold every class of thresholds, got none for 1"):
        plots.thresholds_by_class({0: 0.1, 1: 0.1}, 0.1, counts={0: 3})
    with pytest.raises(ValueError, match="class_names must name every one of the classes"):
        plots.thresholds_by_class({7: 0.1}, 0.1, class_names=("a",))


# confusion_matrix


TRUTH = np.array([0, 0, 0, 1, 1, 3, 3, 3, UNKNOWN, 2])


ANSWERS = np.array([0, 0, UNKNOWN, 0, 1, 1, UNKNOWN, UNKNOWN, UNKNOWN, 2])


def matrix(ax):
    return np.asarray(ax.images[0].get_array())


def test_counts_are_those_counted_by_hand():
    ax = plots.confusion_matrix(TRUTH, ANSWERS, class_names=NAMES, known_labels=[2, 1, 0, 0], normalize=False)
    assert tick_names(ax.xaxis) == ["airplane", "bird", "cat", "Unknown"]
    assert tick_names(ax.yaxis) == ["airplane", "bird", "cat", "dog (unknown)", "Unknown"]
    expected = [[2, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 2], [0, 0, 0, 1]]
    np.testing.assert_array_equal(matrix(ax), expected)
    assert ax.get_title(loc="left").startswith("70.0% of 10 answers")
    paint(ax)


def test_shares_are_percent_of_each_row_and_written_into_the_cells():
    ax = plots.confusion_matrix(TRUTH, ANSWERS, class_names=NAMES, known_labels=[0, 1, 2])
    np.testing.assert_allclose(matrix(ax).sum(axis=1), 100)
    np.testing.assert_allclose(matrix(ax)[3], [0, 100 / 3, 0, 200 / 3])
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells[(3, 3)] == "67"
    assert (0, 3) not in cells


def test_the_right_cell_of_every_row_is_outlined():
    ax = plots.confusion_matrix(TRUTH, ANSWERS, class_names=NAMES, known_labels=[0, 1, 2])
    centres = [path.get_extents().get_points().mean(axis=0) for path in ax.collections[0].get_paths()]
    np.testing.assert_allclose(centres, [(0, 0), (1, 1), (2, 2), (3, 3), (3, 4)], atol=1e-9)


def test_without_known_labels_every_class_is_known_and_unknown_has_a_column():
    ax = plots.confusion_matrix([4, 9], [9, 4])
    assert tick_names(ax.xaxis) == ["4", "9", "Unknown"]
    np.testing.assert_array_equal(matrix(ax), [[0, 100, 0], [100, 0, 0]])


@pytest.mark.parametrize(("count", "text"), [(1, "<1"), (2, "1"), (3, "2")])
def test_no_cell_with_a_query_in_it_says_0(count, text):
    ax = plots.confusion_matrix([0] * 200, [1] * count + [0] * (200 - count))
    assert [t.get_text() for t in ax.texts] == [f"{100 - count / 2:.0f}", text]
    counts = plots.confusion_matrix([0] * 200, [1] * count + [0] * (200 - count), normalize=False)
    assert [t.get_text() for t in counts.texts] == [str(200 - count), str(count)]


def test_numbers_are_light_on_dark_cells_and_dark_on_light_ones():
    ax = plots.confusion_matrix([0] * 10 + [1], [0] * 9 + [1, 1])
    colors = {text.get_text(): text.get_color() for text in ax.texts}
    assert colors["90"] == "white"
    assert colors["10"] == styling.INK


def test_a_hundred_classes_are_drawn_without_numbers_and_with_fewer_names():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 100, 2_000)
    answers = np.where(truth < 80, truth, UNKNOWN)
    names = [f"class number {i}" for i in range(100)]
    ax = plots.confusion_matrix(truth, answers, class_names=names, known_labels=range(80))
    assert matrix(ax).shape == (100, 81)
    assert not ax.texts
    assert 10 < len(tick_names(ax.yaxis)) <= 30
    assert "class number 80 (unknown)" in tick_names(ax.yaxis)
    assert tick_names(ax.xaxis)[-1] == "Unknown"
    assert np.diff(ax.get_yticks()).min() >= 4
    paint(ax)


def test_impossible_answers_are_refused():
    with pytest.raises(ValueError, match="predicted must be among known_labels or UNKNOWN, got 3"):
        plots.confusion_matrix([0, 1], [0, 3], known_labels=[0, 1])
    with pytest.raises(ValueError, match="predicted and labels must have the same length, got 1 and 2"):
        plots.confusion_matrix([0, 1], [0])
    with pytest.raises(ValueError, match="labels must hold at least one example"):
        plots.confusion_matrix([], [])
    with pytest.raises(ValueError, match="class_names must name every"):
        plots.confusion_matrix([0, 1], [0, 5], class_names=NAMES)
