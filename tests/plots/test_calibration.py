import io
from itertools import pairwise
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from scipy.stats import binomtest, ks_2samp

from simnb import plots
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import Matches, match
from simnb.plots import _style

NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def paint(ax):
    """Draw for real, so that warnings of the renderer fail the test; return the picture."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


def drawn(ax, gid):
    (artist,) = [artist for artist in ax.get_children() if artist.get_gid() == gid]
    return artist


def gids(ax):
    return {artist.get_gid() for artist in ax.get_children()} - {None}


def points(ax, gid):
    return drawn(ax, gid).get_xydata().tolist()


def intervals(ax):
    """Ends of each interval, in drawing order."""
    return [segment.tolist() for segment in drawn(ax, "intervals").get_segments()]


def bars(ax, gid):
    """Height of each bin above its row, and the edges."""
    heights, edges, baseline = drawn(ax, gid).get_data()
    return np.asarray(heights) - (baseline or 0), edges


def title(ax):
    return " ".join(ax.get_title(loc="left").split())


def words(ax):
    return " ".join(" ".join(text.get_text() for text in ax.texts).split())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def tick_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


# match_distances


def some_matches():
    """Four right ones, two wrong ones, two of unknown classes; class 7 is not in the gallery."""
    distances = np.array([0.1, 0.1, 0.2, 0.4, 0.3, 0.5, 0.4, 0.6], np.float32)
    return Matches(np.array([0, 0, 1, 1, 1, 0, 0, 1]), distances), [0, 0, 1, 1, 0, 1, 7, UNKNOWN]


def test_each_kind_of_query_is_a_histogram_of_its_own_that_adds_up_to_100_percent():
    matches, labels = some_matches()
    ax = plots.match_distances(matches, labels, known_labels=[0, 1], distance="squared_euclidean")
    expected = {"right": [0.1, 0.1, 0.2, 0.4], "wrong": [0.3, 0.5], "unknown": [0.4, 0.6]}
    for kind, distances in expected.items():
        heights, edges = bars(ax, kind)
        assert heights.sum() == pytest.approx(100)
        counts = np.histogram(np.float32(distances).astype(float), edges)[0]
        np.testing.assert_allclose(heights, 100 * counts / len(distances))
    assert legend(ax) == [
        "matched rightly: 4 queries", "matched wrongly: 2 queries", "of unknown classes: 2 queries",
    ]  # fmt: skip
    assert ax.get_xlabel() == "squared euclidean distance of the neighbor that decides"
    assert title(ax) == "Median distance: right 0.100, wrong 0.300, unknown 0.400"
    assert "threshold" not in gids(ax)
    paint(ax)


def test_the_kinds_differ_by_more_than_colour():
    ax = plots.match_distances(*some_matches(), known_labels=[0, 1])
    looks = {(p.get_linestyle(), p.get_fill()) for p in map(drawn, [ax] * 3, ("right", "wrong", "unknown"))}
    assert len(looks) == 3


def test_the_threshold_is_a_line_and_the_note_says_what_lies_within():
    ax = plots.match_distances(*some_matches(), known_labels=[0, 1], threshold=0.4)
    assert drawn(ax, "threshold").get_xdata()[0] == pytest.approx(0.4)
    # 0.4 itself is within, although float32(0.4) > 0.4.
    assert "Within the threshold: 100.0% of the right, 50.0% of the wrong, 50.0% of the unknown" in words(ax)
    assert "threshold 0.400" in words(ax)


def test_without_known_labels_only_the_queries_labelled_unknown_are_unknown():
    ax = plots.match_distances(*some_matches())
    assert legend(ax)[1:] == ["matched wrongly: 3 queries", "of unknown classes: 1 query"]


def test_queries_without_a_label_stand_at_the_right_edge_and_are_never_within():
    neighbors = Neighbors(
        np.array([[0.1], [INF], [0.2], [0.3]]),
        np.array([[0], [-1], [1], [2]]),
        np.array([[0], [-1], [UNKNOWN], [1]]),
    )
    ax = plots.match_distances(match(neighbors), [0, 0, 1, 1], threshold=INF)
    heights, edges = bars(ax, "wrong")
    assert heights[:-1].sum() == 0
    assert heights[-1] == pytest.approx(100)
    assert edges[-2] > 0.3
    assert ax.get_xlim()[1] > edges[-1]
    assert ax.get_xticklabels()[-1].get_text() == "∞"
    assert "100.0% of the right, 0.0% of the wrong" in words(ax)
    assert "accept everything" in words(ax)
    assert title(ax) == "Median distance: right 0.100, wrong infinite"
    paint(ax)


@pytest.mark.parametrize("threshold", [None, -INF, 0.3, 5, INF])
@pytest.mark.parametrize(
    ("predicted", "distances", "labels"),
    [
        ([1], [0.3], [1]),
        ([1], [0.0], [2]),
        ([1, 1], [-2.5, -2.5], [1, UNKNOWN]),
        ([UNKNOWN] * 3, [INF] * 3, [0, 1, UNKNOWN]),
        ([0] * 2_000, np.linspace(1e8, 1e9, 2_000), [0] * 2_000),
    ],
)
def test_extreme_matches_are_drawn(predicted, distances, labels, threshold):
    ax = plots.match_distances(Matches(np.array(predicted), np.array(distances)), labels, threshold=threshold)
    for kind in gids(ax) - {"threshold"}:
        assert bars(ax, kind)[0].sum() == pytest.approx(100)
    if threshold is not None:
        low, high = ax.get_xlim()
        assert low < drawn(ax, "threshold").get_xdata()[0] < high
    paint(ax)


def test_match_distances_refuse_what_does_not_fit():
    matches, labels = some_matches()
    with pytest.raises(ValueError, match="labels and matches must have the same length, got 7 and 8"):
        plots.match_distances(matches, labels[:-1])
    with pytest.raises(ValueError, match=r"matches\.distances must hold at least one example"):
        plots.match_distances(Matches(np.zeros(0, int), np.zeros(0)), [])
    with pytest.raises(ValueError, match=r"matches\.distances must not be NaN, got 1 of 2"):
        plots.match_distances(Matches(np.array([0, 0]), np.array([0.1, NAN])), [0, 0])
    for threshold in (NAN, [0.1], "far", None.__class__):
        with pytest.raises(ValueError, match="threshold must be one number, got"):
            plots.match_distances(matches, labels, threshold=threshold)


def test_matches_that_were_made_with_a_threshold_are_refused():
    neighbors = Neighbors(np.array([[0.1], [0.2], [0.3]]), np.zeros((3, 1), int), np.zeros((3, 1), int))
    for threshold, rejected in ((0.25, 1), (-INF, 3)):
        message = f"must be made without a threshold, got {rejected} of 3 queries rejected"
        with pytest.raises(ValueError, match=message):
            plots.match_distances(match(neighbors, threshold), [0, 0, 0])


# distance_shift


def test_both_distribution_functions_are_drawn_as_they_are():
    ax = plots.distance_shift([0.3, 0.1, 0.1], [0.2, 0.4], distance="cosine")
    low, high = ax.get_xlim()
    expected = {
        "calibration": [[low, 0], [0.1, 2 / 3], [0.3, 1], [high, 1]],
        "queries": [[low, 0], [0.2, 0.5], [0.4, 1], [high, 1]],
    }
    for name, corners in expected.items():
        np.testing.assert_allclose(points(ax, name), corners)
        assert drawn(ax, name).get_drawstyle() == "steps-post"
    assert drawn(ax, "calibration").get_linestyle() != drawn(ax, "queries").get_linestyle()
    assert legend(ax) == ["calibration: 3 distances", "queries: 2 distances"]
    assert ax.get_xlabel() == "cosine distance"
    paint(ax)


def test_the_bar_is_the_kolmogorov_smirnov_statistic():
    rng = np.random.default_rng(3)
    one, other = rng.gamma(2, 1, 300), rng.gamma(2.4, 1, 200)
    ax = plots.distance_shift(one, other)
    (x, low), (same, high) = points(ax, "gap")
    expected = ks_2samp(one, other)
    assert x == same == pytest.approx(expected.statistic_location)
    assert high - low == pytest.approx(expected.statistic)
    assert sorted([(one <= x).mean(), (other <= x).mean()]) == pytest.approx([low, high])
    assert f"Kolmogorov-Smirnov statistic {expected.statistic:.3f}" in words(ax)
    assert "p-value" not in words(ax)
    assert title(ax) == f"Largest gap: {100 * expected.statistic:.1f}% at distance {x:.3f}"


def test_what_a_test_gave_is_in_the_note():
    ax = plots.distance_shift([0.1], [0.2], statistic=0.25, p_value=0.0123)
    assert "Kolmogorov-Smirnov statistic 0.250, p-value 0.012" in words(ax)
    assert "p-value below 0.001" in words(plots.distance_shift([0.1], [0.2], p_value=0))


def test_infinite_distances_rise_at_the_right_edge():
    ax = plots.distance_shift([0.1, 0.2], [0.1, INF], names=("a", "b $1"))
    (*_, (x, share), end) = points(ax, "b $1")
    assert 0.2 < x < ax.get_xlim()[1] == end[0]
    assert share == 1
    assert points(ax, "gap")[0][0] == 0.2
    assert ax.get_xticklabels()[-1].get_text() == "∞"
    assert legend(ax)[1] == r"b \$1: 2 distances"
    paint(ax)


def test_of_many_distances_some_are_drawn_and_the_gap_lies_on_both_curves():
    rng = np.random.default_rng(0)
    one, other = rng.random(30_000), rng.random(20_000) ** 1.1
    ax = plots.distance_shift(one, other)
    (x, low), (_, high) = points(ax, "gap")
    at_gap = []
    for name in ("calibration", "queries"):
        corners = np.array(points(ax, name))
        assert len(corners) < 2_100
        at_gap.append(corners[corners[:, 0] <= x, 1].max())
    assert sorted(at_gap) == pytest.approx([low, high])


@pytest.mark.parametrize(
    ("one", "other"),
    [([0.3], [0.3]), ([INF], [INF, INF]), ([INF], [0.1]), ([-5.0, -3.0], [-4]), ([0, 0], [0]), ([7], [1e9])],
)
def test_extreme_distances_are_compared(one, other):
    ax = plots.distance_shift(one, other)
    if sorted(set(one)) == sorted(set(other)):
        assert "gap" not in gids(ax)
        assert title(ax) == "Largest gap: 0%"
    else:
        assert "gap" in gids(ax)
    paint(ax)


def test_distance_shift_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="one must hold at least one example"):
        plots.distance_shift([], [0.1])
    with pytest.raises(ValueError, match="other must not be NaN, got 1 of 2"):
        plots.distance_shift([0.1], [0.1, NAN])
    with pytest.raises(ValueError, match=r"one must be numbers of shape \[n\], got float64 of shape"):
        plots.distance_shift([[0.1]], [0.1])
    for names in (("a", "a"), ("a",), "ab"):
        with pytest.raises(ValueError, match="names must be two different ones, got"):
            plots.distance_shift([0.1], [0.1], names=names)
    with pytest.raises(ValueError, match="p_value must be from 0 to 1, got 2"):
        plots.distance_shift([0.1], [0.1], p_value=2)
    with pytest.raises(ValueError, match="statistic must be from 0 to 1, got nan"):
        plots.distance_shift([0.1], [0.1], statistic=NAN)


# reliability_diagram


def test_bins_hold_equally_many_answers_with_exact_intervals():
    rng = np.random.default_rng(1)
    probabilities = rng.random(60)
    right = rng.random(60) < probabilities
    ax = plots.reliability_diagram(probabilities, right, bins=4)
    order = np.argsort(probabilities)
    error = 0
    parts = np.split(order, 4)
    for part, (x, y), ends in zip(parts, points(ax, "bins"), intervals(ax), strict=True):
        assert x == pytest.approx(probabilities[part].mean())
        assert y == right[part].mean()
        exact = binomtest(int(right[part].sum()), 15).proportion_ci(0.95, "exact")
        np.testing.assert_allclose(ends, [[x, exact.low], [x, exact.high]], atol=1e-9)
        error += abs(x - y) / 4
    assert title(ax) == f"Expected calibration error {error:.1%}"
    assert "dot: 15 answers" in words(ax)
    assert points(ax, "perfect") == [[0, 0], [1, 1]]
    heights, edges = bars(ax, "probabilities")
    counts = np.histogram(probabilities, edges)[0]
    np.testing.assert_allclose(heights * counts.max(), counts * heights.max())
    assert drawn(ax, "probabilities").get_data().baseline + heights.max() < 0
    paint(ax)


def test_equal_probabilities_stay_together_whatever_their_order():
    probabilities, right = [0.2, 0.9, 0.9, 0.9, 0.9], [0, 1, 0, 1, 1]
    ax = plots.reliability_diagram(probabilities, right, bins=5)
    np.testing.assert_allclose(points(ax, "bins"), [[0.2, 0], [0.9, 0.75]])
    again = plots.reliability_diagram(probabilities[::-1], right[::-1], bins=5)
    assert points(again, "bins") == points(ax, "bins")
    assert "dot: 1 to 4 answers" in words(ax)


@pytest.mark.parametrize("answers", [[(1.0, True)], [(0.0, False)], [(0.5, True)] * 2_000])
def test_extreme_probabilities_are_drawn(answers):
    probabilities, right = zip(*answers, strict=True)
    ax = plots.reliability_diagram(probabilities, right)
    (((_, low), (_, high)),) = intervals(ax)
    assert 0 <= low <= points(ax, "bins")[0][1] <= high <= 1
    paint(ax)


def test_a_reliability_diagram_refuses_what_does_not_fit():
    with pytest.raises(
        ValueError, match=r"probabilities must be numbers of shape \[n\], got float64 of shape"
    ):
        plots.reliability_diagram([], [])
    with pytest.raises(ValueError, match=r"probabilities must be from 0 to 1, got 1\.5"):
        plots.reliability_diagram([1.5], [1])
    with pytest.raises(ValueError, match="probabilities must be from 0 to 1, got nan"):
        plots.reliability_diagram([NAN], [1])
    with pytest.raises(ValueError, match="right and probabilities must have the same length, got 1 and 2"):
        plots.reliability_diagram([0.5, 0.5], [1])
    with pytest.raises(ValueError, match="right must be true or false for each answer, got int64"):
        plots.reliability_diagram([0.5], [2])
    with pytest.raises(ValueError, match="bins must be an integer of at least 1, got 0"):
        plots.reliability_diagram([0.5], [1], bins=0)


# promise_kept


def test_broken_promises_are_apart_from_kept_ones_and_counted():
    achieved = {"plain": [0.90, 0.94, 0.95, 0.96], "with $ and <b>": [0.97, 0.95, NAN, 0.98, NAN]}
    ax = plots.promise_kept(achieved, target=0.95, confidence=0.9)
    assert drawn(ax, "target").get_xdata()[0] == 0.95
    for name, kept, broken in (("plain", 2, 2), ("with $ and <b>", 3, 0)):
        of_kept, edges = bars(ax, f"kept: {name}")
        of_broken, _ = bars(ax, f"broken: {name}")
        unit = max(of_kept.max(), of_broken.max()) / 1
        assert (of_kept / unit).sum() == pytest.approx(kept)
        assert (of_broken / unit).sum() == pytest.approx(broken)
        # What is broken lies left of the target, and what is kept right of it.
        assert not of_kept[edges[1:] <= 0.95 + 1e-9].any()
        assert not of_broken[edges[:-1] >= 0.95 - 1e-9].any()
    assert tick_names(ax) == ["plain", "with \\$ and <b>\n2 of 5 promised nothing"]
    shares = [drawn(ax, f"share: {name}").get_text() for name in achieved]
    assert shares == ["50% broken", "0% broken"]
    assert "2 of 4" in words(ax)
    assert "0 of 5" in words(ax)
    assert "as 10% may be with 90% confidence" in words(ax)
    assert title(ax) == "At least 95% precision: missed in 0% to 50% of trials"
    assert ax.get_xlabel() == "precision (%)"
    paint(ax)


def test_the_first_way_is_on_top():
    ax = plots.promise_kept({"a": [0.5], "b": [0.6]}, target=0.5)
    assert drawn(ax, "kept: a").get_data().baseline > drawn(ax, "kept: b").get_data().baseline


def test_a_limit_from_above_is_broken_above_it():
    ax = plots.promise_kept(
        {"one": [0.02, 0.05, 0.07]}, target=0.05, limit="at most", metric="false acceptance"
    )
    kept, edges = bars(ax, "kept: one")
    broken, _ = bars(ax, "broken: one")
    assert not kept[edges[:-1] >= 0.05 - 1e-9].any()
    assert not broken[edges[1:] <= 0.05 + 1e-9].any()
    assert np.count_nonzero(kept) == 2
    assert title(ax) == "At most 5% false acceptance: missed in 33.3% of trials"


def test_bins_show_where_the_rates_are():
    rng = np.random.default_rng(0)
    rates = rng.beta(60, 3, 2_000)
    ax = plots.promise_kept({"one": rates}, target=0.95)
    kept, edges = bars(ax, "kept: one")
    broken, _ = bars(ax, "broken: one")
    counts = np.histogram(rates, edges)[0]
    np.testing.assert_allclose((kept + broken) * counts.max(), 0.8 * counts, atol=1e-9)


def test_rates_that_come_in_steps_make_no_comb():
    # Ninety shares of 300 queries, equally often: two or three would fall into each of forty bins.
    rates = np.repeat(np.arange(210, 300) / 300, 3)
    ax = plots.promise_kept({"one": rates}, target=0.95)
    kept, _ = bars(ax, "kept: one")
    broken, _ = bars(ax, "broken: one")
    assert len(set(np.round(kept[kept > 0], 9)) | set(np.round(broken[broken > 0], 9))) == 1


@pytest.mark.parametrize(
    "achieved",
    [
        {"one": [0.95]},
        {"one": [NAN]},
        {"one": [NAN, NAN], "other": [0.0]},
        {"one": [0.0] * 2_000},
        {"one": [1.0] * 2_000, "a name that is so long that nobody reads it to its end": [0.3]},
    ],
)
@pytest.mark.parametrize("limit", ["at least", "at most"])
def test_extreme_trials_are_drawn(achieved, limit):
    ax = plots.promise_kept(achieved, target=0.95, limit=limit)
    for name, rates in achieved.items():
        promised = np.array(rates)[~np.isnan(rates)]
        broken = promised < 0.95 if limit == "at least" else promised > 0.95
        if len(promised):
            assert drawn(ax, f"share: {name}").get_text() == f"{100 * broken.sum() / len(rates):g}% broken"
        else:
            assert f"share: {name}" not in gids(ax)
            assert "no promise" in words(ax)
    paint(ax)


def test_trials_without_a_promise_break_none():
    ax = plots.promise_kept({"a": [0.8, NAN, NAN, NAN]}, target=0.9)
    assert title(ax) == "At least 90% precision: missed in 25% of trials"
    assert "1 of 4" in words(ax)


def test_where_nothing_was_promised_the_title_says_so():
    assert (
        title(plots.promise_kept({"a": [NAN]}, target=0.9)) == "No trial was promised at least 90% precision"
    )


def test_promises_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="achieved must hold at least one way with its rates, got none"):
        plots.promise_kept({}, target=0.9)
    with pytest.raises(ValueError, match=r"achieved must be numbers of shape \[n\], got .* for 'a'"):
        plots.promise_kept({"a": []}, target=0.9)
    with pytest.raises(ValueError, match="achieved must be from 0 to 1 or NaN, got 95 for 'a'"):
        plots.promise_kept({"a": [95]}, target=0.9)
    with pytest.raises(ValueError, match="target must be from 0 to 1, got 95"):
        plots.promise_kept({"a": [0.9]}, target=95)
    with pytest.raises(ValueError, match="target must be one number"):
        plots.promise_kept({"a": [0.9]}, target=[0.9])
    with pytest.raises(ValueError, match="confidence must be from 0 to 1"):
        plots.promise_kept({"a": [0.9]}, target=0.9, confidence=95)
    with pytest.raises(ValueError, match="limit must be one of at least, at most; got 'below'"):
        plots.promise_kept({"a": [0.9]}, target=0.9, limit="below")


# rates_by_class


def test_classes_are_sorted_with_their_intervals():
    ax = plots.rates_by_class(
        [4, 0, 2], [0.5, 0.9, 0.7], low=[0.4, 0.8, 0.5], high=[0.6, 1.0, 0.75],
        class_names=("cat", "?", "$dog", "?", "<b>"), reference=0.72, metric="recall",
    )  # fmt: skip
    assert points(ax, "values") == [[0.5, 0], [0.7, 1], [0.9, 2]]
    assert intervals(ax) == [[[0.4, 0], [0.6, 0]], [[0.5, 1], [0.75, 1]], [[0.8, 2], [1.0, 2]]]
    assert tick_names(ax) == ["<b>", r"\$dog", "cat"]
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


def test_classes_without_a_rate_come_last_and_are_named_so():
    ax = plots.rates_by_class([1, 2, 3], [NAN, 0.0, 0.5], low=[NAN, 0.0, 0.4], high=[NAN, 0.2, 0.6])
    assert tick_names(ax) == ["1 (not defined)", "2", "3"]
    assert points(ax, "values")[1:] == [[0.0, 1], [0.5, 2]]
    paint(ax)
    none = plots.rates_by_class([1], [NAN], metric="precision")
    assert title(none) == "No class has a precision"
    paint(none)


def test_of_equal_rates_the_first_class_is_on_top():
    assert tick_names(plots.rates_by_class([5, 9, 7], [0.5, 0.5, 0.5])) == ["7", "9", "5"]


def test_a_hundred_classes_grow_the_figure_and_thin_the_names():
    values = np.linspace(0, 1, 100)
    few = plots.rates_by_class(np.arange(10), values[:10])
    many = plots.rates_by_class(np.arange(100), values)
    assert few.figure.get_figheight() < many.figure.get_figheight() < 12
    assert len(tick_names(few)) == 10
    assert 30 < len(tick_names(many)) < 100
    # The best and the worst are always named.
    assert {tick_names(many)[0], tick_names(many)[-1]} == {"0", "99"}
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
    with pytest.raises(ValueError, match="reference must be one number"):
        plots.rates_by_class([1], [0.1], reference=[0.1])


# thresholds_by_class


def test_thresholds_are_dots_beside_the_one_for_all():
    ax = plots.thresholds_by_class(
        {2: 0.3, 0: 0.1, 1: 0.2}, 0.2, counts={0: 1_200, 1: 7, 2: 30}, class_names=("cat", "dog", "cow"),
        distance="cosine",
    )  # fmt: skip
    assert points(ax, "thresholds") == [[0.1, 0], [0.2, 1], [0.3, 2]]
    assert drawn(ax, "pooled").get_xdata()[0] == 0.2
    assert tick_names(ax) == ["cat", "dog", "cow"]
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
        ValueError, match="rates must hold 2 values a name, one a number of shots, got 3 for 'a'"
    ):
        plots.rates_by_shots([1, 2], {"a": [0.1, 0.2, 0.3]})
    with pytest.raises(ValueError, match="rates must be from 0 to 1, got 50 for 'a'"):
        plots.rates_by_shots([1], {"a": [50]})
    with pytest.raises(
        ValueError, match=r"rates must be numbers of shape \[n\] or \[num_repeats, n\], got .* 'a'"
    ):
        plots.rates_by_shots([1], {"a": [[[0.5]]]})


# all of them

FIGURES = {
    "match_distances": lambda **options: plots.match_distances(*some_matches(), threshold=0.3, **options),
    "distance_shift": lambda **options: plots.distance_shift([0.1, 0.2], [0.2, 0.4], **options),
    "reliability_diagram": lambda **options: plots.reliability_diagram([0.1, 0.9], [0, 1], **options),
    "promise_kept": lambda **options: plots.promise_kept({"a": [0.8, 0.9]}, target=0.85, **options),
    "rates_by_class": lambda **options: plots.rates_by_class([0, 1], [0.5, 0.6], **options),
    "thresholds_by_class": lambda **options: plots.thresholds_by_class({0: 0.1, 1: -INF}, 0.1, **options),
    "rates_by_shots": lambda **options: plots.rates_by_shots([1, 2], {"a": [[0.1, 0.2]] * 2}, **options),
}


@pytest.mark.parametrize("name", FIGURES)
def test_axes_and_title_can_be_given(name):
    _, axes = plt.subplots(1, 2, layout="constrained")
    ax = FIGURES[name](ax=axes[1], title="What to see")
    assert ax is axes[1]
    assert title(ax) == "What to see"
    assert ax.get_xlabel()
    paint(ax)


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_is_drawn_twice(name):
    assert paint(FIGURES[name]()) == paint(FIGURES[name]())


@pytest.mark.parametrize("name", FIGURES)
def test_headings_end_within_the_figure(name):
    ax = FIGURES[name]()
    ax.figure.canvas.draw()
    heading = [ax._left_title, *[text for text in ax.texts if text.get_color() == _style.MUTED]]
    assert max(text.get_window_extent().x1 for text in heading) <= ax.figure.bbox.x1


def test_matches_need_only_labels_and_distances():
    matches = SimpleNamespace(labels=[0, 1], distances=[0.1, 0.2])
    assert legend(plots.match_distances(matches, [0, 0]))[0] == "matched rightly: 1 query"
