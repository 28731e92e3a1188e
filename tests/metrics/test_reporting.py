import sys
from collections.abc import Mapping

import numpy as np
import pytest

from simnb import metrics
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import match_nearest
from simnb.metrics import report


def search(num_queries=60, num_gallery=20, k=12, seed=0):
    """A gallery of classes 0 to 3, queries of 0 to 4, found more often than not."""
    rng = np.random.default_rng(seed)
    gallery = rng.integers(0, 4, num_gallery)
    labels = rng.choice(5, num_queries, p=[0.5, 0.15, 0.1, 0.05, 0.2])
    noise = rng.random((num_queries, num_gallery)) + 0.5 * (gallery != labels[:, None])
    ids = np.argsort(noise, axis=1)[:, :k]
    distances = np.take_along_axis(noise, ids, axis=1)
    return Neighbors(distances, ids, gallery[ids]), labels, gallery


def rows(table):
    keys = ("metric", "average", "class", "value", "num_queries")
    return list(zip(*(table[key].tolist() for key in keys), strict=True))


def test_retrieval_is_that_of_the_queries_of_known_classes():
    neighbors, labels, gallery = search()
    table = report(neighbors, labels, gallery_labels=gallery)
    known = labels != 4
    assert 0 < known.sum() < 60
    asked, of = (neighbors[known], labels[known])
    for average in ("micro", "macro"):
        expected = {"mrr": metrics.mean_reciprocal_rank(asked, of, average=average)}
        expected["r_precision"] = metrics.r_precision(asked, of, gallery, average=average)
        expected["map@r"] = metrics.map_at_r(asked, of, gallery, average=average)
        for k in (1, 5, 10):
            expected[f"recall@{k}"] = metrics.recall_at_k(asked, of, k, average=average)
            expected[f"precision@{k}"] = metrics.precision_at_k(asked, of, k, average=average)
            expected[f"map@{k}"] = metrics.map_at_k(asked, of, gallery, k, average=average)
            expected[f"ndcg@{k}"] = metrics.ndcg_at_k(asked, of, gallery, k, average=average)
        values = {name: table.value(name, average) for name in expected}
        assert values == pytest.approx(expected)
    assert table["num_queries"][0] == known.sum()


def test_open_set_metrics_are_those_of_the_nearest_neighbor():
    neighbors, labels, gallery = search()
    distances, known = neighbors.distances[:, 0], labels != 4
    right = neighbors.labels[:, 0] == labels
    table = report(neighbors, labels, known_labels={0, 1, 2, 3})
    assert table.value("auroc") == metrics.auroc(distances, known)
    assert table.value("aupr_known") == metrics.aupr(distances, known)
    assert table.value("aupr_unknown") == metrics.aupr(distances, known, "unknown")
    assert table.value("fpr@0.95") == metrics.fpr_at_recall(distances, known)
    rate = metrics.detection_and_identification_rate(distances, right, known)
    assert table.value("dir@0.01") == rate
    assert 0 < rate < 1
    none_unknown = report(neighbors[known], labels[known], gallery_labels=gallery)
    assert "auroc" not in none_unknown["metric"]
    assert "auroc" not in report(neighbors, labels)["metric"]  # without a list, all but UNKNOWN are known


def test_rates_of_matches_are_there_where_matches_are():
    neighbors, labels, gallery = search()
    matches = match_nearest(neighbors, 0.2)
    table = report(neighbors, labels, gallery_labels=gallery, matches=matches)
    expected = metrics.evaluate_matches(matches.labels, labels, known_labels=gallery)
    assert {name: table.value(name) for name in expected} == pytest.approx(expected)
    counts = dict(zip(table["metric"].tolist(), table["num_queries"].tolist(), strict=True))
    known = int((labels != 4).sum())
    assert [counts[name] for name in ("precision", "recall", "false_acceptance")] == [60, known, 60 - known]
    assert not set(expected) & set(report(neighbors, labels, gallery_labels=gallery)["metric"])


def test_rows_by_class_are_those_of_the_class_alone():
    neighbors, labels, gallery = search()
    matches = match_nearest(neighbors, 0.3)
    table = report(neighbors, labels, gallery_labels=gallery, matches=matches, by_class=True)
    for label in range(4):
        own = labels == label
        alone = report(
            neighbors[own], labels[own], gallery_labels=gallery, matches=match_nearest(neighbors[own], 0.3)
        )
        for name in ("recall@1", "precision@5", "map@10", "map@r", "mrr", "recall", "coverage"):
            assert table.value(name, label=label) == pytest.approx(alone.value(name)), name
        assert ("mrr", "class", label, table.value("mrr", label=label), own.sum()) in rows(table)
    unknown = labels == 4
    assert table.value("false_acceptance", label=UNKNOWN) == table.value("false_acceptance")
    assert ("false_acceptance", "class", -1, table.value("false_acceptance"), unknown.sum()) in rows(table)
    means = [table.value("recall@1", label=label) for label in range(4)]
    assert table.value("recall@1", "macro") == pytest.approx(np.mean(means))


def test_intervals_are_those_of_a_bootstrap_within_classes():
    neighbors, labels, gallery = search(200)
    matches = match_nearest(neighbors, 0.25)
    options = {"confidence": 0.9, "resamples": 3000}
    given = {"gallery_labels": gallery, "matches": matches}
    table = report(neighbors, labels, **given, **options, by_class=True)
    plain = report(neighbors, labels, **given, by_class=True)
    np.testing.assert_allclose(table["value"], plain["value"], rtol=1e-12)
    assert np.isnan(plain["low"]).all()
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()

    def ends(metric, average, label=UNKNOWN):
        row = (table["metric"] == metric) & (table["average"] == average) & (table["class"] == label)
        assert row.sum() == 1
        return [table["low"][row][0], table["high"][row][0]]

    def close(found, interval):
        np.testing.assert_allclose(found, [interval.low, interval.high], atol=0.012)

    known = labels != 4
    scores = metrics.retrieval_scores(neighbors[known], labels[known], gallery_labels=gallery)
    of, counts = labels[known], np.bincount(labels[known])
    for name in ("precision@5", "map@r", "ndcg@10"):
        close(ends(name, "micro"), metrics.bootstrap_mean(scores[name], strata=of, **options))
        # Class sizes are kept, so that the mean of the classes is a mean with weights.
        weighted = scores[name] * len(of) / (4 * counts[of])
        close(ends(name, "macro"), metrics.bootstrap_mean(weighted, strata=of, **options))
        close(ends(name, "class", 2), metrics.bootstrap_mean(scores[name][of == 2], **options))
    groups = np.where(known, labels, UNKNOWN)
    rates = metrics.match_intervals(matches.labels, labels, known_labels=gallery, strata=groups, **options)
    for name, interval in rates.items():
        assert ends(name, "micro") == [interval.low, interval.high]
    own = labels == 1
    alone = metrics.match_intervals(matches.labels[own], labels[own], **options)
    close(ends("coverage", "class", 1), alone["coverage"])
    right = neighbors.labels[:, 0] == labels
    open_set = metrics.open_set_intervals(neighbors.distances[:, 0], known, right, strata=groups, **options)
    for name, interval in open_set.items():
        assert ends(name, "micro") == [interval.low, interval.high]


def test_the_seed_decides_the_intervals_and_the_global_generator_is_left_alone():
    neighbors, labels, gallery = search()
    before = np.random.get_state()[1].tolist()
    one, again, other = (
        report(neighbors, labels, gallery_labels=gallery, confidence=0.9, resamples=50, seed=seed)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one["low"], again["low"])
    assert not np.array_equal(one["low"], other["low"])
    assert np.random.get_state()[1].tolist() == before


def test_queries_that_are_rows_are_measured_without_themselves():
    rng = np.random.default_rng(0)
    rows_of_gallery, labels = rng.normal(size=(30, 3)), np.arange(30) % 3
    labels[29] = 9  # the only one of its class
    squared = ((rows_of_gallery[:, None] - rows_of_gallery) ** 2).sum(axis=-1)
    ids = np.argsort(squared, axis=1)
    neighbors = Neighbors(np.take_along_axis(squared, ids, axis=1), ids, labels[ids])
    own = np.arange(30)
    table = report(neighbors, labels, gallery_labels=labels, query_ids=own, known_labels=[0, 1, 9])
    others = Neighbors(neighbors.distances[:, 1:], ids[:, 1:], neighbors.labels[:, 1:])
    counted = np.isin(labels, [0, 1])
    expected = metrics.precision_at_k(others[counted], labels[counted], 5)
    assert table.value("precision@5") == pytest.approx(expected)
    assert table["num_queries"][0] == 20
    known = np.isin(labels, [0, 1, 9])
    assert table.value("auroc") == metrics.auroc(others.distances[:, 0], known)
    right = others.labels[:, 0] == labels
    rate = metrics.detection_and_identification_rate(others.distances[:, 0], right, known)
    assert table.value("dir@0.01") == rate


def test_what_cannot_be_told_is_left_out():
    neighbors, labels, gallery = search(k=3)
    named = set(report(neighbors, labels, gallery_labels=gallery)["metric"])
    assert {"recall@1", "map@1", "ndcg@1", "mrr"} <= named
    assert not {"recall@5", "map@r", "r_precision", "first_rank"} & named
    without = set(report(neighbors, labels)["metric"])
    assert without == {"recall@1", "precision@1", "mrr"}


def test_a_report_is_a_mapping_of_columns_of_equal_length():
    neighbors, labels, gallery = search()
    table = report(neighbors, labels, gallery_labels=gallery)
    assert isinstance(table, Mapping)
    expected = ["metric", "average", "class", "value", "low", "high", "num_queries"]
    assert list(table) == list(dict(table)) == expected
    assert len(table) == 7
    assert {len(column) for column in table.values()} == {len(table["metric"])}
    assert len({table, report(neighbors, labels)}) == 2


def test_a_table_becomes_a_data_frame():
    pandas = pytest.importorskip("pandas")  # why: simnb does not need it
    neighbors, labels, gallery = search()
    frame = report(neighbors, labels, gallery_labels=gallery).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns)[:4] == ["metric", "average", "class", "value"]
    assert frame["value"].between(0, 1).all()


def test_without_pandas_the_way_to_it_is_named(monkeypatch):
    neighbors, labels, _ = search()
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        report(neighbors, labels).to_pandas()


def small(confidence=None, class_names=None):
    neighbors = Neighbors([[0.1], [0.2], [0.3]], [[0], [1], [2]], [[0], [1], [0]], class_names=class_names)
    labels, matches = [0, 1, -1], match_nearest(neighbors, 0.25)
    return report(neighbors, labels, matches=matches, by_class=True, confidence=confidence, resamples=20)


def test_a_report_prints_as_an_aligned_table():
    lines = repr(small()).splitlines()
    assert lines[:4] == [
        "metric            average  class    value  num_queries",
        "recall@1          micro             1.000            2",
        "recall@1          macro             1.000            2",
        "recall@1          class    0        1.000            1",
    ]
    assert "false_acceptance  class    UNKNOWN  0.000            1" in lines
    assert (
        "recall@1          micro             1.000  [1.000, 1.000]            2"
        in repr(small(0.95)).splitlines()
    )
    assert "95% interval" in repr(small(0.95))


def test_names_of_classes_are_shown_and_escaped():
    table = small(class_names=("<b>cat</b>", "dog & co"))
    assert "<b>cat</b>" in repr(table)
    html = table._repr_html_()
    assert ">&lt;b&gt;cat&lt;/b&gt;</td>" in html
    assert ">dog &amp; co</td>" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 1 + len(table["metric"])


def test_a_long_table_is_cut_where_it_is_shown():
    labels = np.arange(300)
    neighbors = Neighbors(np.zeros((300, 1)), labels[:, None], labels[:, None])
    table = report(neighbors, labels, by_class=True)
    assert len(table["metric"]) == 906
    assert repr(table).splitlines()[-1] == "... 706 more rows"
    assert table._repr_html_().endswith("<p>... 706 more rows</p>")


def test_bad_requests_are_named():
    neighbors, labels, gallery = search()
    table = report(neighbors, labels, gallery_labels=gallery, by_class=True)
    with pytest.raises(ValueError, match=r"metric must be one of recall@1, recall@5, .*; got 'recall@2'"):
        table.value("recall@2")
    with pytest.raises(ValueError, match="auroc must be asked for an average or a class it has, got average"):
        table.value("auroc", "macro")
    with pytest.raises(
        ValueError, match="recall@1 must be asked for an average or a class it has, got class 7"
    ):
        table.value("recall@1", label=7)
    with pytest.raises(ValueError, match="it has, got average 'class'"):
        table.value("recall@1", "class")
    with pytest.raises(ValueError, match=r"report needs at least one query of a known class .* among 60"):
        report(neighbors, np.full(60, 8), gallery_labels=gallery)
    with pytest.raises(ValueError, match="matches and neighbors must have the same length, got 2 and 60"):
        report(neighbors, labels, matches=match_nearest(neighbors[:2]))
    with pytest.raises(ValueError, match="confidence must be a number above 0 and below 1, got 95"):
        report(neighbors, labels, confidence=95)
    with pytest.raises(ValueError, match="k must be at most the 12 neighbors that were searched, got 13"):
        report(neighbors, labels, k=13)
