"""What is known of classes, and parts that share no class."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb import data
from simnb.index import open_index

NAMES = ("ant", "bee", "cat", "dog")
KNOWN = {"legs": (6, 6, 4, 4), "wings": ("no", "yes", "no", None)}


def make(labels, class_names=NAMES, class_metadata=KNOWN):
    """Examples whose images carry their own id, and whose ids are not their positions."""
    ids = np.arange(len(labels)) * 3 + 100
    images = np.broadcast_to(ids.astype(np.int32)[:, None, None, None], (len(labels), 2, 3, 1))
    return data.Examples(images, labels, class_names, ids, class_metadata)


def in_groups(groups, each=2):
    """``each`` examples of one class for each group that is given; ``group`` says which one a class is of."""
    count = len(groups)
    return make(np.arange(count * each) % count, tuple(map(str, range(count))), {"group": groups})


def classes_of(part):
    return set(part.labels.tolist())


# Metadata


def test_parts_keep_what_is_known_of_classes():
    examples = make([0, 3, 1, 1, 3, 0])
    splits = examples.split(train=0, gallery=0.5, calibration=0, query=0.5)
    parts = [examples[:2], examples[3], examples[[2, 0]], examples[examples.labels == 1]]
    parts += [examples.only("bee"), examples.take_per_class(1), *splits, *examples.split_classes()]
    parts += [copy.deepcopy(examples), pickle.loads(pickle.dumps(examples))]
    for part in parts:
        assert part.class_metadata == KNOWN


def test_metadata_is_none_by_default_and_is_copied():
    assert data.Examples(np.zeros((1, 2, 2, 1)), [0], ("a",), [0]).class_metadata == {}
    given = {"legs": [6, 6, 4, 4], "size": np.array([1, 2, 40, 50])}
    examples = make([0, 1], class_metadata=given)
    given["legs"].append(8)
    given["more"] = ()
    assert examples.class_metadata == {"legs": (6, 6, 4, 4), "size": (1, 2, 40, 50)}
    assert type(examples.class_metadata["size"][0]) is int


def test_metadata_comes_by_example_and_an_index_takes_it():
    examples = make([0, 3, 1])
    assert examples.metadata == {"legs": [6, 4, 6], "wings": ["no", None, "yes"]}
    assert make([0], class_metadata={}).metadata == {}
    index = open_index("memory:")
    index.add(np.eye(3), examples.labels, examples.metadata, ids=examples.ids)
    assert index.search(np.eye(3)[:1], k=3, where={"legs": 6}).ids.tolist() == [[100, 106, -1]]
    assert index.search(np.eye(3)[:1], k=1, where={"wings": "yes"}).ids.tolist() == [[106]]


def test_metadata_can_be_given_with_arrays_and_added_later():
    images = np.zeros((3, 2, 2, 1))
    examples = data.from_arrays(images, ["bee", "ant", "bee"], class_metadata={"legs": [6, 7]})
    assert examples.class_metadata == {"legs": (6, 7)}
    assert examples.metadata == {"legs": [7, 6, 7]}
    later = dataclasses.replace(data.from_arrays(images, [0, 1, 0]), class_metadata=examples.class_metadata)
    assert later[1:].metadata == {"legs": [7, 6]}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"legs": (6, 6, 4)},
            "class_metadata 'legs' must have one value for each of the 4 class_names, got 3",
        ),
        ({"legs": "6644"}, "class_metadata 'legs' must be a list of 4 values, got '6644'"),
        ({"legs": 6}, "class_metadata 'legs' must be a list of 4 values, got 6"),
        ({"legs": np.array(6)}, "class_metadata 'legs' must be a list of 4 values, got 6"),
        ({"legs": {"cat": 4, "dog": 4, "ant": 6, "bee": 6}}, "must be a list of 4 values, got {'cat': 4"),
        ({"legs": {1, 2, 3, 4}}, "must be a list of 4 values, got {1, 2, 3, 4}"),
        ({1: (6, 6, 4, 4)}, "names of class_metadata must be strings, got 1"),
        ({"": (6, 6, 4, 4)}, "names of class_metadata must be strings, got ''"),
        ([6, 6, 4, 4], r"must be a dict of one value for each class, such as .*, got \[6, 6, 4, 4\]"),
        (None, "class_metadata must be a dict of one value for each class, such as .* got None"),
    ],
)
def test_metadata_that_is_not_of_the_classes_is_refused(metadata, message):
    with pytest.raises(ValueError, match=message):
        make([0, 1], class_metadata=metadata)


# Fingerprints


def test_a_fingerprint_tells_examples_apart_and_knows_them_again():
    images = np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1)
    parts = {"images": images, "labels": [0, 1, 0], "class_names": ("a", "b"), "ids": [3, 4, 5]}
    examples = data.Examples(**parts)
    assert examples.fingerprint().startswith("3 examples, ")
    assert examples[:1].fingerprint().startswith("1 example, ")
    for same in (
        data.Examples(**parts),
        data.Examples(**parts | {"images": data.from_arrays(images, [0, 1, 0], lazy=True).images}),
        data.Examples(**parts | {"images": np.asfortranarray(images)}),
    ):
        assert same.fingerprint() == examples.fingerprint()
    changed = images.copy()
    changed[2, 3, 3] = 0
    fingerprints = {
        data.Examples(**parts | change).fingerprint()
        for change in (
            {},
            {"images": changed},
            {"images": images.astype(np.int16)},
            {"images": images.reshape(3, 2, 8, 1)},
            {"labels": [0, 1, 1]},
            {"class_names": ("a", "c")},
            {"ids": [3, 4, 6]},
            {"labels": [3, 4, 5], "ids": [0, 1, 0 + 2], "class_names": tuple("abcdef")},
        )
    } | {examples[[1, 0, 2]].fingerprint()}
    assert len(fingerprints) == 9


def test_a_fingerprint_depends_neither_on_the_order_of_bytes_nor_on_how_many_are_hashed_at_once(monkeypatch):
    images = np.arange(48, dtype="<i2").reshape(3, 4, 4, 1)
    fingerprint = data.from_arrays(images, [0, 1, 0]).fingerprint()
    assert data.from_arrays(images.astype(">i2"), [0, 1, 0]).fingerprint() == fingerprint
    monkeypatch.setattr(data.examples, "_HASHED_AT_ONCE", 2)
    assert data.from_arrays(images, [0, 1, 0]).fingerprint() == fingerprint


# Splits by class


@settings(max_examples=100, deadline=None)
@given(
    groups=st.lists(st.integers(0, 4), min_size=10, max_size=80),
    weights=st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(lambda w: sum(w[:3]) > 0),
    by=st.sampled_from([None, "group"]),
    whole=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_parts_share_no_class_and_hold_whole_classes(groups, weights, by, whole, seed):
    examples = in_groups(groups)
    train, validation, test = np.array(weights[:3]) / sum(weights)
    options = {"by": by, "whole": whole and by is not None, "seed": seed}
    refused = None
    try:
        parts = examples.split_classes(train=train, validation=validation, test=test, **options)
    except ValueError as error:
        refused = str(error)
    if refused is not None:
        assert "leaves no class for" in refused
        return
    for part, fraction in zip(parts, (train, validation, test), strict=True):
        np.testing.assert_array_equal(part.images[:, 0, 0, 0], part.ids)
        assert set(np.bincount(part.labels).tolist()) <= {0, 2}
        assert np.all(np.diff(part.ids) > 0)
        assert (len(part) > 0) == (fraction > 0)
        if not options["whole"]:
            assert abs(len(classes_of(part)) - fraction * len(groups)) <= 1
    found = [label for part in parts for label in classes_of(part)]
    assert len(set(found)) == len(found)
    if weights[3] == 0:
        assert len(found) == len(groups)
    if options["whole"]:
        of_parts = [{groups[label] for label in classes_of(part)} for part in parts]
        assert len(set.union(*of_parts)) == sum(map(len, of_parts))


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_every_group_is_divided_by_the_same_fractions(sizes, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    examples = in_groups(np.random.default_rng(seed).permutation([*groups, *[6] * 20]))
    parts = examples.split_classes(train=0.5, validation=0.2, by="group", seed=seed)
    of = examples.class_metadata["group"]
    for part, fraction in zip(parts, (0.5, 0.2, 0.3), strict=True):
        counts = np.bincount([of[label] for label in classes_of(part)], minlength=7)
        for count, size in zip(counts, [*sizes, *[0] * (6 - len(sizes)), 20], strict=True):
            assert abs(count - fraction * size) < 2


def test_groups_of_one_class_are_shared_among_the_parts():
    parts = in_groups(np.arange(40)).split_classes(train=0.6, by="group")
    assert [len(classes_of(part)) for part in parts] == [24, 0, 16]


def test_the_default_is_60_percent_to_train_on_and_the_others_to_test():
    examples = make(np.arange(40) % 20, tuple(map(str, range(20))), {})
    splits = examples.split_classes()
    assert [len(classes_of(part)) for part in splits] == [12, 0, 8]
    train, validation, test = splits
    assert (train, validation, test) == (splits.train, splits.validation, splits.test)
    assert [len(part) for part in examples.split_classes(train=0.5, validation=0.25)] == [20, 10, 10]
    assert [len(part) for part in examples.split_classes(train=0.5, test=0.25)] == [20, 0, 10]
    assert [len(part) for part in examples.split_classes(train=0)] == [0, 0, 40]
    # 1 - 0.7 - 0.3 is 5.6e-17
    assert [len(part) for part in examples.split_classes(train=0.7, validation=0.3)] == [28, 12, 0]


@pytest.mark.parametrize("options", [{}, {"by": "group"}, {"by": "group", "whole": True}])
def test_a_split_follows_its_seed(options):
    examples = in_groups(np.arange(60) % 12)
    before = np.random.get_state()[1].copy()
    first, again, other = (examples.split_classes(seed=seed, **options).train.ids for seed in (1, 1, 2))
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        examples.split_classes(seed=-1, **options)


def test_whole_groups_go_to_one_part_and_meet_the_fractions_about():
    sizes = np.arange(5, 35)
    examples = in_groups(np.repeat(np.arange(30), sizes))
    of = np.array(examples.class_metadata["group"])
    tested = []
    for seed in range(20):
        parts = examples.split_classes(train=0.5, validation=0.25, by="group", whole=True, seed=seed)
        groups = [set(of[list(classes_of(part))].tolist()) for part in parts]
        assert sum(map(len, groups)) == len(set().union(*groups)) == 30
        shares = [len(classes_of(part)) / len(of) for part in parts]
        np.testing.assert_allclose(shares, (0.5, 0.25, 0.25), atol=0.03)
        tested.append(groups[2])
    # Another seed holds out other groups, large ones too.
    assert len(set(map(frozenset, tested))) == 20
    assert any(29 in groups for groups in tested)
    assert not all(29 in groups for groups in tested)


def test_only_classes_with_examples_count():
    examples = make([0, 0, 3, 3], class_metadata={"group": ("a", "b", "b", "a")})
    parts = examples.split_classes(train=0.5, by="group")
    assert sorted([*classes_of(parts.train), *classes_of(parts.test)]) == [0, 3]
    assert parts.train.class_names == NAMES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": -0.1}, "train must be a number from 0 to 1, got -0.1"),
        ({"validation": 1.5}, "validation must be a number from 0 to 1, got 1.5"),
        ({"test": float("nan")}, "test must be a number from 0 to 1, got nan"),
        ({"train": "0.6"}, "train must be a number from 0 to 1, got '0.6'"),
        ({"train": 0.7, "test": 0.4}, "at most 1 .*got train=0.7, validation=0.0, test=0.4"),
        ({"train": 0.9, "validation": 0.2}, "at most 1 .*got train=0.9, validation=0.2, test=0.0"),
        ({"train": 0, "test": 0}, "more than 0, got train=0, validation=0.0, test=0"),
        ({"validation": 0.01}, "validation=0.01 leaves no class for validation of 4 classes; pass a larger"),
        ({"train": 0.95}, "test=0.05 leaves no class for test of 4 classes; .* or test=0"),
        (
            {"train": 0.9, "by": "legs", "whole": True},
            "test=0.1 leaves no class for test of 2 groups; pass a larger fraction",
        ),
        ({"by": "colour"}, "by must be a name of class_metadata, which are 'legs', 'wings'; got 'colour'"),
        ({"by": ["legs"]}, r"by must be a name of class_metadata, .*; got \['legs'\]"),
        ({"whole": True}, "whole=True keeps groups together: pass by, the name of what groups the classes"),
    ],
)
def test_a_split_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(np.arange(8) % 4).split_classes(**arguments)


def test_values_that_cannot_group_classes_are_refused():
    examples = make(np.arange(8) % 4, class_metadata={"seen_in": (["a"], ["b"], ["a"], ["b"])})
    with pytest.raises(ValueError, match=r"by must name values such as strings, .* got \['a'\] in 'seen_in'"):
        examples.split_classes(by="seen_in")


def test_a_class_without_a_pair_is_named_and_can_be_left_out_as_the_message_says():
    examples = make([0, 0, 1, 2, 2, 3])
    with pytest.raises(
        ValueError, match=r"two examples or more.* got one of 'bee', 'dog'; leave such"
    ) as caught:
        examples.split_classes()
    advice = str(caught.value).rpartition(": ")[2]
    parts = eval(advice, {"np": np, "examples": examples}).split_classes(train=0.5)
    assert classes_of(parts.train) | classes_of(parts.test) == {0, 2}


def test_without_examples_or_metadata_a_split_is_refused():
    with pytest.raises(ValueError, match="examples to split must hold at least one example"):
        make([0])[:0].split_classes()
    with pytest.raises(ValueError, match="class_metadata, which are none here; got 'legs'"):
        make([0, 0], class_metadata={}).split_classes(by="legs")


def test_each_turn_of_a_class_is_a_class():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    examples = data.from_arrays(
        images,
        [1, 0, 1, 2, 0],
        class_names=["a", "b", "c"],
        ids=[9, 3, 5, 0, 4],
        class_metadata={"n": (1, 2, 3)},
    )
    turned = examples.with_rotations()
    assert turned.labels.tolist() == [1, 0, 1, 2, 0, 4, 3, 4, 5, 3, 7, 6, 7, 8, 6, 10, 9, 10, 11, 9]
    assert turned.class_names[::3] == ("a", "a, turned by 90°", "a, turned by 180°", "a, turned by 270°")
    assert turned.metadata["n"] == [2, 1, 2, 3, 1] * 4
    assert turned[:5].ids.tolist() == [36, 12, 20, 0, 16]
    # Pixel by pixel, against the clock: the upper right corner comes to the upper left.
    for row, image in enumerate(np.asarray(turned.images)):
        before, turn = images[row % 5], row // 5
        for y, x in np.ndindex(4, 4):
            at = y, x
            for _ in range(turn):
                at = at[1], 3 - at[0]
            assert image[y, x].tolist() == before[at].tolist()
    some = [17, 2, 8, 12, 2]
    np.testing.assert_array_equal(turned.images[some], np.asarray(turned.images)[some])
    lazy = data.from_arrays(images, [0, 1, 0, 1, 0], lazy=True).with_rotations()
    np.testing.assert_array_equal(lazy.images[:], turned.images[:])
    np.testing.assert_array_equal(
        images, np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    )


def test_images_that_are_not_square_are_not_turned():
    with pytest.raises(
        ValueError, match=r"images must be square to be turned by 90 degrees, got 4 x 5; load\("
    ):
        data.from_arrays(np.zeros((2, 4, 5, 1), np.uint8), [0, 1]).with_rotations()
