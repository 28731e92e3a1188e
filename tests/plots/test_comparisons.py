import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import plots
from simnb.index import Tuning
from simnb.metrics import Interval

from .drawing import drawn, gids, legend, paint, points, title, words

# spread, pair_distances


def test_runs_are_dots_on_a_row_of_their_own_and_the_best_mean_is_on_top():
    ax = plots.spread({"low": [0.1, 0.3], "high": [0.5], "$mid": [0.2, 0.3, 0.4]}, chance=0.1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["low", r"\$mid", "high"]
    dots = drawn(ax, "runs: $mid")
    assert dots.get_xdata().tolist() == [0.2, 0.3, 0.4]
    assert dots.get_ydata().tolist() == [1, 1, 1]
    assert drawn(ax, "mean: low").get_xdata() == pytest.approx([0.2])
    assert drawn(ax, "chance").get_xdata() == [0.1, 0.1]
    assert ax.get_title(loc="left").startswith("high has the highest mean, 0.5")
    paint(ax)


def test_without_chance_there_is_no_line_and_titles_and_axes_can_be_given():
    _, given = plt.subplots()
    ax = plots.spread({"only": [0.25]}, metric="MAP@R", ax=given, title="One way")
    assert ax is given
    assert [line.get_gid() for line in ax.get_lines()] == ["runs: only", "mean: only"]
    assert (ax.get_xlabel(), ax.get_title(loc="left").splitlines()[0]) == ("MAP@R", "One way")


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({}, "at least one way with its values, got none"),
        ({"a": [0.1], "b": []}, r"finite values, one or more, got \[\] for 'b'"),
        ({"a": [0.1, np.nan]}, r"finite values, one or more, got \[0.1, nan\] for 'a'"),
    ],
)
def test_runs_without_a_value_are_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        plots.spread(runs)


# recall_against_time, rates_by_size


def test_recall_is_drawn_against_time_a_dot_a_setting():
    ours = [Tuning(16, 0.5, 0.01), Tuning(32, 0.9, 0.02)]
    ax = plots.recall_against_time({"ours": ours, "random": [Tuning(16, 0.1, 0.05)]}, target=0.95)
    lines = {line.get_gid(): line for line in ax.lines}
    assert lines["ours"].get_xydata().tolist() == [[0.01, 0.5], [0.02, 0.9]]
    assert lines["random"].get_xydata().tolist() == [[0.05, 0.1]]
    assert lines["target"].get_ydata()[0] == 0.95
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts if "breadth" in text.get_text()] == [
        "breadth 16",
        "breadth 32",
        "breadth 16",
    ]
    for nothing in ({}, {"ours": []}):
        with pytest.raises(ValueError, match="tried must hold at least one Tuning for each name"):
            plots.recall_against_time(nothing)


def test_rates_are_drawn_against_the_size_of_the_gallery():
    _, given = plt.subplots()
    ax = plots.rates_by_size([10, 100], {"precision": [0.9, 0.8]}, ax=given, title="Falls")
    assert ax is given
    assert ax.lines[0].get_xydata().tolist() == [[10, 0.9], [100, 0.8]]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["10", "100"]
    assert ax.get_title(loc="left") == "Falls"
    with pytest.raises(ValueError, match="rates must hold 2 values for each name, one for each size, got 1"):
        plots.rates_by_size([10, 100], {"recall": [0.9]})
    with pytest.raises(ValueError, match="one for each size, got none"):
        plots.rates_by_size([10, 100], {})


# rates_by_shots


def test_rates_are_drawn_against_the_examples_a_class():
    draws = np.array([[0.4, 0.6, 0.8], [0.2, 0.7, 0.9]])
    ax = plots.rates_by_shots([1, 5, 1_000], {"near_est": draws, "$ <b>": [0.1, 0.2, 0.3]}, chance=0.1)
    np.testing.assert_allclose(points(ax, "near_est"), [[1, 0.3], [5, 0.65], [1_000, 0.85]])
    assert points(ax, "$ <b>") == [[1, 0.1], [5, 0.2], [1_000, 0.3]]
    assert points(ax, "draws: near_est") == [
        [1, 0.4],
        [5, 0.6],
        [1_000, 0.8],
        [1, 0.2],
        [5, 0.7],
        [1_000, 0.9],
    ]
    corners = drawn(ax, "band: near_est").get_paths()[0].vertices.tolist()
    assert {(1, 0.2), (1, 0.4), (1_000, 0.8), (1_000, 0.9)} <= set(map(tuple, corners))
    assert "draws: $ <b>" not in gids(ax)
    assert drawn(ax, "near_est").get_marker() != drawn(ax, "$ <b>").get_marker()
    assert drawn(ax, "chance").get_ydata()[0] == 0.1
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "5", "1,000"]
    assert legend(ax) == ["near est", r"\$ <b>"]
    assert plots.rates_by_shots([1, 5], {"one": [0.1, 0.2]}).get_legend() is None
    assert title(ax) == "near est: 85.0% with 1,000 examples a class"
    assert "dotted: chance, 10.0%" in words(ax)
    paint(ax)


@pytest.mark.parametrize(
    ("shots", "rates"), [([5], [0.5]), ([1], [[0.0], [0.0]]), ([1, 2], np.ones((2_000, 2)))]
)
def test_extreme_shots_are_drawn(shots, rates):
    ax = plots.rates_by_shots(shots, {"only": rates})
    np.testing.assert_allclose(points(ax, "only")[0], [shots[0], np.mean(np.atleast_2d(rates)[:, 0])])
    paint(ax)


def test_rates_by_shots_refuse_what_does_not_fit():
    for shots in ([0, 1], [2, 1], [1, 1]):
        with pytest.raises(ValueError, match="shots must be ascending integers of at least 1, got"):
            plots.rates_by_shots(shots, {"a": [0.1, 0.2]})
    with pytest.raises(ValueError, match="shots must hold at least one example"):
        plots.rates_by_shots([], {"a": []})
    with pytest.raises(ValueError, match="rates must hold at least one name with its rates, got none"):
        plots.rates_by_shots([1], {})
    with pytest.raises(
        ValueError,
        match="rates must hold 2 values for each name, one for each number of shots, got 3",
    ):
        plots.rates_by_shots([1, 2], {"a": [0.1, 0.2, 0.3]})
    with pytest.raises(ValueError, match="rates must be from 0 to 1, got 50 for 'a'"):
        plots.rates_by_shots([1], {"a": [50]})
    with pytest.raises(
        ValueError, match=r"rates must be numbers of shape \[n\] or \[num_repeats, n\], got .* 'a'"
    ):
        plots.rates_by_shots([1], {"a": [[[0.5]]]})


# few_shot_errors


def accuracy(value, width=0.01):
    return Interval(value, value - width, min(1, value + width), 0.95)


def test_errors_are_drawn_by_setting_with_intervals_beside_published_ones():
    figures = {
        "recall@1": {"pixels": accuracy(0.3), "trained": accuracy(0.9)},
        "20-way 1-shot": {"pixels": accuracy(0.4), "trained": accuracy(0.96)},
        "20-way 5-shot": {"pixels": accuracy(0.6), "trained": accuracy(0.9999)},
        "20-way 5-shot, nearest": {"pixels": accuracy(0.6), "trained": accuracy(0.9)},
    }
    ax = plots.few_shot_errors(figures, published={"Others": {"20-way 5-shot": 0.98}})
    assert [label.get_text() for label in ax.get_xticklabels()] == ["20-way 1-shot", "20-way 5-shot"]
    np.testing.assert_allclose(np.array(points(ax, "pixels"))[:, 1], [0.6, 0.4])
    np.testing.assert_allclose(np.array(points(ax, "trained"))[:, 1], [0.04, 0.0005])
    np.testing.assert_allclose(np.array(points(ax, "Others"))[:, 1], [np.nan, 0.02])
    ends = [np.sort(segment[:, 1]) for segment in drawn(ax, "intervals: trained").get_segments()]
    np.testing.assert_allclose(ends, [[0.03, 0.05], [0.0005, 0.0101]])
    x = [np.array(points(ax, name))[:, 0] for name in ("pixels", "trained", "Others")]
    assert (x[0] < x[1]).all()
    assert (x[1] < x[2]).all()
    assert ax.get_yscale() == "log"
    assert ax.yaxis.get_major_formatter()(0.005) == "0.5"
    assert legend(ax) == ["pixels", "trained", "Others"]
    assert drawn(ax, "Others").get_markerfacecolor() == "white"
    assert title(ax) == "trained: 0.0% wrong at 20-way 5-shot"
    assert "hollow: published" in words(ax)
    paint(ax)
    ax = plots.few_shot_errors({"5-way 1-shot": {"a": accuracy(0.5)}}, title="Half", ax=plt.subplots()[1])
    assert title(ax) == "Half"
    assert "hollow" not in words(ax)


def test_few_shot_errors_refuse_what_does_not_fit():
    with pytest.raises(
        ValueError, match=r"figures must hold a metric such as '5-way 1-shot', got 'recall@1'"
    ):
        plots.few_shot_errors({"recall@1": {"a": accuracy(0.5)}})
    with pytest.raises(ValueError, match=r"accuracies must be from 0 to 1 or NaN, got 98 for 'Others'"):
        plots.few_shot_errors(
            {"5-way 1-shot": {"a": accuracy(0.5)}}, published={"Others": {"5-way 1-shot": 98.0}}
        )
