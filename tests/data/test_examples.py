"""Examples, their splits, and how they are made of arrays."""

import dataclasses
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from simnb import data
from simnb.index import UNKNOWN

PARTS = ("train", "gallery", "calibration", "query")


def make(labels, class_names=None):
    """Examples whose images carry their own id, and whose ids are not their positions."""
    ids = np.arange(len(labels)) * 3 + 100
    images = np.broadcast_to(ids.astype(np.int32)[:, None, None, None], (len(labels), 2, 3, 1))
    return data.Examples(images, labels, class_names or ("ant", "bee", "cat", "dog"), ids)


def assert_belong_together(examples):
    np.testing.assert_array_equal(examples.images[:, 0, 0, 0], examples.ids)
    assert len(examples) == len(examples.images) == len(examples.labels) == len(examples.ids)


# Examples


def test_examples_keep_what_they_are_given():
    examples = data.Examples(np.zeros((2, 4, 5, 3), np.uint8), [1, 0], ["a", "b"], [7, 3])
    assert examples.labels.dtype == examples.ids.dtype == np.int64
    assert examples.class_names == ("a", "b")
    assert examples.ids.tolist() == [7, 3]
    assert len(examples) == 2


def test_examples_may_have_no_label():
    examples = make([UNKNOWN, 2, UNKNOWN])
    assert repr(examples) == "Examples(3 images 2x3x1 int32, 1 class, 2 without a label)"
    assert repr(examples[[0, 2]]) == "Examples(2 images 2x3x1 int32, all without a label)"
    assert examples.only(examples.class_names).ids.tolist() == [103]
    described = dataclasses.replace(examples, class_metadata={"legs": (6, 6, 4, 4)})
    assert described.metadata == {"legs": [None, 4, None]}


def test_arrays_say_by_a_number_which_images_have_no_label():
    examples = data.from_arrays(IMAGES, [2, UNKNOWN, 0])
    assert (examples.labels.tolist(), examples.class_names) == ([2, UNKNOWN, 0], ("0", "1", "2"))
    none = data.from_arrays(IMAGES, [UNKNOWN] * 3, class_names=["a", "b"])
    assert repr(none) == "Examples(3 images 4x5x3 uint8, all without a label)"
    assert none.class_names == ("a", "b")


def test_examples_of_many_classes_are_chosen_in_no_time():
    names = [f"class {number}" for number in range(8_000)]
    examples = data.Examples(np.zeros((8_000, 1, 1, 1), np.uint8), range(8_000), names, range(8_000))
    before = time.perf_counter()
    assert len(examples.only(names)) == 8_000
    assert time.perf_counter() - before < 2


def test_whatever_needs_labels_says_that_some_are_missing():
    some, none = make([UNKNOWN, 2, 1, UNKNOWN]), make([UNKNOWN] * 3)
    for verb, use in {
        "take_per_class": lambda examples: examples.take_per_class(1),
        "split_classes": lambda examples: examples.split_classes(),
    }.items():
        message = (
            f"{verb} needs examples with labels, but 2 of 4 have none; examples.only.examples.class_names"
        )
        with pytest.raises(ValueError, match=message):
            use(some)
        with pytest.raises(ValueError, match=f"{verb} needs examples with labels, but none of the 3 has one"):
            use(none)


def test_examples_without_a_label_are_split_by_the_same_fractions():
    examples = make([UNKNOWN] * 20 + [1] * 10)
    parts = examples.split(train=0.5, gallery=0.3, calibration=0, query=0.2)
    assert [np.bincount(part.labels + 1, minlength=3).tolist() for part in parts] == [
        [10, 0, 5],
        [6, 0, 3],
        [0, 0, 0],
        [4, 0, 2],
    ]
    assert len(np.unique(np.concatenate([part.ids for part in parts]))) == 30
    with pytest.raises(
        ValueError, match="no example of the part without a label, which has 1; pass train=0, "
    ):
        make([UNKNOWN]).split()


def test_turned_examples_without_a_label_have_none():
    examples = data.Examples(np.zeros((2, 4, 4, 1), np.uint8), [UNKNOWN, 1], ("a", "b"), [0, 1])
    assert examples.with_rotations().labels.tolist() == [UNKNOWN, 1, UNKNOWN, 3, UNKNOWN, 5, UNKNOWN, 7]


def test_examples_are_frozen():
    with pytest.raises(AttributeError, match="cannot assign"):
        make([0]).labels = 3


def test_repr_is_short_and_counts_the_classes_that_are_there():
    images = np.zeros((3, 32, 16, 3), np.uint8)
    examples = data.Examples(images, [0, 1, 1], ("a", "b", "c"), np.arange(3))
    assert repr(examples) == "Examples(3 images 32x16x3 uint8, 2 classes)"
    assert repr(examples[0]) == "Examples(1 image 32x16x3 uint8, 1 class)"
    assert repr(examples[:0]) == "Examples(0 images 32x16x3 uint8, 0 classes)"


@pytest.mark.parametrize(
    ("key", "positions"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -2), [3, 1]),
        (np.array([True, False, False, True]), [0, 3]),
        ([True, False, True, False], [0, 2]),
        ([2, 0], [2, 0]),
        (np.array([-1], np.int8), [3]),
        (2, [2]),
        (np.int64(-1), [3]),
        ([], []),
    ],
)
def test_an_index_selects_all_four_fields_alike(key, positions):
    examples = make([0, 3, 1, 2])
    part = examples[key]
    assert_belong_together(part)
    assert part.ids.tolist() == examples.ids[positions].tolist()
    assert part.labels.tolist() == examples.labels[positions].tolist()
    assert part.class_names == examples.class_names


@pytest.mark.parametrize("key", [4, -5])
def test_a_position_out_of_range_is_refused(key):
    with pytest.raises(IndexError, match=f"position {key} is out of range for 4 examples"):
        make([0, 3, 1, 2])[key]


@pytest.mark.parametrize("key", [(0, 1), [[0, 1]], [0.5], "cat", None, True])
def test_an_index_of_another_kind_is_refused(key):
    with pytest.raises(IndexError, match="examples take an int, a slice, a mask or an array"):
        make([0, 3, 1, 2])[key]


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(IndexError, match="one value for each of the 4 examples, got 3"):
        make([0, 3, 1, 2])[[True, False, True]]


def test_examples_can_be_iterated_one_by_one():
    assert [one.ids.tolist() for one in make([0, 3])] == [[100], [103]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 4, 4))}, r"images must have shape .*got \(2, 4, 4\)"),
        ({"images": np.full((2, 4, 4, 3), "x")}, "images must be numbers, got dtype"),
        ({"labels": [0, 1, 1]}, "labels and images must have the same length, got 3 and 2"),
        ({"labels": [0, 2]}, "labels must be from 0 to 1 for 2 class_names, .* got 2 in row 1"),
        ({"labels": [-2, 0]}, "labels must be from 0 to 1 .* or -1 for none, got -2 in row 0"),
        ({"labels": [0.0, 1.0]}, "labels must be integers"),
        ({"ids": [1]}, "ids and images must have the same length, got 1 and 2"),
        ({"ids": [5, 5]}, "ids must be unique, got id 5 more than once"),
        ({"class_names": "ab"}, "class_names must be a sequence of strings, got 'ab'"),
        ({"class_names": (1, 2)}, "class_names must be a sequence of strings"),
        ({"class_names": ("a", "a")}, "class_names must be unique"),
    ],
)
def test_fields_that_do_not_belong_together_are_refused(change, message):
    fields = {"images": np.zeros((2, 4, 4, 3)), "labels": [0, 1], "class_names": ("a", "b"), "ids": [0, 1]}
    with pytest.raises(ValueError, match=message):
        data.Examples(**(fields | change))


def test_a_memory_map_is_not_read_when_examples_are_made(tmp_path):
    images = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(4, 2, 2, 1))
    for examples in (
        data.Examples(images, [0, 1, 0, 1], ("a", "b"), range(4)),
        data.from_arrays(images, [0, 1, 0, 1]),
    ):
        assert examples.images is images
        assert np.shares_memory(examples[1:3].images, images)


def test_take_per_class_draws_n_different_ones_of_each_class():
    examples = make([0, 1, 1, 0, 1, 0, 1, 3, 3])
    part = examples.take_per_class(2)
    assert np.bincount(part.labels, minlength=4).tolist() == [2, 2, 0, 2]
    assert np.all(np.diff(part.ids) > 0)
    assert_belong_together(part)


def test_take_per_class_follows_its_seed_and_leaves_the_global_generator_alone():
    examples = make([0, 1] * 50)
    before = np.random.get_state()[1].copy()
    first, again, other = (examples.take_per_class(5, seed=seed).ids for seed in (1, 1, 2))
    examples.split(seed=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("seed", [None, -1, "a", 1.5])
def test_a_seed_is_an_integer(seed):
    examples = make([0, 0, 1, 1])
    for draw in (lambda: examples.take_per_class(1, seed=seed), lambda: examples.split(seed=seed)):
        with pytest.raises(ValueError, match=f"seed must be an integer of at least 0, got {seed!r}"):
            draw()


def test_take_per_class_says_which_class_is_too_small():
    with pytest.raises(ValueError, match=r"take_per_class\(3\) needs 3 examples .*'bee' has 2"):
        make([0, 0, 0, 1, 1]).take_per_class(3)
    with pytest.raises(ValueError, match="n must be an integer of at least 1, got 0"):
        make([0]).take_per_class(0)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ("bee", [1, 1]),
        (3, [3]),
        (["dog", 1], [1, 3, 1]),
        (np.array([0, 3]), [0, 3, 0]),
        (("cat",), []),
        ([], []),
        (np.array(["ant", "ant"]), [0, 0]),
    ],
)
def test_only_keeps_the_classes_and_their_numbers(classes, labels):
    part = make([0, 1, 3, 1, 0]).only(classes)
    assert part.labels.tolist() == labels
    assert part.class_names == ("ant", "bee", "cat", "dog")
    assert_belong_together(part)


@pytest.mark.parametrize("classes", ["cow", 4, -1, [0, "cow"], [True], [1.0]])
def test_only_names_the_classes_there_are(classes):
    with pytest.raises(
        ValueError, match="classes must be among 'ant', 'bee', 'cat', 'dog', or their labels 0 to 3"
    ):
        make([0, 1]).only(classes)


def test_many_class_names_are_cut_short_in_messages():
    with pytest.raises(ValueError, match=r"'19', \.\.\. \(50 in all\)"):
        make([0], tuple(map(str, range(50)))).only("x")


# Splits


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(40, 90), min_size=2, max_size=4),
    weights=st.lists(st.integers(0, 6), min_size=5, max_size=5).filter(lambda w: sum(w[:4]) > 0),
    held_out=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_parts_are_disjoint_and_cut_every_class_by_the_same_fractions(sizes, weights, held_out, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    unknown = [held_out] if held_out < len(sizes) else []
    fractions = dict(zip(PARTS, np.array(weights[:4]) / sum(weights), strict=True))
    examples = make(labels)
    splits = examples.split(**fractions, unknown=unknown, seed=seed)
    ids = np.concatenate([part.ids for part in splits])
    assert len(np.unique(ids)) == len(ids)
    assert set(ids.tolist()) <= set(examples.ids.tolist())
    for name, part in zip(PARTS, splits, strict=True):
        assert_belong_together(part)
        counts = np.bincount(part.labels, minlength=len(sizes))
        for label, size in enumerate(sizes):
            out = label in unknown and name in ("train", "gallery")
            assert abs(counts[label] - (0 if out else fractions[name] * size)) <= (0 if out else 1)
    if weights[4] == 0:
        known = np.isin(examples.labels, unknown, invert=True)
        assert set(examples.ids[known].tolist()) <= set(ids.tolist())


def test_the_default_split_is_60_20_10_10():
    splits = make(np.arange(400) % 4).split()
    assert [len(part) for part in splits] == [240, 80, 40, 40]
    for part, count in zip(splits, (60, 20, 10, 10), strict=True):
        assert np.bincount(part.labels).tolist() == [count] * 4
    assert splits.unknown == ()
    assert splits.train.ids.tolist() == next(iter(splits)).ids.tolist()


def test_each_fraction_sets_its_own_part():
    fractions = {"train": 0.1, "gallery": 0.3, "calibration": 0.2, "query": 0.25}
    splits = make(np.arange(400) % 4).split(**fractions)
    assert {name: len(getattr(splits, name)) / 400 for name in PARTS} == fractions


def test_unknown_classes_are_asked_but_neither_trained_on_nor_indexed():
    splits = make(np.arange(400) % 4).split(unknown=["dog", 1])
    assert splits.unknown == (1, 3)
    for part in (splits.train, splits.gallery):
        assert set(part.labels.tolist()) == {0, 2}
    for part in (splits.calibration, splits.query):
        assert np.bincount(part.labels).tolist() == [10] * 4


def test_holding_a_class_out_does_not_move_the_others():
    examples = make(np.arange(400) % 4)
    for with_it, without in zip(examples.split(), examples.split(unknown="bee"), strict=True):
        assert set(without.only([0, 2, 3]).ids.tolist()) == set(with_it.only([0, 2, 3]).ids.tolist())


def test_a_split_follows_its_seed_and_is_shuffled():
    examples = make(np.sort(np.arange(400) % 4))
    first, again, other = (examples.split(seed=seed) for seed in (0, 0, 1))
    for part, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(part.ids, same.ids)
        assert set(part.ids.tolist()) != set(different.ids.tolist())
        assert np.any(np.diff(part.labels) < 0)


def test_a_part_of_fraction_zero_is_empty():
    splits = make(np.arange(40) % 4).split(train=0, gallery=0.5, calibration=0, query=0.5)
    assert [len(part) for part in splits] == [0, 20, 0, 20]


def test_all_classes_can_be_unknown_where_nothing_is_trained_or_indexed():
    examples = make(np.arange(40) % 4)
    splits = examples.split(train=0, gallery=0, calibration=0.5, query=0.5, unknown=range(4))
    assert [len(part) for part in splits] == [0, 0, 20, 20]
    with pytest.raises(ValueError, match="unknown must leave at least one class"):
        examples.split(unknown=range(4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train": -0.1}, "train must be a number from 0 to 1, got -0.1"),
        ({"query": 1.5}, "query must be a number from 0 to 1, got 1.5"),
        ({"gallery": float("nan")}, "gallery must be a number from 0 to 1, got nan"),
        ({"calibration": "0.1"}, "calibration must be a number from 0 to 1, got '0.1'"),
        ({"train": True}, "train must be a number from 0 to 1"),
        ({"train": 0.7}, "fractions must add up to at most 1 .*train=0.7, gallery=0.2"),
        (dict.fromkeys(PARTS, 0), "fractions must add up to at most 1 and to more than 0"),
        ({"unknown": "cow"}, "unknown must be among 'ant'"),
        ({"unknown": "cat"}, "unknown class 'cat' has no examples to hold out"),
        (
            {"query": 0.001},
            "query=0.001 leaves no example of class 'ant', which has 100; pass .*query=0.01",
        ),
    ],
)
def test_a_split_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(np.repeat([0, 1, 3], 100)).split(**arguments)


@pytest.mark.parametrize(
    ("counts", "unknown", "fractions"),
    [
        ([2, 2], (), "train=0, gallery=0.5, calibration=0, query=0.5"),
        ([9, 3], (), "train=0, gallery=0.333, calibration=0.333, query=0.333"),
        ([9, 4], (), "train=0.25, gallery=0.25, calibration=0.25, query=0.25"),
        ([5, 50], (), "train=0.4, gallery=0.2, calibration=0.2, query=0.2"),
        ([9, 1], (), "train=0, gallery=1, calibration=0, query=0"),
        ([4, 4], "bee", "train=0.25, gallery=0.25, calibration=0.25, query=0.25"),
    ],
)
def test_a_split_of_few_images_names_fractions_that_would_do(counts, unknown, fractions):
    message = rf"leaves no example of class '\w+', which has \d; pass {fractions}, or leave the class out"
    with pytest.raises(ValueError, match=message):
        make(np.repeat(np.arange(len(counts)), counts)).split(unknown=unknown)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=4),
    st.lists(st.integers(0, 100), min_size=4, max_size=4).filter(any),
)
def test_the_fractions_that_are_named_do(counts, shares):
    examples = make(np.repeat(np.arange(len(counts)), counts))
    fractions = {part: share / sum(shares) for part, share in zip(PARTS, shares, strict=True)}
    try:
        examples.split(**fractions)
    except ValueError as error:
        named = re.search(r"; pass (train=\S+, gallery=\S+, calibration=\S+, query=\S+), or", str(error))[1]
        wanted = eval(f"dict({named})")
        parts = dict(zip(PARTS, examples.split(**wanted), strict=True))
        for part, share in wanted.items():
            assert (np.unique(parts[part].labels).size == len(counts)) == (share > 0)
            assert share == 0 or fractions[part] > 0


def test_fractions_that_add_up_to_one_in_floats_are_accepted():
    fractions = dict(zip(PARTS, (0.2, 0.4, 0.3, 0.1), strict=True))
    assert np.cumsum(list(fractions.values()))[-1] > 1  # Python's own sum does not round since 3.12
    assert sum(map(len, make(np.arange(400) % 4).split(**fractions))) == 400


def test_nothing_cannot_be_split():
    with pytest.raises(ValueError, match="examples to split must hold at least one example"):
        make([0])[:0].split()


# Arrays

IMAGES = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)


@pytest.mark.parametrize(
    "labels",
    [
        ["dog", "ant", "dog"],
        ("dog", "ant", "dog"),
        np.array(["dog", "ant", "dog"]),
        np.array([b"dog", b"ant", b"dog"]),
        np.array(["dog", "ant", "dog"], object),
        np.array(["dog", "ant", "dog"], np.dtypes.StringDType()),
    ],
)
def test_strings_become_sorted_class_names(labels):
    examples = data.from_arrays(IMAGES, labels)
    assert examples.class_names == ("ant", "dog")
    assert examples.labels.tolist() == [1, 0, 1]
    assert examples.ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("labels", [[2, 0, 2], np.array([2, 0, 2], np.uint8), np.array([2, 0, 2], object)])
def test_integers_are_their_own_names(labels):
    examples = data.from_arrays(IMAGES, labels)
    assert examples.class_names == ("0", "1", "2")
    assert examples.labels.tolist() == [2, 0, 2]


def test_class_names_and_ids_can_be_given():
    named = data.from_arrays(IMAGES, [1, 0, 1], class_names=["x", "y", "z"], ids=[9, 4, 6])
    assert named.class_names == ("x", "y", "z")
    assert named.ids.tolist() == [9, 4, 6]
    ordered = data.from_arrays(IMAGES, ["dog", "ant", "dog"], class_names=np.array(["dog", "cow", "ant"]))
    assert ordered.labels.tolist() == [0, 2, 0]
    assert ordered.class_names == ("dog", "cow", "ant")


def test_images_are_kept_as_they_are_and_lists_are_stacked():
    assert data.from_arrays(IMAGES, [0, 1, 2]).images is IMAGES
    for images in (list(IMAGES), [Image.fromarray(image) for image in IMAGES]):
        np.testing.assert_array_equal(data.from_arrays(images, [0, 1, 2]).images, IMAGES)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.0, 2.0], "got float; if they are whole numbers, make them int"),
        (np.array([0.0, 1.0, 2.0]), r"got dtype float64; .*labels.astype\(int\)"),
        (np.array([0.0, np.nan, 2.0]), "got dtype float64 with NaN"),
        (["a", None, "b"], "got NoneType, str; leave out the rows without a label"),
        (["a", float("nan"), "b"], "got float, str; leave out the rows without a label"),
        (["a", 1, "b"], "got int, str; pass labels of one kind"),
        ([True, False, True], "must be integers or strings, got bool"),
        (np.array([True, False, True]), "must be integers or strings, got dtype bool"),
        ([0, -2, 1], "labels must be 0 or above, or -1 for none, got -2 in row 1"),
        ([0, 2**63, 1], "labels must fit int64, got 9223372036854775808"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), "labels must not be masked"),
        ([0, 1], "labels and images must have the same length, got 2 and 3"),
        (np.eye(3), r"got \(3, 3\); one-hot labels become integers with argmax\(axis=1\)"),
        ([[1, 1, 0], [0, 1, 1], [0, 0, 1]], r"got \(3, 3\); each example must have exactly one class"),
        ("dog", r"labels must have shape \[num_examples\], got \(\)"),
        ([0, 20240101, 1], "must number the classes from 0, got 20240101 among 3 labels; renumber them with"),
    ],
)
def test_labels_that_name_no_class_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(IMAGES, labels)


@pytest.mark.parametrize("labels", [[[2], [0], [1]], np.uint8([[2], [0], [1]]), [["c"], ["a"], ["b"]]])
def test_a_column_of_labels_is_taken_as_keras_gives_it(labels):
    examples = data.from_arrays(IMAGES, labels)
    assert examples.labels.tolist() == [2, 0, 1]
    assert len(examples.class_names) == 3


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[..., 0], r"got \(3, 4, 5\); for grayscale images pass images\[..., None\]"),
        (IMAGES[0, ..., 0], r"images must have shape .*got \(4, 5\)"),
        ([IMAGES[0], IMAGES[1], IMAGES[2, :2]], "images must all have one shape .*, got several"),
        (IMAGES[:0], "images must hold at least one example, got none"),
    ],
)
def test_images_of_another_shape_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(images, [0, 1, 2])


def test_labels_must_be_among_given_class_names():
    with pytest.raises(ValueError, match="labels must be among class_names 'cat'; got 'dog'"):
        data.from_arrays(IMAGES, ["cat", "dog", "cat"], class_names=["cat"])
    with pytest.raises(ValueError, match="labels must be from 0 to 0"):
        data.from_arrays(IMAGES, [0, 1, 0], class_names=["cat"])
