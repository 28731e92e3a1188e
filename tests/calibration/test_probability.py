import json

import numpy as np
import pytest
from scipy.special import expit

from simnb.calibration import MatchProbability, expected_calibration_error, fit_probability, reliability
from simnb.matching import Matches, match


def draw(count, seed):
    """Matches whose probability to be right is known: it falls with the distance."""
    rng = np.random.default_rng(seed)
    distances = rng.random(count)
    truth = expit(4 - 10 * distances)
    answers = rng.integers(0, 3, count)
    labels = np.where(rng.random(count) < truth, answers, (answers + 1) % 3)
    return Matches(answers, distances.astype("float32")), labels, truth


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_the_probability_is_that_of_the_population(method):
    matches, labels, _ = draw(5_000, 0)
    probability = fit_probability(matches, labels, method=method)
    fresh, labels, truth = draw(5_000, 1)
    predicted = probability(fresh.distances)
    assert np.abs(predicted - truth).mean() < 0.02
    assert expected_calibration_error(predicted, fresh.labels == labels) < 0.03
    grid = probability(np.linspace(0, 2, 100))
    assert (np.diff(grid) <= 0).all()
    assert ((grid >= 0) & (grid <= 1)).all()
    assert probability(np.inf) == 0


def test_platts_log_odds_are_found():
    matches, labels, _ = draw(20_000, 2)
    slope, intercept = fit_probability(matches, labels, method="platt").probabilities
    assert slope == pytest.approx(-10, rel=0.1)
    assert intercept == pytest.approx(4, rel=0.1)


def test_unknown_queries_are_wrong_matches(population):
    neighbors, labels = population.draw(2_000, 0)
    matches = match(neighbors)
    probability = fit_probability(matches, labels)
    right = matches.labels == labels
    assert probability(matches.distances).mean() == pytest.approx(right.mean())
    only_0 = fit_probability(matches, labels, known_labels=[0])
    assert only_0(matches.distances).mean() == pytest.approx((right & (labels == 0)).mean())


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_json_comes_back_whole(method):
    matches, labels, _ = draw(200, 3)
    probability = fit_probability(matches, labels, method=method)
    text = probability.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    copy = MatchProbability.from_json(text)
    grid = np.linspace(0, 1, 50)
    np.testing.assert_array_equal(copy(grid), probability(grid))
    assert repr(copy) == repr(probability) == f"MatchProbability({method}, nearest, fitted on 200 queries)"
    for other in ("[]", "{}", text[:20]):
        with pytest.raises(ValueError, match="the text is not a MatchProbability, as its to_json writes it"):
            MatchProbability.from_json(other)
    with pytest.raises(ValueError, match="must be of format 1, got 2, of another version of simnb; install"):
        MatchProbability.from_json(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(ValueError, match="the text is not a whole MatchProbability of format 1"):
        MatchProbability.from_json('{"format": 1}')


def test_matches_made_with_a_threshold_are_refused(population):
    neighbors, labels = population.draw(100, 0)
    with pytest.raises(ValueError, match=r"must be made without a threshold, got \d+ of 100 rejected"):
        fit_probability(match(neighbors, 0.4), labels)


def test_far_matches_that_are_likelier_right_get_a_level_line():
    matches = Matches(np.zeros(4, int), np.array([0.1, 0.2, 0.8, 0.9]))
    for method in ("isotonic", "platt"):
        grid = fit_probability(matches, [1, 1, 0, 0], method=method)(np.array([0.1, 0.9]))
        np.testing.assert_allclose(grid, [0.5, 0.5])


def test_separable_matches_keep_a_finite_slope():
    matches = Matches(np.zeros(4, int), np.array([0.1, 0.2, 0.8, 0.9]))
    grid = fit_probability(matches, [0, 0, 1, 1], method="platt")(np.array([0.1, 0.9]))
    np.testing.assert_allclose(grid, [0.75, 0.25], atol=0.05)  # Platt's targets: (2 + 1) / (2 + 2)


def test_matches_without_a_neighbor_are_left_out():
    matches = Matches(np.array([0, 0, -1]), np.array([0.1, 0.2, np.inf]))
    assert fit_probability(matches, [0, 1, 0]).num_queries == 2


def test_reliability_is_counted_by_hand():
    probabilities = np.array([0.1, 0.1, 0.3, 0.5, 0.9, 0.9])
    right = np.array([False, True, False, True, True, True])
    mean, share, counts = reliability(probabilities, right, bins=3)
    np.testing.assert_allclose(mean, [0.1, 0.4, 0.9])
    np.testing.assert_allclose(share, [0.5, 0.5, 1.0])
    assert counts.tolist() == [2, 2, 2]
    error = expected_calibration_error(probabilities, right, bins=3)
    assert error == pytest.approx((0.4 * 2 + 0.1 * 2 + 0.1 * 2) / 6)
    mean, share, counts = reliability(np.full(5, 0.4), np.array([True] * 2 + [False] * 3))
    assert (mean.tolist(), share.tolist(), counts.tolist()) == ([pytest.approx(0.4)], [0.4], [5])


def test_bad_input_is_named():
    matches, labels, _ = draw(10, 0)
    with pytest.raises(ValueError, match="method must be one of isotonic, platt; got 'spline'"):
        fit_probability(matches, labels, method="spline")
    with pytest.raises(ValueError, match="labels and matches must have the same length, got 3 and 10"):
        fit_probability(matches, labels[:3])
    with pytest.raises(ValueError, match="platt needs right and wrong matches, got 10 right of 10"):
        fit_probability(matches, matches.labels, method="platt")
    with pytest.raises(ValueError, match="matches must have neighbors, got none for any of 1 queries"):
        fit_probability(Matches(np.array([-1]), np.array([np.inf])), [0])
    with pytest.raises(ValueError, match="distances must not be NaN"):
        fit_probability(matches, labels)([np.nan])
    with pytest.raises(ValueError, match=r"right must be booleans of shape \(2,\) like probabilities"):
        reliability(np.array([0.1, 0.2]), np.array([1, 0]))
    with pytest.raises(ValueError, match="probabilities must be from 0 to 1"):
        reliability(np.array([0.1, 1.2]), np.array([True, False]))
