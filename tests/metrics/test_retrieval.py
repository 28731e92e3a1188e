from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb import metrics
from simnb.index import UNKNOWN, Neighbors, open_index
from simnb.metrics import (
    map_at_r,
    per_class,
    precision_at_k,
    r_precision,
    ranking,
    recall_at_k,
    retrieval_scores,
)


def neighbors_of(labels):
    labels = np.array(labels)
    return Neighbors(
        np.tile(np.arange(labels.shape[1], dtype="float32"), (len(labels), 1)), labels * 0, labels
    )


def scores_by_hand(found, label, k, r):
    """The definitions again, of one query, as loops; r is None where the gallery is not known."""
    right = [other == label and other != UNKNOWN for other in found]
    ranks = [rank for rank, hit in enumerate(right, start=1) if hit]
    scores = {"mrr": 1 / ranks[0] if ranks else 0.0, "first_rank": ranks[0] if ranks else np.inf}

    def precision_sum(depth):
        return sum(sum(right[:rank]) / rank for rank in ranks if rank <= depth)

    for depth in k:
        scores[f"recall@{depth}"] = float(any(right[:depth]))
        scores[f"precision@{depth}"] = sum(right[:depth]) / depth
        if r is not None:
            ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(r, depth) + 1))
            gained = sum(1 / np.log2(rank + 1) for rank in ranks if rank <= depth)
            scores[f"map@{depth}"] = precision_sum(depth) / r if r else np.nan
            scores[f"ndcg@{depth}"] = gained / ideal if r else np.nan
    if r is not None:
        scores["r_precision"] = sum(right[:r]) / r if r else np.nan
        scores["map@r"] = precision_sum(r) / r if r else np.nan
    return scores if r != 0 else dict.fromkeys(scores, np.nan)


@st.composite
def searches(draw):
    """Neighbors of some queries in a gallery, of which some are rows of it themselves."""
    label = st.integers(UNKNOWN, 3)
    gallery = draw(st.lists(label, min_size=2, max_size=9))
    own = draw(st.lists(st.integers(UNKNOWN, len(gallery) - 1), min_size=1, max_size=6))
    queries = [gallery[i] if i >= 0 else draw(label) for i in own]
    k = draw(st.integers(2, len(gallery) + 2))
    ids = []
    for _ in own:
        order = list(draw(st.permutations(range(len(gallery)))))[:k]
        ids.append(order + [-1] * (k - len(order)))
    found = np.array([[gallery[i] if i >= 0 else UNKNOWN for i in row] for row in ids])
    distances = np.where(np.array(ids) >= 0, np.arange(k, dtype="float32"), np.inf)
    return Neighbors(distances, np.array(ids), found), queries, gallery, own


def check_scores(scores, found, queries, ks, sizes):
    if sizes is not None and max(sizes) > len(found[0]):
        assert "map@r" not in scores
        assert "r_precision" not in scores
    by_hand = [
        scores_by_hand(row, label, ks, size)
        for row, label, size in zip(found, queries, sizes or [None] * len(queries), strict=True)
    ]
    optional = {"map@r", "r_precision"}
    assert set(scores) | optional == set(by_hand[0]) | optional
    for name, values in scores.items():
        np.testing.assert_allclose(values, [one[name] for one in by_hand], rtol=1e-12, err_msg=name)


@settings(deadline=None, max_examples=200)
@given(searches(), st.sampled_from([1, 7, 1 << 18]))
def test_scores_equal_their_loops_with_empty_places_and_unknown_labels(search, block):
    neighbors, queries, gallery, _ = search
    ks = (1, 2)
    sizes = [0 if label == UNKNOWN else gallery.count(label) for label in queries]
    with mock.patch.object(ranking, "_BLOCK", block):
        alone = retrieval_scores(neighbors, queries, k=ks)
        scores = retrieval_scores(neighbors, queries, gallery_labels=gallery, k=ks)
    check_scores(alone, neighbors.labels.tolist(), queries, ks, None)
    assert ("map@r" in scores) == (max(sizes) <= neighbors.k)
    check_scores(scores, neighbors.labels.tolist(), queries, ks, sizes)


@settings(deadline=None, max_examples=200)
@given(searches(), st.sampled_from([1, 7, 1 << 18]))
def test_scores_of_queries_that_are_rows_equal_their_loops_over_the_other_rows(search, block):
    neighbors, queries, gallery, own = search
    found, sizes = [], []
    for ids, labels, label, mine in zip(
        neighbors.ids.tolist(), neighbors.labels.tolist(), queries, own, strict=True
    ):
        others = [other for i, other in zip(ids, labels, strict=True) if i != mine or i < 0]
        found.append(others[: neighbors.k - 1])
        sizes.append(0 if label == UNKNOWN else gallery.count(label) - (mine >= 0))
    with mock.patch.object(ranking, "_BLOCK", block):
        scores = retrieval_scores(neighbors, queries, gallery_labels=gallery, query_ids=own, k=1)
    check_scores(scores, found, queries, (1,), sizes)


@settings(deadline=None)
@given(searches())
def test_every_function_is_a_mean_of_the_scores(search):
    neighbors, queries, gallery, own = search
    both = {"gallery_labels": gallery, "query_ids": own}
    scores = retrieval_scores(neighbors, queries, **both, k=1)
    labels = np.array(queries)
    absent = any(
        mine < 0 and (label == UNKNOWN or label not in gallery)
        for label, mine in zip(queries, own, strict=True)
    )
    functions = {
        "recall@1": lambda **options: metrics.recall_at_k(neighbors, queries, 1, **both, **options),
        "precision@1": lambda **options: metrics.precision_at_k(neighbors, queries, 1, **both, **options),
        "mrr": lambda **options: metrics.mean_reciprocal_rank(neighbors, queries, **both, **options),
    }
    given_gallery = {"map@1": metrics.map_at_k, "ndcg@1": metrics.ndcg_at_k}
    for name, function in given_gallery.items() if not absent else ():
        functions[name] = lambda function=function, **options: function(
            neighbors, queries, gallery, 1, query_ids=own, **options
        )
    whole = {"r_precision": metrics.r_precision, "map@r": metrics.map_at_r}
    for name, function in whole.items() if not absent and "map@r" in scores else ():
        functions[name] = lambda function=function, **options: function(
            neighbors, queries, gallery, query_ids=own, **options
        )
    for name, function in functions.items():
        counted = ~np.isnan(scores[name])
        if not counted.any():
            with pytest.raises(ValueError, match="at least one query must have a row of its class to find"):
                function()
            continue
        classes = sorted(set(labels[counted].tolist()))
        means = [scores[name][counted & (labels == label)].mean() for label in classes]
        assert function() == pytest.approx(scores[name][counted].mean())
        assert function(average="micro") == function()
        assert function(average="macro") == pytest.approx(np.mean(means))
        found, of_classes, counts = per_class(scores[name], labels)
        assert found.tolist() == classes
        np.testing.assert_allclose(of_classes, means)
        assert counts.tolist() == [(labels[counted] == label).sum() for label in classes]


def test_a_query_is_taken_out_by_its_id_wherever_it_stands():
    # Two rows at the same place: the index may name the twin first.
    labels = [0, 1, 0, 0]
    neighbors = Neighbors([[0.0, 0.0, 1.0], [0.0, 1.0, 2.0]], [[1, 0, 2], [2, 3, 0]], [[1, 0, 0], [0, 0, 0]])
    scores = retrieval_scores(neighbors, [0, 0], gallery_labels=labels, query_ids=[0, 0], k=(1, 2))
    assert scores["recall@1"].tolist() == [0.0, 1.0]
    assert scores["precision@2"].tolist() == [0.5, 1.0]


def test_the_only_row_of_a_class_has_no_score_and_is_left_out_of_means():
    neighbors = neighbors_of([[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    neighbors = Neighbors(neighbors.distances, [[0, 1, 2], [1, 2, 0], [2, 0, 1]], neighbors.labels)
    options = {"gallery_labels": [0, 0, 1], "query_ids": [0, 1, 2]}
    assert np.isnan(retrieval_scores(neighbors, [0, 0, 1], **options)["recall@1"]).tolist() == [0, 0, 1]
    assert recall_at_k(neighbors, [0, 0, 1], **options) == 0.5
    assert metrics.map_at_r(neighbors, [0, 0, 1], [0, 0, 1], query_ids=[0, 1, 2]) == 0.5


def test_k_is_as_many_of_1_5_and_10_as_were_searched():
    neighbors = neighbors_of([[0] * 6])
    assert {n for n in retrieval_scores(neighbors, [0]) if "recall" in n} == {"recall@1", "recall@5"}
    ten = retrieval_scores(neighbors_of([[0] * 10]), [0])
    assert [name for name in ten if "recall" in name] == ["recall@1", "recall@5", "recall@10"]
    both = retrieval_scores(neighbors, [0], k=np.array([3, 1, 3]))
    assert [name for name in both if "recall" in name] == ["recall@3", "recall@1"]


def test_rank_statistics_tell_what_was_not_found_from_what_was():
    neighbors = neighbors_of([[1, 0, 1], [0, 1, 1], [1, 1, 1], [1, 1, 0]])
    ranks = metrics.rank_statistics(neighbors, [0, 0, 0, 0])
    assert ranks == {"median": 2.5, "mean": 2.0, "found": 0.75}
    assert metrics.rank_statistics(neighbors[[0, 2, 2]], [0, 0, 0])["median"] == np.inf
    none = metrics.rank_statistics(neighbors[2], [0])
    assert np.isnan(none["mean"])
    assert none["found"] == 0


def test_a_place_left_empty_by_a_small_gallery_is_not_a_hit():
    index = open_index()
    index.add([[1.0, 0.0]], [3])
    neighbors = index.search([[1.0, 0.0]], k=4)
    assert recall_at_k(neighbors, [3], 4) == 1.0
    assert precision_at_k(neighbors, [3], 4) == 0.25
    assert recall_at_k(neighbors, [-1], 4) == 0.0


def test_a_query_of_a_class_the_gallery_lacks_is_a_miss_for_recall_and_an_error_for_r():
    neighbors = neighbors_of([[0, 1], [1, 0]])
    assert recall_at_k(neighbors, [0, 7], 1) == 0.5
    with pytest.raises(ValueError, match=r"but 1 queries have classes it lacks, for example 7; measure"):
        map_at_r(neighbors, [0, 7], [0, 1])


def test_bad_input_is_named():
    neighbors = neighbors_of([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="k must be at most the 2 neighbors that were searched, got 3"):
        recall_at_k(neighbors, [0, 1], 3)
    with pytest.raises(ValueError, match="labels and neighbors must have the same length, got 1 and 2"):
        precision_at_k(neighbors, [0])
    with pytest.raises(ValueError, match=r"neighbors must have k >= 3, the largest class, got k=2"):
        r_precision(neighbors, [0, 0], [0, 0, 0])
    with pytest.raises(ValueError, match="neighbors must hold at least one example"):
        recall_at_k(neighbors[:0], [])


def test_neighbors_must_reach_as_far_as_the_largest_class():
    # Classes of 1 and 3: with k=2 the figure of the second class would be wrong.
    with pytest.raises(ValueError, match="neighbors must have k >= 3, the largest class, got k=2"):
        map_at_r(neighbors_of([[0, 1], [1, 1]]), [0, 1], [0, 1, 1, 1])


def test_rows_without_a_label_are_no_class_of_the_gallery():
    assert r_precision(neighbors_of([[0, -1, -1]]), [0], [0, -1, -1]) == 1.0


def test_what_does_not_belong_together_is_named():
    neighbors = Neighbors([[0.0, 1.0], [0.0, 1.0]], [[3, 4], [4, 3]], [[0, 1], [1, 0]])
    with pytest.raises(ValueError, match="query_ids must come with gallery_labels"):
        retrieval_scores(neighbors, [0, 1], query_ids=[3, 4])
    with pytest.raises(ValueError, match="but query 1 is of class 1, and the row with its id 3 of class 0"):
        retrieval_scores(neighbors, [0, 1], gallery_labels=[0, 0, 1, 1], query_ids=[3, 3])
    with pytest.raises(ValueError, match=r"but it has no row of class 7, that of query 1; give queries"):
        retrieval_scores(neighbors, [0, 7], gallery_labels=[0, 0, 1], query_ids=[3, 4])
    with pytest.raises(ValueError, match="but query 1 found 1 neighbors of class 1, of 0 there can be"):
        retrieval_scores(neighbors, [0, 1], gallery_labels=[0, 0])
    with pytest.raises(ValueError, match="k must be at most the 1 neighbors that were searched, without the"):
        recall_at_k(neighbors, [0, 1], 2, gallery_labels=[0, 0, 1, 1], query_ids=[3, 4])
    with pytest.raises(ValueError, match="neighbors must have k >= 2, since one may be the query itself"):
        retrieval_scores(neighbors_of([[0]]), [0], gallery_labels=[0, 0], query_ids=[0])
    with pytest.raises(ValueError, match="neighbors must have k >= 3, the largest class, got k=2"):
        map_at_r(neighbors, [0, 1], [0, 0, 0, 1, 1], query_ids=[3, 4])
    with pytest.raises(ValueError, match="gallery_labels must hold at least one example"):
        retrieval_scores(neighbors, [0, 1], gallery_labels=[])
    with pytest.raises(ValueError, match="gallery_labels must be the label of every gallery row, got None"):
        metrics.map_at_k(neighbors, [0, 1], None, 1)
    with pytest.raises(ValueError, match="average must be one of macro, micro; got 'weighted'"):
        recall_at_k(neighbors, [0, 1], average="weighted")
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got 0"):
        retrieval_scores(neighbors, [0, 1], k=[1, 0])
    with pytest.raises(ValueError, match="k must be an integer of at least 1, got True"):
        retrieval_scores(neighbors, [0, 1], k=[1, True])
    with pytest.raises(ValueError, match="labels and scores must have the same length, got 1 and 2"):
        per_class([0.0, 1.0], [0])
