"""What every engine does alike, exact and over a graph."""

import numpy as np
import pytest

from simnb.distances import DISTANCES, pairwise
from simnb.index import UNKNOWN, open_index

from .conftest import vectors


def phones(count):
    """Metadata of ``count`` rows, with gaps."""
    return [
        {
            "source": ["phone", "scan", "web"][i % 3],
            "year": 2015 + i % 10,
            "score": i / 10,
            "good": i % 2 == 0,
        }
        if i % 7
        else {}
        for i in range(count)
    ]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_search_finds_what_sorting_all_distances_finds(engine, distance, offset):
    if distance not in engine.distances:
        with pytest.raises(ValueError, match=f"distance must be one of .*got '{distance}'"):
            engine.open(distance=distance)
        return
    gallery, queries = vectors(300, offset=offset), vectors(20, seed=1, offset=offset)
    index = engine.open(distance=distance)
    index.add(gallery, np.arange(300) % 3, ids=np.arange(300) * 2)
    found = index.search(queries, k=5)
    exact = pairwise(queries.astype("float64"), gallery.astype("float64"), distance)
    expected = np.sort(exact, axis=1)[:, :5]
    # float32 rounds products of 100 x 100 at 1e-3, and cosines of rows that point nearly alike at 1e-7.
    np.testing.assert_allclose(found.distances, expected, rtol=2e-4, atol=2e-3 if offset else 2e-6)
    if not (offset and distance in ("cosine", "inner_product", "snr")):
        np.testing.assert_array_equal(found.ids, 2 * np.argsort(exact, axis=1)[:, :5])
    np.testing.assert_array_equal(found.labels, found.ids // 2 % 3)
    assert (found.distance, index.distance, index.dim, len(index)) == (distance, distance, 6, 300)
    assert (found.distances.dtype, found.ids.dtype, found.labels.dtype) == (np.float32, np.int64, np.int64)


def test_few_rows_are_padded(engine):
    index = engine.open()
    empty = index.search(vectors(2), k=3)
    assert np.isinf(empty.distances).all()
    assert (empty.ids == -1).all()
    index.add([[1.0, 0.0]], [7])
    found = index.search([[1.0, 0.0]], k=3)
    np.testing.assert_allclose(found.distances, [[0.0, np.inf, np.inf]], atol=1e-6)
    assert found.ids.tolist() == [[0, -1, -1]] or found.ids[0, 1:].tolist() == [-1, -1]
    assert found.labels.tolist() == [[7, UNKNOWN, UNKNOWN]]
    assert index.search(np.empty((0, 2)), k=3).distances.shape == (0, 3)


def test_rows_come_back_as_they_were_added(engine):
    index, rows, metadata = engine.open(), vectors(50), phones(50)
    ids = np.random.default_rng(0).permutation(500)[:50]
    assert index.add(rows, np.arange(50), metadata, ids=ids).tolist() == ids.tolist()
    got = index.get(ids[[3, 40, 3]])
    np.testing.assert_array_equal(got.embeddings, rows[[3, 40, 3]])
    assert (got.ids.tolist(), got.labels.tolist()) == (ids[[3, 40, 3]].tolist(), [3, 40, 3])
    assert got.metadata.tolist() == [metadata[3], metadata[40], metadata[3]]
    everything, order = index.get(), engine.expected_order(ids.tolist())
    assert everything.ids.tolist() == index.ids.tolist() == order
    np.testing.assert_array_equal(everything.labels, index.labels)
    blocks = list(index.blocks(size=20))
    assert [len(block) for block in blocks] == [20, 20, 10]
    assert np.concatenate([block.ids for block in blocks]).tolist() == order
    assert [row for block in blocks for row in block.metadata] == everything.metadata.tolist()
    assert len(index.get(np.empty(0, int))) == 0


def test_ids_that_are_left_out_are_new(engine):
    index = engine.open()
    first = index.add(vectors(3))
    index.remove(first[1:])
    second = index.add(vectors(2))
    assert len({*first.tolist(), *second.tolist()}) == 5
    assert sorted(index.ids.tolist()) == sorted([first[0], *second])


@pytest.mark.parametrize(("existing", "label"), [("replace", 9), ("skip", 1)])
def test_ids_that_exist_are_refused_replaced_or_skipped(engine, existing, label):
    index = engine.open()
    index.add(vectors(4), [0, 1, 2, 3], phones(4), ids=[5, 6, 7, 8])
    with pytest.raises(ValueError, match="ids must be new, but the index already holds id 6"):
        index.add(vectors(2, seed=1), [9, 9], ids=[6, 9])
    assert len(index) == 4
    index.add(vectors(2, seed=1), [9, 9], ids=[6, 9], existing=existing)
    assert sorted(index.ids.tolist()) == [5, 6, 7, 8, 9]
    got = index.get([6, 9])
    assert got.labels.tolist() == [label, 9]
    assert got.metadata.tolist() == [{} if existing == "replace" else phones(4)[1], {}]
    expected = vectors(2, seed=1)[0] if existing == "replace" else vectors(4)[1]
    np.testing.assert_array_equal(got.embeddings[0], expected)
    assert index.search(expected[None], k=1).ids.tolist() == [[6]]


def test_updates_change_what_is_named_and_nothing_else(engine):
    index, rows = engine.open(), vectors(6)
    index.add(rows, np.arange(6), phones(6), ids=np.arange(10, 16))
    before = index.get()
    index.update([14, 11], labels=[7, 8])
    index.update([12], embeddings=-rows[2:3])
    index.update([13, 15], metadata=[{"year": None, "source": "new"}, {"thumb": b"\x00\xff"}])
    after = index.get([10, 11, 12, 13, 14, 15])
    assert after.labels.tolist() == [0, 8, 2, 3, 7, 5]
    np.testing.assert_array_equal(after.embeddings[[0, 1, 3, 4, 5]], rows[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(after.embeddings[2], -rows[2])
    expected = phones(6)
    expected[3] = {"source": "new", "score": 0.3, "good": False}
    expected[5]["thumb"] = b"\x00\xff"
    assert after.metadata.tolist() == expected
    assert index.ids.tolist() == before.ids.tolist()
    assert index.search(-rows[2:3], k=1).ids.tolist() == [[12]]
    with pytest.raises(ValueError, match="ids must be in the index, but 1 of 2 are not, for example id 99"):
        index.update([10, 99], labels=[5, 5])
    assert index.get([10]).labels.tolist() == [0]


def test_removed_rows_are_gone(engine):
    index, rows = engine.open(), vectors(100)
    index.add(rows, np.arange(100), phones(100), ids=np.arange(100))
    assert index.search(rows[:1], k=1).ids.tolist() == [[0]]
    index.remove(np.arange(0, 100, 2))
    assert len(index) == 50
    assert (index.search(rows, k=50).ids % 2 == 1).all()
    assert index.search(rows, k=1).ids[1::2, 0].tolist() == list(range(1, 100, 2))
    with pytest.raises(ValueError, match="ids must be in the index, but 2 of 3 are not, for example id 0"):
        index.remove([1, 0, 2])
    with pytest.raises(ValueError, match="ids must be in the index"):
        index.get([4])
    assert len(index) == 50
    index.remove(index.ids)
    assert (len(index), index.dim) == (0, 6)
    assert (index.search(rows, k=1).ids == -1).all()


@pytest.mark.parametrize(
    "where",
    [
        {"label": 3},
        {"label": [1, 4]},
        {"id": {">=": 30, "<": 60}},
        {"source": "phone"},
        {"source": ["phone", "web"], "year": {">": 2017}},
        {"year": {">=": 2016, "<=": 2018}},
        {"year": 2016.0},
        {"score": [0.1, 0.3, 5.9]},
        {"score": {"<": 3}},
        {"source": {">=": "scan"}},
        {"good": True},
        {"good": [False], "label": {"<": 4}},
        {"year": "2016"},
        {"good": 1},
        {"source": []},
        {"thumb": b"3"},
    ],
    ids=str,
)
def test_a_filtered_search_finds_the_nearest_of_those_that_meet_it(engine, where):
    def meets(id, label, row):
        for key, wanted in where.items():
            value = {"id": id, "label": label}.get(key, row.get(key))
            if isinstance(wanted, dict):
                tests = {
                    "<": lambda a, b: a < b,
                    "<=": lambda a, b: a <= b,
                    ">": lambda a, b: a > b,
                    ">=": lambda a, b: a >= b,
                }
                if value is None or not all(tests[sign](value, bound) for sign, bound in wanted.items()):
                    return False
            else:
                wanted = wanted if isinstance(wanted, list) else [wanted]
                if not any(value == w and isinstance(value, bool) == isinstance(w, bool) for w in wanted):
                    return False
        return True

    gallery, labels, metadata = vectors(90), np.arange(90) % 5, phones(90)
    metadata[3]["thumb"], metadata[4]["thumb"] = b"3", b"4"
    index = engine.open(distance="euclidean")
    index.add(gallery, labels, metadata, ids=np.arange(90))
    allowed = np.array([meets(i, labels[i], metadata[i]) for i in range(90)])
    queries = vectors(7, seed=1)
    found = index.search(queries, k=4, where=where)
    exact = np.where(allowed, pairwise(queries, gallery, "euclidean"), np.inf)
    expected = np.argsort(exact, axis=1)[:, :4]
    expected[np.isinf(np.take_along_axis(exact, expected, axis=1))] = -1
    np.testing.assert_array_equal(found.ids, expected)


HOSTILE = ["x' OR 1=1 --", 'a" or true', "'; DROP TABLE rows; --", "\\", "日本\n", "a == 1", "{", "%"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_are_values_and_never_code(engine, text):
    index = engine.open()
    index.add(np.eye(3), ["plain", text, "other"], {"note": ["plain", text, "other"]}, ids=[0, 1, 2])
    assert index.search(np.eye(3)[:1], k=3, where={"note": text}).ids.tolist() == [[1, -1, -1]]
    assert index.search(np.eye(3)[:1], k=3, where={"label": text}).ids.tolist() == [[1, -1, -1]]
    assert index.get([1]).metadata.tolist() == [{"note": text}]
    for call in (
        lambda: index.search(np.eye(3), where={text: 1}),
        lambda: index.add(np.eye(3)[:1], metadata=[{text: 1}]),
        lambda: index.search(np.eye(3), where={"label": f"{text} "}),
    ):
        with pytest.raises(ValueError, match="must"):
            call()
    assert len(index) == 3


def test_labels_may_be_names(engine):
    index = engine.open()
    index.add(np.eye(3), ["dog", None, "cat"], ids=[0, 1, 2])
    assert index.class_names == ("cat", "dog")
    index.add(-np.eye(3)[:1], ["ape"], ids=[3])
    index.add(-np.eye(3)[1:2], [1], ids=[4])
    assert index.class_names == ("cat", "dog", "ape")
    found = index.search(np.eye(3), k=1)
    assert found.labels.tolist() == [[1], [UNKNOWN], [0]]
    assert found.names.tolist() == [["dog"], [None], ["cat"]]
    assert found.class_names == index.class_names
    assert index.get([3, 4]).names.tolist() == ["ape", "dog"]
    index.update([0], labels=["cat"])
    assert index.search(np.eye(3)[:1], k=1, where={"label": "cat"}).ids.tolist() == [[0]]
    with pytest.raises(ValueError, match=r"where label must be one of .*\('cat', 'dog', 'ape'\), got 'cow'"):
        index.search(np.eye(3), where={"label": "cow"})
    with pytest.raises(ValueError, match="labels must be positions in the index's 3 class names"):
        index.add(np.eye(3)[:1], [3])
    numbers = engine.open()
    numbers.add(np.eye(3), [0, 1, 2])
    assert numbers.class_names is None
    with pytest.raises(ValueError, match="labels must be integers like those of the rows in the index"):
        numbers.add(np.eye(3)[:1], ["cat"])
    with pytest.raises(ValueError, match="these labels are plain integers"):
        _ = numbers.search(np.eye(3), k=1).names


def test_class_names_may_be_given_for_labels_that_are_positions(engine):
    index = engine.open(class_names=["cat", "dog"])
    index.add(np.eye(2), [1, 0])
    assert index.search(np.eye(2), k=1).names.tolist() == [["dog"], ["cat"]]
    with pytest.raises(ValueError, match="class_names must be different strings"):
        engine.open(class_names=["cat", "cat"])


def test_values_keep_their_types(engine):
    row = {
        "text": "a",
        "whole": 2**53 + 1,
        "negative": -3,
        "real": 0.1 + 0.2,
        "yes": True,
        "raw": b"\x00\x01",
    }
    index = engine.open()
    index.add(
        np.eye(2), metadata=[row, {"real": np.float32(0.5), "whole": np.int8(3), "yes": None}], ids=[0, 1]
    )
    got = index.get([0, 1]).metadata
    assert got[0] == row
    assert [type(got[0][key]) for key in row] == [type(value) for value in row.values()]
    assert got[1] == {"real": 0.5, "whole": 3}
    assert index.search(np.eye(2)[:1], k=2, where={"real": 0.1 + 0.2}).ids.tolist() == [[0, -1]]
    assert index.search(np.eye(2)[:1], k=2, where={"whole": 2**53 + 1}).ids.tolist() == [[0, -1]]
    assert index.search(np.eye(2)[:1], k=2, where={"whole": 2**53}).ids.tolist() == [[-1, -1]]


BAD_ROWS = [
    (dict(embeddings=np.ones(3)), r"embeddings must have shape \[num_examples, dim\], got \(3,\)"),
    (dict(embeddings=np.ones((2, 4))), "embeddings must have dim 3 like the index, got 4"),
    (dict(embeddings=[[np.nan, 0, 0], [1, 0, 0]]), r"embeddings must be finite, got .* in 1 of 2 rows"),
    (dict(embeddings=[[np.inf, 0, 0]]), r"embeddings must be finite, got .* in 1 of 1 rows"),
    (dict(embeddings=[[1e300, 0, 0]]), "beyond 1e18 in 1 of 1 rows"),
    (dict(embeddings=[[1.0, 0, 0], [0, 0, 0]]), "must not be all zero .* first row 1"),
    (dict(embeddings=[["a", "b", "c"]]), "embeddings must be numbers"),
    (dict(embeddings=np.ones((2, 3), bool)), "embeddings must be numbers, got dtype bool"),
    (dict(labels=[1]), "labels and embeddings must have the same length, got 1 and 2"),
    (dict(labels=["cat", "dog"]), "labels must be integers like those of the rows in the index, got strings"),
    (dict(labels=["cat", 1]), "labels must be all strings or all integers, got 1 among strings"),
    (dict(labels=[0.0, 1.0]), "labels must be integers, got dtype float64$"),
    (dict(labels=[True, False]), "labels must be integers, got dtype bool$"),
    (dict(labels=np.array([0, 2**64 - 1], np.uint64)), "labels must fit int64, got 18446744073709551615"),
    (dict(ids=[1]), "ids and embeddings must have the same length"),
    (dict(ids=[3, 3]), "ids must be unique, got 3 more than once"),
    (dict(ids=[-1, 3]), r"ids must be from 0 to 2\*\*62 - 1, got -1 to 3"),
    (dict(ids=[0, 3]), "ids must be new, but the index already holds id 0"),
    (dict(existing="overwrite"), "existing must be one of refuse, replace, skip; got 'overwrite'"),
    (dict(metadata=[{}]), "metadata and embeddings must have the same length, got 1 and 2"),
    (dict(metadata={"year": [1]}), "metadata 'year' must have one value a row, got 1 for 2 rows"),
    (dict(metadata={"year": 3}), "metadata 'year' must be a list of 2 values, got 3"),
    (dict(metadata=[{"a b": 1}, {}]), "names of metadata must be letters, digits and _"),
    (dict(metadata=[{"label": 1}, {}]), "and none of id, label, embedding, metadata; got 'label'"),
    (dict(metadata=[{"when": [1]}, {}]), "metadata 'when' must be str, int, float, bool or bytes, got list"),
    (dict(metadata=[{"score": np.nan}, {}]), "metadata 'score' must be finite, got nan; leave it out"),
    (dict(metadata=[{"n": 2**63}, {}]), "metadata 'n' must fit 64 bits"),
    (dict(labels=3), "labels must"),
    (dict(metadata=3), "metadata must be a list of dicts or a dict of columns, got int"),
    (dict(metadata=["a", "b"]), "metadata must be a list of dicts or a dict of columns, got str"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ROWS)
def test_a_bad_add_says_why_and_leaves_the_index_as_it_was(engine, change, message):
    index = engine.open()
    index.add(np.eye(3), [5, 6, 7], ids=[0, 1, 2])
    arguments = {"embeddings": np.ones((2, 3)), "labels": [1, 2], "ids": [8, 9], **change}
    with pytest.raises(ValueError, match=message):
        index.add(**arguments)
    assert sorted(index.ids.tolist()) == [0, 1, 2]
    assert index.search(np.eye(3), k=1).labels[:, 0].tolist() == [5, 6, 7]


BAD_SEARCHES = [
    *[(dict(k=k), "k must be an integer of at least 1") for k in (0, -1, 1.5, True, None)],
    (dict(embeddings=np.eye(2)), "queries must have dim 3 like the index, got 2"),
    (dict(embeddings=[[0.0, 0, 0]]), "queries must not be all zero under this distance, got 1 zero rows"),
    (dict(embeddings=[[np.nan, 0, 0]]), "queries must be finite"),
    (dict(where="label == 3"), r'where must be a dict such as \{"label": 3\}'),
    (dict(where={"yaer": 3}), r"where must name id, label or metadata of the index \('year'\), got 'yaer'"),
    (dict(where={"year": {"=": 3}}), "comparison of 'year' must be one of"),
    (dict(where={"year": {}}), "where 'year' must have at least one of <, <=, >, >=; got none"),
    (dict(where={"year": None}), "where 'year' must be a value, got None"),
    (dict(where={"year": {">": True}}), "where 'year' can be compared with a number or a string, got True"),
    (dict(where={"label": 1.5}), "where 'label' must be an integer, got 1.5"),
    (dict(where={"label": "cat"}), r"where label must be one of .*\(none: labels are integers\), got 'cat'"),
    (dict(where={3: 3}), "where must have names as keys, got 3"),
]


@pytest.mark.parametrize(("change", "message"), BAD_SEARCHES)
def test_a_bad_search_says_why(engine, change, message):
    index = engine.open()
    index.add(np.eye(3), [1, 2, 3], {"year": [1, 2, 3]})
    with pytest.raises(ValueError, match=message):
        index.search(**{"embeddings": np.eye(3), **change})


def test_float64_and_strided_input_is_taken(engine):
    rows = vectors(8, 12).astype("float64")[::2, ::3]
    index = engine.open()
    index.add(rows, ids=[0, 1, 2, 3])
    assert index.search(rows, k=1).ids[:, 0].tolist() == [0, 1, 2, 3]


def test_no_rows_are_added_by_no_rows(engine):
    index = engine.open()
    assert index.add(np.empty((0, 5))).shape == (0,)
    assert (len(index), index.dim) == (0, None)
    assert (len(list(index.blocks())), len(index.ids)) == (0, 0)


def test_saved_rows_are_all_there(engine, tmp_path):
    index, rows, metadata = engine.open(distance="euclidean"), vectors(30), phones(30)
    metadata[2]["thumb"] = b"\x89PNG"
    index.add(rows, ["even", "odd"] * 15, metadata, ids=np.arange(30))
    index.save(tmp_path / "saved.sqlite")
    with open_index(tmp_path / "saved.sqlite") as saved:
        assert (saved.distance, saved.class_names) == ("euclidean", ("even", "odd"))
        got = saved.get(np.arange(30))
        np.testing.assert_array_equal(got.embeddings, rows)
        assert got.metadata.tolist() == metadata
        assert got.names.tolist() == ["even", "odd"] * 15
        assert saved.add(vectors(1, seed=5))[0] >= 30
    other = engine.open()
    other.add(np.eye(3), ids=[5, 6, 7])
    other.save(tmp_path / "saved.sqlite")
    with open_index(tmp_path / "saved.sqlite") as saved:
        assert (saved.ids.tolist(), saved.distance, saved.dim, saved.class_names) == (
            [5, 6, 7],
            "cosine",
            3,
            None,
        )
    with pytest.raises(ValueError, match=r"path must end in \.sqlite or \.sqlite3, got"):
        index.save(tmp_path / "saved.npz")


def test_what_was_added_is_there_when_the_index_is_opened_again(engine):
    index = engine.open(distance="euclidean")
    if not engine.keeps_rows:
        return
    index.add(vectors(20), np.arange(20) % 2, phones(20), ids=np.arange(20))
    index.remove([3])
    index.update([4], labels=[1])
    before, found = index.get(np.delete(np.arange(20), 3)), index.search(vectors(3, seed=1), k=4)
    index.close()
    again = engine.open(index.address)
    assert (again.distance, len(again), again.dim) == ("euclidean", 19, 6)
    after = again.get(np.delete(np.arange(20), 3))
    np.testing.assert_array_equal(after.embeddings, before.embeddings)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.metadata.tolist() == before.metadata.tolist()
    np.testing.assert_array_equal(again.search(vectors(3, seed=1), k=4).ids, found.ids)
    again.close()
    with pytest.raises(ValueError, match=r"distance must be that of .*'euclidean', got 'cosine'"):
        engine.open(index.address, distance="cosine")


def test_many_small_adds_equal_one_large(engine):
    rows, one, many = vectors(40), engine.open(), engine.open()
    one.add(rows, np.arange(40), ids=np.arange(40))
    for i in range(0, 40, 4):
        many.add(rows[i : i + 4], np.arange(i, i + 4), ids=np.arange(i, i + 4))
        assert many.search(rows[i : i + 1], k=1).ids.tolist() == [[i]]
    np.testing.assert_array_equal(one.get().embeddings, many.get().embeddings)
    np.testing.assert_array_equal(one.labels, many.labels)


def test_a_closed_index_refuses_every_verb_and_can_be_closed_again(engine, tmp_path):
    index = engine.open()
    index.add(vectors(5), [0, 1, 2, 3, 4], phones(5))
    index.save(tmp_path / "saved.sqlite")
    index.close()
    index.close()
    verbs = {
        "add": lambda: index.add(vectors(1)),
        "update": lambda: index.update([0], labels=[1]),
        "remove": lambda: index.remove([0]),
        "search": lambda: index.search(vectors(1), k=1),
        "get": lambda: index.get(),
        "get one": lambda: index.get([0]),
        "blocks": lambda: list(index.blocks()),
        "save": lambda: index.save(tmp_path / "saved.sqlite"),
        "len": lambda: len(index),
        "dim": lambda: index.dim,
        "ids": lambda: index.ids,
        "labels": lambda: index.labels,
        "class_names": lambda: index.class_names,
        "fingerprint": lambda: index.fingerprint,
        "tune": lambda: index.tune(vectors(3)),
        "recall": lambda: index.recall,
    }
    for name, verb in verbs.items():
        with pytest.raises(ValueError, match="is closed: open it again"):
            print(name, verb())  # the name, where it is answered
    assert "closed" in repr(index)
    with open_index(tmp_path / "saved.sqlite") as saved:
        assert len(saved) == 5
