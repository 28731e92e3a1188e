from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest, ks_2samp

from simnb import plots
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import Matches, match

from .drawing import bars, drawn, gids, intervals, legend, paint, points, tick_names, title, words

NAN, INF = np.nan, np.inf


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
    assert legend(ax) == ["right: 4 queries", "wrong: 2 queries", "unknown: 2 queries"]
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
    assert legend(ax)[1:] == ["wrong: 3 queries", "unknown: 1 query"]


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
    assert x == same  # not always SciPy's place: the gap may be as large at another one
    assert high - low == pytest.approx(expected.statistic)
    assert sorted([(one <= x).mean(), (other <= x).mean()]) == pytest.approx([low, high])
    assert f"Kolmogorov-Smirnov statistic {expected.statistic:.3f}" in words(ax)
    assert "p-value" not in words(ax)
    assert title(ax) == f"Largest gap: {100 * expected.statistic:.1f} points at distance {x:.3f}"
    assert f"gap {100 * expected.statistic:.1f} points" in words(ax)


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
        assert title(ax) == "Largest gap: 0 points"
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
    with pytest.raises(ValueError, match="p_value must be a number from 0 to 1, got 2"):
        plots.distance_shift([0.1], [0.1], p_value=2)
    with pytest.raises(ValueError, match="statistic must be a number from 0 to 1, got nan"):
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
    assert tick_names(ax.yaxis) == ["plain", "with \\$ and <b>\n2 of 5 promised nothing"]
    shares = [drawn(ax, f"share: {name}").get_text() for name in achieved]
    assert shares == ["50% broken", "0% broken"]
    assert "2 of 4" in words(ax)
    assert "0 of 5" in words(ax)
    assert "broken (10% allowed with confidence)" in words(ax)
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
    with pytest.raises(ValueError, match="target must be a number from 0 to 1, got 95"):
        plots.promise_kept({"a": [0.9]}, target=95)
    with pytest.raises(ValueError, match=r"target must be a number from 0 to 1, got \[0\.9\]"):
        plots.promise_kept({"a": [0.9]}, target=[0.9])
    with pytest.raises(ValueError, match="confidence must be a number from 0 to 1, got 95"):
        plots.promise_kept({"a": [0.9]}, target=0.9, confidence=95)
    with pytest.raises(ValueError, match="limit must be one of at least, at most; got 'below'"):
        plots.promise_kept({"a": [0.9]}, target=0.9, limit="below")


def test_matches_need_only_labels_and_distances():
    matches = SimpleNamespace(labels=[0, 1], distances=[0.1, 0.2])
    assert legend(plots.match_distances(matches, [0, 0]))[0] == "right: 1 query"
