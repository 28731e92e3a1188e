import numpy as np
import pytest

from simnb.metrics import evaluate_matches, known_queries, match_rates


def test_match_rates_are_their_definitions():
    rates = match_rates(6, 2, 4, 1, 7)
    assert rates["precision"] == pytest.approx(6 / 9)
    assert rates["recall"] == pytest.approx(6 / 12)
    assert rates["f1"] == pytest.approx(2 * (6 / 9) * 0.5 / (6 / 9 + 0.5))
    assert rates["accuracy"] == pytest.approx(13 / 20)
    assert rates["coverage"] == pytest.approx(8 / 12)
    assert rates["false_acceptance"] == pytest.approx(1 / 8)


def test_match_rates_where_nothing_is_accepted_or_nothing_is_unknown():
    rates = match_rates(0, 0, 5, 0, 0)
    assert (rates["precision"], rates["recall"], rates["f1"], rates["coverage"]) == (1, 0, 0, 0)
    assert np.isnan(rates["false_acceptance"])
    assert np.isnan(match_rates(0, 0, 0, 1, 1)["recall"])


def test_evaluate_matches_counts_known_and_unknown_queries_apart():
    predicted = [0, 1, -1, 2, -1, 0]
    labels = [0, 0, 0, 7, 7, -1]
    measured = evaluate_matches(predicted, labels, known_labels=[0, 1, 2])
    assert evaluate_matches(predicted, labels, known_labels={0, 1, 2}) == measured
    expected = match_rates(1, 1, 1, 2, 1)
    assert measured == pytest.approx({name: float(rate) for name, rate in expected.items()})
    # Without known_labels, class 7 counts as known.
    assert evaluate_matches(predicted, labels)["recall"] == pytest.approx(1 / 5)


def test_known_labels_may_be_any_collection_of_integers():
    for known in ({0, 1}, [0, 1], np.array([1, 0]), range(2)):
        assert evaluate_matches([0, 1, -1], [0, 1, 5], known_labels=known)["accuracy"] == 1.0
    with pytest.raises(ValueError, match="known_labels must be integers"):
        evaluate_matches([0], [0], known_labels=["cat"])
    # UNKNOWN is never a known class, whatever the list says.
    assert evaluate_matches([-1], [-1], known_labels=[-1, 0])["accuracy"] == 1.0


def test_equal_f1_scores_are_equal_to_the_last_bit():
    # 2 * 14 / (28 + 2 * 20 + 2 + 30) = 2 * 14 / (28 + 2 * 30 + 5 + 7) = 28 / 100
    assert match_rates(14, 20, 30, 2, 0)["f1"] == match_rates(14, 30, 7, 5, 0)["f1"] == 0.28


def test_unknown_is_no_known_class_and_without_a_list_all_others_are():
    assert known_queries(np.array([0, -1, 5])).tolist() == [True, False, True]
    assert known_queries(np.array([0, -1, 5]), [0, -1]).tolist() == [True, False, False]
    assert known_queries(np.array([0, 5]), 5).tolist() == [False, True]


def test_bad_matches_are_named():
    with pytest.raises(ValueError, match="labels and predicted must have the same length, got 1 and 2"):
        evaluate_matches([0, 1], [0])
    with pytest.raises(ValueError, match="predicted must hold at least one example"):
        evaluate_matches([], [])
