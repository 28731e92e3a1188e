from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb import metrics
from simnb.metrics import (
    Interval,
    bootstrap_auroc,
    bootstrap_mean,
    bootstrap_ratio,
    compare,
    evaluate_matches,
    intervals,
    match_intervals,
    open_set,
    open_set_intervals,
)
from simnb.metrics.intervals import Bootstrap


def draws(strata, seed):
    """Positions of one resample, by the plainest loop: as many of each stratum as there are."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(np.flatnonzero(strata == one), (strata == one).sum()) for one in np.unique(strata)]
    return np.concatenate(drawn)


def ends_by_hand(figure, strata, confidence=0.9, resamples=1500):
    figures = [figure(draws(strata, 1000 + seed)) for seed in range(resamples)]
    return np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])


def agrees(interval, ends, within):
    np.testing.assert_allclose([interval.low, interval.high], ends, atol=within)


def answers(count=300, seed=0):
    """Labels of queries, their answers, known or not; distances that tell something."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, count)
    predicted = np.where(rng.random(count) < 0.7, labels, rng.integers(-1, 4, count))
    known = labels < 4
    distances = rng.normal(0, 1, count) + 0.8 * ~known
    return predicted, labels, known, np.round(distances, 1)


def test_an_interval_reads_as_one():
    assert repr(Interval(0.81349, 0.8, 0.8241, 0.95)) == "0.813 [0.800, 0.824]"
    with pytest.raises(AttributeError):
        Interval(0.8, 0.7, 0.9, 0.95).value = 1


@pytest.mark.parametrize("strata", [None, np.arange(120) // 30])
def test_a_mean_and_a_ratio_agree_with_a_plain_loop(strata):
    rng = np.random.default_rng(0)
    scores = rng.random(120) + np.arange(120) // 30  # strata differ: keeping them makes it narrower
    below = rng.random(120) + 0.5
    groups = np.zeros(120) if strata is None else strata
    options = {"strata": strata, "confidence": 0.9, "resamples": 4000}
    mean, ratio = bootstrap_mean(scores, **options), bootstrap_ratio(scores, below, **options)
    assert mean.value == pytest.approx(scores.mean())
    assert ratio.value == pytest.approx(scores.sum() / below.sum())
    by_hand = ends_by_hand(lambda rows: scores[rows].mean(), groups)
    assert (by_hand[1] - by_hand[0] > 0.3) == (strata is None)
    agrees(mean, by_hand, 0.015 if strata is None else 0.006)
    by_hand = ends_by_hand(lambda rows: scores[rows].sum() / below[rows].sum(), groups)
    agrees(ratio, by_hand, 0.02 if strata is None else 0.008)


@pytest.mark.parametrize("by_class", [False, True])
def test_rates_of_matches_agree_with_a_plain_loop(by_class):
    predicted, labels, _, _ = answers()
    strata = labels if by_class else None
    options = {"strata": strata, "confidence": 0.9, "resamples": 4000}
    intervals = match_intervals(predicted, labels, known_labels=range(4), **options)
    whole = evaluate_matches(predicted, labels, known_labels=range(4))
    assert {name: one.value for name, one in intervals.items()} == pytest.approx(whole)
    groups = labels if by_class else np.zeros(300)
    for name in whole:

        def rate(rows, name=name):
            return evaluate_matches(predicted[rows], labels[rows], known_labels=range(4))[name]

        agrees(intervals[name], ends_by_hand(rate, groups, resamples=800), 0.015)


def test_open_set_metrics_agree_with_a_plain_loop_over_the_metrics_themselves():
    predicted, labels, known, distances = answers(200, seed=1)
    right = predicted == labels
    settings = {"recall": 0.8, "false_acceptance": 0.1}
    intervals = open_set_intervals(
        distances, known, right, **settings, strata=labels, confidence=0.9, resamples=3000
    )
    functions = {
        "auroc": lambda d, k, r: metrics.auroc(d, k),
        "aupr_known": lambda d, k, r: metrics.aupr(d, k),
        "aupr_unknown": lambda d, k, r: metrics.aupr(d, k, "unknown"),
        "fpr@0.8": lambda d, k, r: metrics.fpr_at_recall(d, k, 0.8),
        "dir@0.1": lambda d, k, r: metrics.detection_and_identification_rate(d, r, k, false_acceptance=0.1),
    }
    assert list(intervals) == list(functions)
    for name, function in functions.items():
        assert intervals[name].value == pytest.approx(function(distances, known, right))
        by_hand = ends_by_hand(
            lambda rows, function=function: function(distances[rows], known[rows], right[rows]),
            labels,
            resamples=400,
        )
        agrees(intervals[name], by_hand, 0.03)
    alone = bootstrap_auroc(distances, known, strata=labels, confidence=0.9, resamples=3000)
    assert alone == intervals["auroc"]


@settings(deadline=None)
@given(st.data())
def test_weights_count_as_repeated_queries(data):
    count = data.draw(st.integers(2, 8))

    def column(of):
        return np.array(data.draw(st.lists(of, min_size=count, max_size=count)))

    distances, known, right = (
        column(of) for of in (st.sampled_from([0.0, 0.5, 1.0, np.inf]), st.booleans(), st.booleans())
    )
    weights = np.stack([column(st.integers(0, 3)) for _ in range(2)])
    weights[:, 0] += 1
    known[0] = True
    known[-1] = False
    weights[:, -1] += 1
    counts = open_set.Curves(distances, known, right).counts(weights)
    values = {name: one(counts) for name, one in open_set.formulas(0.7, 0.3).items()}
    for row, repeats in enumerate(weights):
        d, k, r = (np.repeat(column, repeats) for column in (distances, known, right))
        expected = {
            "auroc": metrics.auroc(d, k),
            "aupr_known": metrics.aupr(d, k),
            "aupr_unknown": metrics.aupr(d, k, "unknown"),
            "fpr@0.7": metrics.fpr_at_recall(d, k, 0.7),
            "dir@0.3": metrics.detection_and_identification_rate(d, r, k, false_acceptance=0.3),
        }
        assert {name: value[row] for name, value in values.items()} == pytest.approx(expected)


def test_numbers_of_strata_and_of_known_queries_are_kept_in_every_draw():
    strata = np.array([5, 5, 1, 1, 1, 9])
    bootstrap = Bootstrap(0.95, 300, 0)
    weights = np.concatenate(list(bootstrap.weights(6, strata)))
    for drawn in (weights, bootstrap.sums(np.eye(6), strata)):
        assert drawn.shape == (300, 6)
        for stratum, ways in ((1, 10), (5, 3), (9, 1)):
            of_stratum = drawn[:, strata == stratum]
            assert (of_stratum.sum(axis=1) == of_stratum.shape[1]).all()
            assert len(np.unique(of_stratum, axis=0)) == ways  # such as 10 to draw 3 of 3
    # All that is left to chance is within strata, where these do not differ.
    distances, known = np.array([0.0, 0, 0, 2, 2, 2, 1, 1]), np.arange(8) < 6
    assert bootstrap_auroc(distances, known).low < 0.5
    kept = bootstrap_auroc(distances, known, strata=distances.astype(int))
    assert (kept.low, kept.high) == (0.5, 0.5)
    gain, same = np.array([1.0, 1.0, -1.0, -1.0]), np.zeros(4)
    assert compare(gain, same).difference.low < 0
    kept = compare(gain, same, strata=[1, 1, 0, 0])
    assert (kept.difference.low, kept.difference.high, kept.better) == (0.0, 0.0, 0.5)
    # With 2 unknown queries among 8, draws of all at once would often hold none.
    interval = bootstrap_auroc(np.arange(8.0), known, strata=np.zeros(8, int))
    assert (interval.low, interval.high) == (1.0, 1.0)


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
def test_draws_of_any_block_are_as_likely(block):
    bootstrap = Bootstrap(0.95, 4000, 0)
    with mock.patch.object(intervals, "_BLOCK", block):
        drawn = np.concatenate(list(bootstrap.weights(5, None)))
        sums = bootstrap.sums(np.eye(5), None)
    for counts in (drawn, sums):
        assert (counts.sum(axis=1) == 5).all()
        np.testing.assert_allclose(counts.mean(axis=0), 1, atol=4 * np.sqrt(0.8 / 4000))
        np.testing.assert_allclose(counts.var(axis=0), 0.8, atol=0.1)


def covered(interval_of, truth, datasets=300):
    inside = 0
    for seed in range(datasets):
        interval = interval_of(np.random.default_rng(seed))
        inside += interval.low <= truth <= interval.high
    return inside / datasets


def test_95_of_100_intervals_hold_the_truth():
    few = {"resamples": 400}
    assert 0.90 <= covered(lambda rng: bootstrap_mean(rng.random(80) < 0.7, **few), 0.7) <= 0.98

    def by_class(rng):
        strata = np.arange(120) % 3
        return bootstrap_mean(rng.normal(strata, 1 + strata), strata=strata, **few)

    assert 0.90 <= covered(by_class, 1.0) <= 0.98

    def ratio(rng):
        answered = rng.random(150) < 0.6
        return bootstrap_ratio(answered & (rng.random(150) < 0.8), answered, **few)

    assert 0.90 <= covered(ratio, 0.8) <= 0.98

    def auroc(rng):
        known = np.arange(120) < 80
        return bootstrap_auroc(rng.normal(0, 1, 120) + ~known, known, **few)

    assert 0.90 <= covered(auroc, 0.7602) <= 0.98  # Phi(1 / sqrt(2))

    def recall(rng):
        return match_intervals(np.where(rng.random(150) < 0.703, 3, -1), np.full(150, 3), **few)["recall"]

    # Not a share of 150: whether the ends themselves count would matter otherwise.
    assert 0.90 <= covered(recall, 0.703) <= 0.98

    def difference(rng):
        hardness = rng.normal(0, 3, 80)
        return compare(hardness + rng.normal(0.5, 1, 80), hardness, **few).difference

    assert 0.90 <= covered(difference, 0.5) <= 0.98


def test_a_comparison_takes_out_what_is_hard_for_both():
    rng = np.random.default_rng(0)
    hardness = rng.normal(0, 5, 200)
    one, other = hardness + rng.normal(0.3, 0.5, 200), hardness + rng.normal(0, 0.5, 200)
    comparison = compare(one, other)
    assert comparison.difference.value == pytest.approx((one - other).mean())
    assert comparison.difference.low > 0
    assert comparison.better > 0.999
    assert bootstrap_mean(one).high - bootstrap_mean(one).low > 5 * (
        comparison.difference.high - comparison.difference.low
    )
    backwards = compare(other, one)
    assert backwards.better == pytest.approx(1 - comparison.better)
    assert backwards.difference.high < 0
    same = compare(one, one)
    assert same.better == 0.5
    assert repr(same) == "difference 0.000 [0.000, 0.000], better in 50.0% of resamples"


def test_queries_without_a_score_are_left_out():
    scores, strata = np.array([0.5, np.nan, 1.0, 0.0, 0.25]), np.array([1, 1, 2, 2, 2])
    scored = ~np.isnan(scores)
    assert bootstrap_mean(scores) == bootstrap_mean(scores[scored])
    assert bootstrap_mean(scores, strata=strata) == bootstrap_mean(scores[scored], strata=strata[scored])
    other = np.array([0.0, 1.0, np.nan, 0.5, 0.5])
    both = scored & ~np.isnan(other)
    assert compare(scores, other, strata=strata) == compare(scores[both], other[both], strata=strata[both])


def test_draws_without_a_denominator_are_left_out():
    interval = bootstrap_ratio([1, 0, 0], [1, 0, 0])
    assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)
    nothing = bootstrap_ratio([0, 0], [0, 0])
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    # All are known: no rate of the unknown, whatever is drawn.
    rates = match_intervals([1, 2, -1], [1, 1, 1])
    assert np.isnan([rates["false_acceptance"].value, rates["false_acceptance"].low]).all()
    assert 0 <= rates["recall"].low < rates["recall"].high
    # One of two is unknown: half of the draws hold none, or only it.
    assert match_intervals([1, 2], [1, -1])["false_acceptance"].low == 1.0


def calls(seed):
    predicted, labels, known, distances = answers(60)
    scores = np.random.default_rng(0).random(60)
    yield bootstrap_mean(scores, seed=seed, strata=labels)
    yield bootstrap_ratio(scores, scores[::-1], seed=seed)
    yield bootstrap_auroc(distances, known, seed=seed)
    yield match_intervals(predicted, labels, seed=seed)["recall"]
    yield compare(scores, scores[::-1], seed=seed)


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].tolist()
    for one, again, other in zip(calls(1), calls(1), calls(2), strict=True):
        assert one == again
        assert one != other
    assert np.random.get_state()[1].tolist() == before


def test_more_confidence_is_a_wider_interval():
    scores = np.random.default_rng(0).random(50)
    narrow, wide = (bootstrap_mean(scores, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < scores.mean() < narrow.high < wide.high
    assert (narrow.confidence, wide.confidence) == (0.5, 0.99)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="confidence must be a number above 0 and below 1, got 95"):
        bootstrap_mean([0.5], confidence=95)
    with pytest.raises(ValueError, match="resamples must be an integer of at least 1, got 0"):
        match_intervals([0], [0], resamples=0)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        bootstrap_auroc([0.0, 1.0], np.array([True, False]), seed=-1)
    with pytest.raises(ValueError, match="scores must be finite, or NaN to be left out; got 1 infinite"):
        bootstrap_mean([1.0, np.inf])
    with pytest.raises(ValueError, match="at least one query must have a score, got NaN for all 2"):
        bootstrap_mean([np.nan, np.nan])
    with pytest.raises(ValueError, match=r"scores must be numbers of shape \[num_queries\], got float64 of"):
        bootstrap_mean([[1.0]])
    with pytest.raises(ValueError, match="strata and scores must have the same length, got 1 and 2"):
        bootstrap_mean([1.0, 2.0], strata=[0])
    with pytest.raises(ValueError, match="scores_a and scores_b must have the same length, got 1 and 2"):
        compare([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="numerator and denominator must have the same length, got 1 and 2"):
        bootstrap_ratio([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="numerator and denominator must not be NaN, got 1 of them"):
        bootstrap_ratio([1.0], [np.nan])
    with pytest.raises(ValueError, match="queries must be both known and unknown, got 2 known and 0 unknown"):
        bootstrap_auroc([0.0, 1.0], np.array([True, True]))
    with pytest.raises(
        ValueError, match=r"names must be one of aupr_known, aupr_unknown, auroc, fpr@0\.95; got"
    ):
        open_set_intervals([0.0, 1.0], np.array([True, False]), names=["dir@0.01"])
