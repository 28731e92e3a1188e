"""Search over a graph: what it finds is measured, and the graph is never out of date."""

import sys

import numpy as np
import pytest

from simnb.distances import DISTANCES
from simnb.index import UNKNOWN, hnsw, open_index

from .conftest import vectors

faiss = pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')


def filled(count=3000, dim=24, **options):
    index = open_index(**{"search": "hnsw", **options})
    index.add(vectors(count, dim), np.arange(count))
    return index


def share_found(index, queries, k=10):
    """Recall by its definition: common ids of both searches."""
    with open_index("memory:", distance=index.distance) as exact:
        exact.add(index.get().embeddings)
        true = exact.search(queries, k=k).ids
    found = index.search(queries, k=k).ids
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(true.tolist(), found.tolist(), strict=True)])


@pytest.mark.parametrize("distance", DISTANCES)
def test_recall_is_what_was_asked_for_and_what_is_reported(distance):
    index = filled(distance=distance, recall=0.97)
    assert index.recall.recall >= 0.97
    assert abs(share_found(index, vectors(200, 24, seed=1)) - index.recall.recall) < 0.04


def test_recall_is_measured_and_not_assumed(monkeypatch):
    monkeypatch.setattr(hnsw, "BREADTHS", (16,))
    index = filled(dim=200, recall=0.99)
    with pytest.warns(RuntimeWarning, match=r"the graph finds \d+\.\d% of the true neighbors, not 99\.0%"):
        index.search(vectors(1, 200), k=1)
    assert index.recall.breadth == 16
    assert 0.1 < index.recall.recall < 0.9
    assert abs(share_found(index, vectors(200, 200, seed=1)) - index.recall.recall) < 0.1


def test_more_is_found_by_searching_more_broadly():
    index = filled(dim=100, recall=0.3)
    queries = vectors(200, 100, seed=1)
    before = share_found(index, queries)
    tried = index.tune(queries, 0.95)
    assert [one.breadth for one in tried] == sorted(one.breadth for one in tried)
    assert tried[-1].recall >= 0.95 > tried[0].recall
    assert index.recall == tried[-1]
    assert share_found(index, queries) == pytest.approx(tried[-1].recall, abs=1e-9)
    assert share_found(index, queries) > before
    assert all(one.milliseconds > 0 for one in tried)


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_those_of_exact_search(distance):
    index, queries = filled(distance=distance, recall=1.0), vectors(50, 24, seed=1)
    index.tune(queries, 1.0)
    with open_index(distance=distance) as exact:
        exact.add(vectors(3000, 24))
        np.testing.assert_allclose(
            index.search(queries, k=5).distances, exact.search(queries, k=5).distances, rtol=1e-5
        )


def test_added_rows_extend_the_graph_and_other_changes_build_a_new_one(monkeypatch):
    built = []
    make = faiss.IndexHNSWFlat
    monkeypatch.setattr(faiss, "IndexHNSWFlat", lambda *args: built.append(args) or make(*args))
    index = filled(500)
    index.search(vectors(1, 24))
    more = vectors(40, 24, seed=2)
    ids = index.add(more)
    assert index.search(more, k=1).ids[:, 0].tolist() == ids.tolist()
    index.update([0], labels=[7])
    assert index.search(more, k=1).ids[:, 0].tolist() == ids.tolist()
    assert len(built) == 1
    index.remove(ids[:20])
    found = index.search(more, k=1).ids[:, 0]
    assert not np.isin(found, ids[:20]).any()
    assert found[20:].tolist() == ids[20:].tolist()
    assert len(built) == 2
    index.update(ids[30:31], embeddings=-more[30:31])
    assert index.search(-more[30:31], k=1).ids.tolist() == [[ids[30]]]
    assert len(built) == 3


def test_a_graph_that_grew_by_single_rows_is_measured_again():
    index = filled(200)
    assert index.recall.recall > 0.9
    before = index._graph()._measured_at
    for row in vectors(30, 24, seed=3):
        index.add(row[None])
        index.search(row[None], k=1)
    assert index._graph()._measured_at > before


def test_an_interrupted_extension_is_built_again(monkeypatch):
    index, more = filled(500), vectors(20, 24, seed=2)
    index.search(vectors(1, 24))
    ids = index.add(more)
    with monkeypatch.context() as patch:

        def interrupted(*_):
            raise KeyboardInterrupt

        patch.setattr(hnsw.HnswSearch, "_keep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.search(more)
    assert index.search(more, k=1).ids[:, 0].tolist() == ids.tolist()


def test_a_kept_graph_of_another_recall_or_of_other_rows_is_not_used(tmp_path):
    path, older = tmp_path / "g.sqlite", tmp_path / "older.sqlite"
    with open_index(path, search="hnsw", recall=0.3) as index:
        index.add(vectors(400, 100))
        assert index.recall.breadth == 16
        older.write_bytes(b"")
        index.save(older)
    with open_index(path, search="hnsw", recall=1.0) as index:
        assert index.recall.recall == 1.0
    copy = path.read_bytes()
    with open_index(path, search="hnsw") as index:
        index.add(vectors(20, 100, seed=1))
        index.search(vectors(1, 100))
    path.write_bytes(copy)  # the file of before, and as many other rows
    with open_index(path, search="hnsw") as index:
        ids = index.add(vectors(20, 100, seed=2))
        assert index.search(vectors(20, 100, seed=2), k=1).ids[:, 0].tolist() == ids.tolist()


def test_the_graph_of_a_file_is_kept_beside_it(tmp_path, monkeypatch):
    path, queries = tmp_path / "g.sqlite", vectors(20, 24, seed=1)
    with open_index(path, search="hnsw") as index:
        index.add(vectors(500, 24))
        found, measured = index.search(queries, k=5).ids, index.recall
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.sqlite", "g.sqlite.hnsw"]
    assert (tmp_path / "g.sqlite.hnsw").stat().st_size < 500 * 24 * 4 * 4

    def never(*_):
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(faiss, "IndexHNSWFlat", never)
        with open_index(path, search="hnsw") as index:
            np.testing.assert_array_equal(index.search(queries, k=5).ids, found)
            assert index.recall == measured
            index.update([3], labels=[5])
            np.testing.assert_array_equal(index.search(queries, k=5).ids, found)
    with open_index(path) as index:  # changed without the graph
        index.add(queries[:1], ids=[777])
        index.remove([0])
    with open_index(path, search="hnsw") as index:
        assert index.search(queries[:1], k=1).ids.tolist() == [[777]]
        assert 0 not in index.search(vectors(1, 24), k=5).ids


def test_a_damaged_graph_is_built_again(tmp_path):
    path, queries = tmp_path / "g.sqlite", vectors(20, 24, seed=1)
    with open_index(path, search="hnsw", recall=1.0) as index:
        index.add(vectors(300, 24))
        found = index.search(queries, k=5).ids
    cache = tmp_path / "g.sqlite.hnsw"
    whole = cache.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 25).tolist():
        for damaged in (whole[:position], whole[:position] + b"\xff" + whole[position + 1 :], b""):
            cache.write_bytes(damaged)
            with open_index(path, search="hnsw", recall=1.0) as index:
                np.testing.assert_array_equal(index.search(queries, k=5).ids, found)


def test_a_graph_that_cannot_be_kept_is_used_all_the_same(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hnsw, "replace_whole", full)
    with open_index(tmp_path / "g.sqlite", search="hnsw") as index:
        index.add(vectors(50, 24))
        with pytest.warns(RuntimeWarning, match="the graph is not kept, and will be built again"):
            assert index.search(vectors(50, 24), k=1).ids[:, 0].tolist() == list(range(50))


def test_a_query_that_the_graph_cannot_serve_is_searched_exactly(monkeypatch):
    index, queries = filled(200), vectors(5, 24, seed=1)
    index.search(queries)
    graph = index._graph()._index

    class Short:
        def search(self, *args, **options):
            distances, positions = graph.search(*args, **options)
            positions[2, 3:] = -1
            return distances, positions

    monkeypatch.setattr(index._graph(), "_index", Short())
    found = index.search(queries, k=6)
    with open_index() as exact:
        exact.add(vectors(200, 24), np.arange(200))
        np.testing.assert_array_equal(found.ids[2], exact.search(queries[2:3], k=6).ids[0])
    assert UNKNOWN not in found.labels


def test_what_cannot_be_tuned_says_why():
    with pytest.raises(ValueError, match=r'tune needs open_index\(..., search="hnsw"\)'):
        open_index().tune(vectors(3))
    with pytest.raises(ValueError, match="tune needs rows, but the index is empty"):
        open_index(search="hnsw").tune(vectors(3))
    with pytest.raises(ValueError, match=r'recall needs open_index\(..., search="hnsw"\)'):
        _ = open_index().recall
    index = filled(20)
    with pytest.raises(ValueError, match="target_recall must be a number above 0 and at most 1, got 2"):
        index.tune(vectors(3, 24), 2)
    with pytest.raises(ValueError, match="queries must hold at least one example"):
        index.tune(np.empty((0, 24)))


def test_without_faiss_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    index = filled(20)
    with pytest.raises(ImportError, match=r'search="hnsw" needs FAISS: pip install "simnb\[ann\]"'):
        index.search(vectors(1, 24))


def test_one_row_is_searched():
    index = filled(1)
    assert index.search(vectors(1, 24), k=2).ids.tolist() == [[0, -1]]
    assert index.recall.recall == 1.0
