import numpy as np
import pytest
from sklearn.datasets import load_digits

from simnb.collection import mislabelled
from simnb.index import UNKNOWN, open_index

from .conftest import PLAIN, distances, rows


def candidates_by_loops(every, labels, k):
    """(row, suggested, votes for it, votes for its own, distance), the likeliest first."""
    result = []
    known = [i for i, label in enumerate(labels) if label != UNKNOWN]
    for i in known:
        nearest = sorted((j for j in known if j != i), key=lambda j: (every[i, j], j))[:k]
        votes = [labels[j] for j in nearest]
        others = [label for label in votes if label != labels[i]]
        if not others:
            continue
        suggested = max(others, key=votes.count)  # the first of equal ones is the nearest
        lead = votes.count(suggested) - votes.count(labels[i])
        if lead > 0:
            distance = every[i, nearest[votes.index(suggested)]]
            result.append((-lead, distance, i, suggested, votes.count(suggested), votes.count(labels[i])))
    return [(i, label, one, other, distance) for _, distance, i, label, one, other in sorted(result)]


@pytest.mark.parametrize("distance", [*PLAIN, "inner_product"])
@pytest.mark.parametrize("k", [1, 4, 10, 500])
def test_candidates_are_those_of_a_plain_vote(distance, k):
    embeddings, labels = rows(60), np.random.default_rng(1).integers(-1, 4, 60)
    plain = {"inner_product": lambda a, b: -(a @ b)}.get(distance)
    precise = embeddings.astype(np.float64)
    every = -(precise @ precise.T) if plain else distances(embeddings, embeddings, distance)
    index = open_index(distance=distance)
    index.add(embeddings, labels, ids=np.arange(60) + 7)
    found = mislabelled(index, k=k)
    expected = candidates_by_loops(every, labels.tolist(), k)
    assert len(expected) > 5
    assert found.ids.tolist() == [row[0] + 7 for row in expected]
    assert found.labels.tolist() == [labels[row[0]] for row in expected]
    assert found.suggested.tolist() == [row[1] for row in expected]
    assert found.votes.tolist() == [list(row[2:4]) for row in expected]
    np.testing.assert_allclose(found.distances, [row[4] for row in expected], rtol=1e-4, atol=1e-5)
    number = np.count_nonzero(labels != UNKNOWN)
    assert found.k == min(k, number - 1)
    np.testing.assert_allclose(found.scores, [(row[2] - row[3]) / found.k for row in expected])
    assert found.num_rows == number
    assert found.agreement == pytest.approx(1 - len(expected) / number)


def test_a_row_does_not_vote_for_itself_however_many_copies_it_has():
    index = open_index()
    index.add(np.repeat(rows(2), [30, 5], axis=0), [0] * 29 + [1] + [1] * 5)
    found = mislabelled(index)
    assert found.ids.tolist()[0] == 29
    assert found.votes.tolist()[0] == [10, 0]


def test_planted_wrong_labels_come_first_where_the_embedding_is_good():
    digits = load_digits()
    labels, rng = digits.target.copy(), np.random.default_rng(0)
    wrong = rng.choice(len(labels), 90, replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, 90)) % 10
    index = open_index()
    index.add(digits.data, labels)
    found = mislabelled(index)
    planted = np.isin(found.ids, wrong)
    assert planted.sum() >= 0.95 * 90
    assert planted.mean() > 0.7
    assert planted[found.scores >= 0.5].mean() > 0.85
    assert planted[:45].mean() > 0.95
    right = found.suggested == digits.target[found.ids]
    assert right[planted].mean() > 0.95


def test_names_are_shown_and_rows_without_a_label_neither_vote_nor_come_up(tmp_path):
    embeddings = np.concatenate([np.eye(2)] * 12)
    names = ["<a>", "b"] * 11 + ["b", None]
    with open_index(tmp_path / "rows.sqlite") as index:
        index.add(embeddings, names)
        found = mislabelled(index)
    lines = repr(found).splitlines()
    assert lines[0] == (
        "1 candidate for a wrong label among 23 labelled rows; the 10 nearest agree with 95.7%"
    )
    assert lines[2].split() == ["22", "b", "<a>", "1.00", "10", "to", "0", "of", "10"]
    assert "&lt;a&gt;" in found._repr_html_()
    assert "<a>" not in found._repr_html_()


def test_one_labelled_row_is_right_and_none_is_an_error():
    index = open_index()
    index.add(rows(3), [UNKNOWN, 4, UNKNOWN])
    alone = mislabelled(index)
    assert (len(alone), alone.k, alone.num_rows, alone.agreement) == (0, 0, 1, 1.0)
    assert repr(alone).count("\n") == 0
    index.update([1], labels=[UNKNOWN])
    with pytest.raises(ValueError, match="needs labelled rows, but none of the 3 rows has a label"):
        mislabelled(index)
    with pytest.raises(ValueError, match="needs labelled rows, but none of the 0 rows"):
        mislabelled(open_index())
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got 0"):
        mislabelled(index, k=0)
