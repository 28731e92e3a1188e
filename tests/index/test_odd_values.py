"""Whatever is given as metadata or as a condition: every engine says ValueError, or all do the same."""

import datetime
import os
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simnb.index import open_index

EDGES = [
    2**53,
    2**53 + 1,
    2**62 - 1,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    -(2**63),
    -(2**63) - 1,
    -(10**400),
]
NUMBERS = st.one_of(
    st.integers(-3, 3), st.sampled_from(EDGES), st.floats(), st.sampled_from([-0.0, 1e19, 1e30])
)
TEXTS = st.one_of(
    st.text(st.characters(), max_size=3), st.sampled_from(["", "a\0b", "caf\udce9.png", "\ud800"])
)
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.binary(max_size=2))
ODD = [
    *(number(1) for number in (np.int8, np.uint64, np.float16, np.float32, np.longdouble, np.complex64)),
    *(np.uint64(2**64 - 1), np.longdouble("1e400"), np.float16("inf"), np.bool_(True), 1j),
    *(np.str_("a"), np.bytes_(b"a"), bytearray(b"a"), memoryview(b"a"), PurePath("a")),
    *(
        np.datetime64("2020-01-01"),
        np.timedelta64(1, "s"),
        np.timedelta64("NaT", "s"),
        datetime.date(2020, 1, 1),
    ),
    *(Fraction(1, 3), Fraction(10**400), Decimal(1), Decimal("NaN"), Decimal("1e400")),
    *(
        np.array(1),
        np.array("a"),
        np.array(1.5),
        np.array(None),
        np.array([]),
        np.array([[1]]),
        np.ma.masked,
    ),
    *(np.array([1, 2]), np.array(["a"]), np.zeros(1, [("a", int)])[0], object(), range(2), {}, set(), ()),
]
VALUES = st.one_of(PLAIN, st.integers(0, len(ODD) - 1).map(ODD.__getitem__))  # not all have a hash
CONDITIONS = st.one_of(
    VALUES,
    st.lists(VALUES, max_size=3),
    st.dictionaries(st.sampled_from(["<", "<=", ">", ">="]), VALUES, max_size=2),
)
WHERES = st.dictionaries(st.sampled_from(["id", "label", "x"]), CONDITIONS, max_size=2)
LABELS = st.one_of(st.just([3, 0, -1, 2**63 - 1]), st.just(["a", "caf\udce9.png", "a\0b", None]))


def answer(call):
    """What a call gives, or the ValueError that it raises; any other error is one."""
    try:
        return call()
    except ValueError as error:
        return str(error)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return iter(lambda: folder / f"{len(os.listdir(folder))}.sqlite", None)


def seen(index):
    """All that is in an index, and the types of it."""
    rows = index.get()
    kinds = [{key: type(value) for key, value in row.items()} for row in rows.metadata]
    return rows.ids.tolist(), rows.labels.tolist(), rows.metadata.tolist(), kinds, index.class_names


LONG = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LONG
@given(values=st.lists(VALUES, min_size=4, max_size=4), labels=LABELS, wheres=st.lists(WHERES, max_size=6))
def test_memory_and_file_give_the_same_answers_to_odd_values(files, values, labels, wheres):
    with open_index() as memory, open_index(next(files)) as file:
        ids = [0, 5, 2**62 - 1, 7]
        for index in (memory, file):
            index.add(np.eye(4), labels, ids=ids)
        added = [
            answer(lambda index=index: index.update(ids, metadata=[{"x": value} for value in values]))
            for index in (memory, file)
        ]
        assert added[0] == added[1]
        for index in (memory, file):
            index.update([5], metadata=[{"x": 0}])  # so that the name is known
        assert seen(memory) == seen(file)
        for where in wheres:
            found = [
                answer(
                    lambda index=index, where=where: index.search(
                        np.ones((1, 4)), 4, where=where
                    ).ids.tolist()
                )
                for index in (memory, file)
            ]
            assert found[0] == found[1], where
        for row, value in zip(memory.get().metadata, values, strict=True):
            if type(value) in (int, float, bool, str) and type(row.get("x")) is type(value):
                some = memory.search(np.ones((1, 4)), 4, where={"x": row["x"]})
                assert len(some.ids[some.ids >= 0]) >= 1


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"id": 1e19}, []),
        ({"id": [1e19, 1.0]}, [1]),
        ({"id": 10**30}, []),
        ({"id": {"<": 1e19}}, [0, 1, 2]),
        ({"id": {">": 1e19}}, []),
        ({"id": {">=": -1e30, "<=": 1}}, [0, 1]),
        ({"label": 1e30}, []),
        ({"label": {"<=": np.uint64(2**64 - 1)}}, [0, 1, 2]),
        ({"label": np.array(4)}, [1]),
        ({"x": np.array(1)}, [1]),
        ({"x": np.float16(1)}, [1]),
        ({"x": {">": np.array(0.5)}}, [1]),
        ({"x": [np.str_("a"), np.bytes_(b"b")]}, [0, 2]),
    ],
    ids=str,
)
def test_numbers_no_row_can_have_are_compared_as_numbers(engine, where, expected):
    index = engine.open()
    index.add(np.eye(3), [3, 4, 5], {"x": ["a", np.array(1), b"b"]}, ids=[0, 1, 2])
    found = index.search(np.ones((1, 3)), k=3, where=where).ids
    assert sorted(found[found >= 0].tolist()) == expected


@pytest.mark.parametrize(
    "value",
    [
        Fraction(1, 3),
        Decimal("0.5"),
        np.datetime64("2020-01-01"),
        np.timedelta64(1, "s"),
        1j,
        np.longdouble("1e400"),
    ],
    ids=repr,
)
def test_what_is_no_plain_value_is_refused(engine, value):
    index = engine.open()
    index.add(np.eye(3), metadata={"x": [1, 2, 3]}, ids=[0, 1, 2])
    for call in (
        lambda: index.add(np.eye(3)[:1], metadata=[{"x": value}], ids=[9]),
        lambda: index.update([0], metadata=[{"x": value}]),
        lambda: index.search(np.eye(3), where={"x": value}),
        lambda: index.search(np.eye(3), where={"x": {"<": value}}),
        lambda: index.search(np.eye(3), where={"id": [value]}),
    ):
        with pytest.raises(
            ValueError, match=r"metadata '(x|id)' must be (str, int, .*, got|finite, got inf)"
        ):
            call()
    assert index.get([0, 1, 2]).metadata.tolist() == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert len(index) == 3


def test_a_name_that_is_not_utf_8_is_found_by_that_name(engine):
    name, shown = "caf\udce9.png", "caf\\xe9.png"
    index = engine.open()
    index.add(np.eye(3), [name, "b", None], {"file": [name, "b", "c"]}, ids=[0, 1, 2])
    assert index.get([0]).metadata.tolist() == [{"file": shown}]
    assert index.class_names == ("b", shown)
    for where in ({"file": name}, {"file": [shown]}, {"label": name}, {"label": [shown, name]}):
        assert index.search(np.eye(3), k=1, where=where).ids.tolist() == [[0]] * 3
    index.update([1], labels=[name], metadata=[{"file": name}])
    assert sorted(index.search(np.eye(3), k=2, where={"file": name}).ids[0].tolist()) == [0, 1]
    assert index.get([1]).names.tolist() == [shown]
    given = engine.open(class_names=[name, "d"])
    given.add(np.eye(2), [0, 1])
    assert given.search(np.eye(2), k=1).names.tolist() == [[shown], ["d"]]
    with pytest.raises(ValueError, match="class_names must be different strings"):
        engine.open(class_names=[name, shown])
