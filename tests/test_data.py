"""Examples, their splits, and where they come from."""

import io
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from simnb import data
from simnb.data import __main__ as command
from simnb.data import folder as folder_module
from simnb.data import image_file, loading, tfds

PARTS = ("train", "gallery", "calibration", "query")
HOLES = "cifar10 is not prepared"


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
        ({"labels": [0, 2]}, "labels must be from 0 to 1 for 2 class_names, got 2 in row 1"),
        ({"labels": [-1, 0]}, "labels must be from 0 to 1 .* got -1 in row 0"),
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
        ({"train": -0.1}, "train must be a fraction from 0 to 1, got -0.1"),
        ({"query": 1.5}, "query must be a fraction from 0 to 1, got 1.5"),
        ({"gallery": float("nan")}, "gallery must be a fraction from 0 to 1, got nan"),
        ({"calibration": "0.1"}, "calibration must be a fraction from 0 to 1, got '0.1'"),
        ({"train": True}, "train must be a fraction"),
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
        ([0, -1, 1], "labels must be 0 or above, got -1 in row 1"),
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


# Folders


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def plain(color, size=(40, 30), mode="RGB"):
    return Image.new(mode, size, color)


def png_that_claims(width, height):
    """A PNG of a few bytes whose header claims any size."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def read_one(path, **options):
    return data.from_folder(path, progress=False, **options).images


def test_a_folder_becomes_examples_in_a_fixed_order(tmp_path):
    for name, color in [
        ("b/2.PNG", 20),
        ("b/1.jpg", 10),
        ("a/x/deep.webp", 40),
        ("a/z.bmp", 60),
        ("a/w.JPEG", 80),
    ]:
        save(tmp_path / name, plain((color,) * 3))
    save(tmp_path / "a/.hidden.png", plain("red"))
    save(tmp_path / "a/.cache/y.png", plain("red"))
    save(tmp_path / ".git/y.png", plain("red"))
    (tmp_path / "a/folder.png").mkdir()
    (tmp_path / "a/notes.txt").write_text("notes")
    examples = data.from_folder(tmp_path)
    assert repr(examples) == "Examples(5 images 32x32x3 uint8, 2 classes)"
    assert examples.class_names == ("a", "b")
    assert examples.labels.tolist() == [0, 0, 0, 1, 1]
    assert examples.ids.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(examples.images.mean(axis=(1, 2, 3)), [80, 40, 60, 10, 20], atol=2)


@pytest.mark.parametrize("workers", [None, 1, 3])
@pytest.mark.parametrize("progress", [True, False])
def test_workers_and_progress_do_not_change_the_result(tmp_path, workers, progress, capfd):
    for number in range(12):
        save(tmp_path / f"a/{number:02}.png", plain((number * 20,) * 3))
    examples = data.from_folder(str(tmp_path), workers=workers, progress=progress)
    assert examples.images[:, 0, 0, 0].tolist() == [number * 20 for number in range(12)]
    assert capfd.readouterr() == ("", "")


def test_image_size_is_height_then_width(tmp_path):
    picture = np.zeros((30, 40, 3), np.uint8)
    picture[:, :20] = 255
    save(tmp_path / "a/left.png", Image.fromarray(picture))
    images = read_one(tmp_path, image_size=(6, 10))
    assert images.shape == (1, 6, 10, 3)
    assert images[0, :, :4].min() > 250
    assert images[0, :, 6:].max() < 5


def test_shrinking_averages_and_does_not_pick_pixels(tmp_path):
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    save(tmp_path / "a/1.png", Image.fromarray(stripes))
    save(tmp_path / "a/2.jpg", Image.fromarray(stripes), quality=95)
    images = read_one(tmp_path, image_size=(8, 8)).astype(int)
    assert np.abs(images - 127).max() <= 4


def test_exif_orientation_is_applied(tmp_path):
    picture = np.zeros((64, 32, 3), np.uint8)
    picture[:32] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # shot with the camera turned: show it turned by 90 degrees clockwise
    turned = Image.fromarray(picture).transpose(Image.Transpose.ROTATE_90)
    save(tmp_path / "a/1.jpg", turned, exif=exif, quality=95)
    image = read_one(tmp_path, image_size=(8, 8))[0]
    assert image[:3].min() > 240
    assert image[5:].max() < 15


def test_every_mode_becomes_rgb(tmp_path):
    half = np.full((20, 20), 32768, np.uint16)
    clear = plain((255, 0, 0, 0), (20, 20), "RGBA")
    palette = plain(0, (20, 20), "P")
    palette.putpalette([0, 0, 255, 255, 0, 0])
    expected = {
        "1_16bit.png": (Image.fromarray(half), {}, (128, 128, 128)),
        "2_gray.png": (plain(77, (20, 20), "L"), {}, (77, 77, 77)),
        "3_bits.png": (plain(1, (20, 20), "1"), {}, (255, 255, 255)),
        "4_clear.png": (clear, {}, (255, 255, 255)),
        "5_half.png": (plain((255, 0, 0, 128), (20, 20), "RGBA"), {}, (255, 127, 127)),
        "6_clear.webp": (clear, {"lossless": True}, (255, 255, 255)),
        "7_palette.png": (palette, {"transparency": 1}, (0, 0, 255)),
        "8_cmyk.jpg": (plain((0, 255, 255, 0), (20, 20), "CMYK"), {"quality": 95}, (255, 0, 0)),
        "9_gray_alpha.png": (plain((10, 0), (20, 20), "LA"), {}, (255, 255, 255)),
    }
    for name, (image, options, _) in expected.items():
        save(tmp_path / "a" / name, image, **options)
    images = read_one(tmp_path)
    for image, (name, (_, _, color)) in zip(images, expected.items(), strict=True):
        np.testing.assert_allclose(image.mean(axis=(0, 1)), color, atol=3, err_msg=name)


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [plain("red"), plain("blue")]
    save(tmp_path / "a/1.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    save(tmp_path / "a/2.png", frames[0], save_all=True, append_images=frames[1:])
    save(tmp_path / "a/3.jpg", frames[0], format="MPO", save_all=True, append_images=frames[1:])
    frames = [plain("red"), plain("blue")]  # to save as MPO changes images
    save(tmp_path / "a/4.gif", frames[0], save_all=True, append_images=frames[1:])
    save(tmp_path / "a/5.tiff", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read_one(tmp_path)[:, 16, 16], [[255, 0, 0]] * 5, atol=3)
    np.testing.assert_array_equal(read_one(tmp_path, lazy=True)[:], read_one(tmp_path))


@pytest.fixture
def damaged(tmp_path):
    """A folder where the 1st, 3rd, 4th, 5th, 6th and 8th of nine files are bad, and class c has no other."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1_empty.jpg").touch()
    save(tmp_path / "a/2_good.png", plain((50,) * 3))
    whole = save(tmp_path / "a/3_truncated.jpg", Image.fromarray(noise)).read_bytes()
    (tmp_path / "a/3_truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a/4_text.png").write_text("this is no image")
    (tmp_path / "a/5_bomb.png").write_bytes(png_that_claims(100_000, 100_000))
    (tmp_path / "a/6_photo.png").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(40))
    save(tmp_path / "b/7_good.jpg", plain((150,) * 3))
    (tmp_path / "c").mkdir()
    (tmp_path / "c/8_empty.webp").touch()
    (tmp_path / "d").mkdir()
    save(tmp_path / "e/9_good.png", plain((250,) * 3))
    return tmp_path


def test_what_cannot_be_read_is_skipped_and_listed(damaged):
    with pytest.warns(
        data.SkippedFiles, match=r"a/1_empty.jpg \(an empty file\).* and 3 more; .* folders c, d$"
    ) as caught:
        data.from_folder(damaged)
    assert len(caught) == 1
    reasons = {path.relative_to(damaged).as_posix(): reason for path, reason in caught[0].message.files}
    for name, reason in {
        "a/1_empty.jpg": "an empty file",
        "a/3_truncated.jpg": "truncated",
        "a/4_text.png": "this is not a JPEG, PNG, WebP, BMP",
        "a/5_bomb.png": "exceeds limit",
        "a/6_photo.png": "a HEIC photo cannot be read; save it as JPEG or PNG first",
        "c/8_empty.webp": "an empty file",
    }.items():
        assert reason in reasons.pop(name)
    assert not reasons
    assert caught[0].message.empty_classes == ("c", "d")
    assert str(damaged) not in str(caught[0].message)
    assert caught[0].filename == __file__


def test_skipped_files_change_no_other_example(damaged):
    with pytest.warns(data.SkippedFiles, match="6 of 9 files"):
        examples = data.from_folder(damaged)
    assert examples.class_names == ("a", "b", "c", "d", "e")
    assert examples.labels.tolist() == [0, 1, 4]
    assert examples.ids.tolist() == [1, 6, 8]
    np.testing.assert_allclose(examples.images.mean(axis=(1, 2, 3)), [50, 150, 250], atol=2)


def test_a_folder_that_cannot_be_read_is_listed(tmp_path, monkeypatch):
    for name in ("a/1.png", "a/closed/2.png", "b/3.png"):
        save(tmp_path / name, plain("red"))
    scandir = os.scandir

    def closed(path):  # root may read anything, so that no mode would do
        if os.path.basename(path) in ("closed", "b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.warns(data.SkippedFiles, match="2 of 3 files were not read: a/closed") as caught:
        assert data.from_folder(tmp_path).ids.tolist() == [0]
    assert caught[0].message.files == [
        (tmp_path / "a" / "closed", "Permission denied"),
        (tmp_path / "b", "Permission denied"),
    ]
    assert caught[0].message.empty_classes == ("b",)


def test_two_folders_can_be_used_together(tmp_path):
    for name in ("old/ant/1.png", "old/bee/1.png", "old/cat/1.png", "new/bee/1.png", "new/ant/1.png"):
        save(tmp_path / name, plain("red"))
    old = data.from_folder(tmp_path / "old")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a class without a folder is no class without an image
        new = data.from_folder(tmp_path / "new", class_names=["cat", *old.class_names[:2]], first_id=50)
    assert new.class_names == ("cat", "ant", "bee")
    assert new.labels.tolist() == [1, 2]
    assert new.ids.tolist() == [50, 51]
    with pytest.raises(ValueError, match="sub-folders must be among class_names 'bee'; got 'ant'"):
        data.from_folder(tmp_path / "new", class_names=["bee"])


def test_images_with_more_than_max_pixels_are_never_decoded(tmp_path, monkeypatch):
    save(tmp_path / "a/1.png", plain("red", (40, 30)))
    save(tmp_path / "a/2.png", plain("red", (41, 30)))
    (tmp_path / "a/3.png").write_bytes(png_that_claims(10_000, 10_000))
    decoded = []
    rgb = image_file._rgb
    monkeypatch.setattr(image_file, "_rgb", lambda image: decoded.append(image.size) or rgb(image))
    with pytest.warns(data.SkippedFiles, match="41 x 30 pixels are more than max_pixels=1200"):
        examples = data.from_folder(tmp_path, max_pixels=1200)
    assert examples.ids.tolist() == [0]
    with pytest.warns(data.SkippedFiles, match="10000 x 10000 pixels are more than") as caught:
        assert data.from_folder(tmp_path).ids.tolist() == [0, 1]
    assert len(caught[0].message.files) == 1
    # Of two files, threads may finish either first.
    assert sorted(decoded) == [(40, 30), (40, 30), (41, 30)]


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder that holds one sub-folder of images"):
        data.from_folder(tmp_path / "missing")
    image = save(tmp_path / "loose.png", plain("red"))
    with pytest.raises(ValueError, match=r"got the file .*loose\.png"):
        data.from_folder(image)
    with pytest.raises(ValueError, match="has no sub-folders"):
        data.from_folder(tmp_path)
    image.unlink()
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"must hold JPEG, PNG, WebP, BMP, .* images .*, found none"):
        data.from_folder(tmp_path)
    (tmp_path / "a/1.png").write_text("no image")
    with pytest.raises(ValueError, match=r"holds no image that can be read: a/1\.png \(this is not a JPEG"):
        data.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 32}, r"image_size must be \(height, width\), got 32"),
        ({"image_size": (32, 32, 3)}, r"image_size must be \(height, width\)"),
        ({"image_size": (0, 32)}, "height of image_size must be an integer of at least 1, got 0"),
        ({"image_size": (32, 1.5)}, "width of image_size must be an integer"),
        ({"max_pixels": 0}, "max_pixels must be an integer of at least 1"),
        ({"workers": 0}, "workers must be an integer of at least 1"),
        ({"first_id": -1}, "first_id must be an integer of at least 0, got -1"),
        ({"class_names": "a"}, "class_names must be a sequence of strings, got 'a'"),
    ],
)
def test_options_of_a_folder_are_checked(tmp_path, options, message):
    save(tmp_path / "a/1.png", plain("red"))
    with pytest.raises(ValueError, match=message):
        data.from_folder(tmp_path, **options)


def test_an_interrupt_cancels_what_is_left(tmp_path, monkeypatch):
    for number in range(60):
        save(tmp_path / f"a/{number:02}.png", plain("red", (4, 4)))
    started = []

    def slow(*_):
        started.append(1)
        time.sleep(0.05)
        return np.zeros((32, 32, 3), np.uint8)

    def interrupted(rows, **_):
        next(iter(rows))
        raise KeyboardInterrupt

    monkeypatch.setattr(folder_module, "decoded", slow)
    monkeypatch.setattr(folder_module, "progress_bar", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.from_folder(tmp_path, workers=2)
    assert len(started) < 60


# Digits


def test_digits_have_the_shape_of_cifar10():
    from sklearn.datasets import load_digits

    digits = data.load("digits", split="all")
    assert repr(digits) == "Examples(1797 images 32x32x3 uint8, 10 classes)"
    assert digits.class_names == tuple("0123456789")
    bundled = load_digits()
    np.testing.assert_array_equal(digits.labels, bundled.target)
    np.testing.assert_array_equal(digits.ids, np.arange(1797))
    assert digits.images.min() == 0
    assert digits.images.max() == 255
    np.testing.assert_array_equal(digits.images[..., 0], digits.images[..., 2])
    small = digits.images[..., 1].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    assert np.corrcoef(small.ravel(), bundled.images.ravel())[0, 1] > 0.97
    np.testing.assert_allclose(small.mean() / bundled.images.mean(), 255 / 16, rtol=0.02)


def test_train_and_test_digits_share_no_id_and_hold_80_and_20_percent_of_each_class():
    train, test, everything = (data.load("digits", split=split) for split in ("train", "test", "all"))
    assert sorted([*train.ids, *test.ids]) == list(range(1797))
    share = np.bincount(train.labels) / np.bincount(everything.labels)
    np.testing.assert_allclose(share, 0.8, atol=0.005)
    np.testing.assert_array_equal(everything[train.ids].images, train.images)
    assert data.load("digits").ids.tolist() == train.ids.tolist()


def test_digits_can_be_resized_and_refuse_other_splits():
    assert data.load("digits", split="test", image_size=(8, 12)).images.shape[1:] == (8, 12, 3)
    with pytest.raises(
        ValueError, match=r"split of digits must be one of train, test, all; got 'train\[:10%\]'"
    ):
        data.load("digits", split="train[:10%]")
    with pytest.raises(ValueError, match="split of digits must be one of"):
        data.load("digits", split=["train"])


@pytest.mark.parametrize("name", ["", 3, ["digits"]])
def test_a_name_must_be_a_string(name):
    with pytest.raises(ValueError, match="name must be a string such as 'cifar10' or 'digits'"):
        data.load(name)


# TFDS


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No site answers, and nothing is prepared; the value is the list of the sites that were asked."""
    asked = []
    monkeypatch.setattr(tfds, "_answers", lambda url, timeout: bool(asked.append(url)))
    monkeypatch.setattr(loading, "_chosen", {})
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "empty"))
    return asked


class Site:
    """Replaces download_and_prepare: nothing is ever downloaded by these tests."""

    def __init__(self, monkeypatch, error):
        self.error = error
        import tensorflow_datasets

        self.downloads = 0
        monkeypatch.setattr(tfds, "_answers", lambda url, timeout: True)
        monkeypatch.setattr(
            tensorflow_datasets.core.DatasetBuilder, "download_and_prepare", lambda builder: self.download()
        )

    def download(self):
        self.downloads += 1
        if self.error:
            raise self.error


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with small data sets of TFDS, prepared without a network."""
    import tensorflow_datasets
    from tensorflow_datasets import features

    folder = tmp_path_factory.mktemp("tfds")
    rng = np.random.default_rng(0)
    label = features.ClassLabel(names=["ant", "bee", "cat"])

    def store(name, columns, size):
        def row(number):
            image = rng.integers(0, 255, size(number), dtype=np.uint8)
            values = {"image": image, "label": number % 3, "text": "some text"}
            return number, {key: values[key] for key in columns}

        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=features.FeaturesDict(columns),
            split_datasets={"train": [row(n) for n in range(25)], "test": [row(n) for n in range(1, 11)]},
            data_dir=folder,
            disable_shuffling=True,
        )

    gray = {"image": features.Image(shape=(6, 7, 1)), "label": label, "text": features.Text()}
    mixed = {"image": features.Image(shape=(None, None, 3)), "label": label}
    with tfds._quiet_absl(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TFDS does while it writes is not tested here
        store("gray_shapes", gray, lambda number: (6, 7, 1))
        store("mixed_shapes", mixed, lambda number: (6 + number % 2, 7, 3))
        store("no_label", {"image": gray["image"], "text": gray["text"]}, lambda number: (6, 7, 1))
        store("plain_number", gray | {"label": features.Scalar(np.int64)}, lambda number: (6, 7, 1))
    return folder


def read_by_tfds(folder, name, split):
    import tensorflow_datasets

    config = tensorflow_datasets.ReadConfig(interleave_cycle_length=1)
    examples = tensorflow_datasets.load(name, split=split, data_dir=folder, read_config=config)
    return list(tensorflow_datasets.as_numpy(examples))


ENDS = {"train": range(25), "test": range(25, 35)}


@pytest.mark.parametrize("batch_bytes", [1, 300, tfds.BATCH_BYTES])
@pytest.mark.parametrize(
    ("split", "ids"),
    [
        ("train", [*ENDS["train"]]),
        ("test", [*ENDS["test"]]),
        ("all", [*ENDS["train"], *ENDS["test"]]),
        ("test+train", [*ENDS["test"], *ENDS["train"]]),
        ("train[3:7]+test[-2:]", [3, 4, 5, 6, 33, 34]),
        ("train[10:12]+train[:2]", [10, 11, 0, 1]),
        ("test[:50%]", [25, 26, 27, 28, 29]),
    ],
)
def test_a_split_of_tfds_is_read_in_order_and_ids_are_positions_in_all_splits(
    prepared, monkeypatch, split, ids, batch_bytes
):
    monkeypatch.setattr(tfds, "BATCH_BYTES", batch_bytes)
    examples = data.load("gray_shapes", split=split, data_dir=prepared)
    expected = read_by_tfds(prepared, "gray_shapes", split)
    assert examples.ids.tolist() == ids
    assert examples.class_names == ("ant", "bee", "cat")
    assert examples.images.dtype == np.uint8
    np.testing.assert_array_equal(examples.images, [example["image"] for example in expected])
    np.testing.assert_array_equal(examples.labels, [example["label"] for example in expected])


def test_the_default_split_is_train(prepared):
    assert len(data.load("gray_shapes", data_dir=str(prepared))) == 25


def test_the_environment_names_the_folder_even_when_set_late(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(data.load("gray_shapes")) == 25


def test_images_of_different_sizes_are_resized_when_asked(prepared):
    with pytest.raises(ValueError, match=r"have different sizes; pass image_size=\(height, width\)"):
        data.load("mixed_shapes", data_dir=prepared)
    examples = data.load("mixed_shapes", data_dir=prepared, image_size=(6, 7))
    assert repr(examples) == "Examples(25 images 6x7x3 uint8, 3 classes)"
    expected = read_by_tfds(prepared, "mixed_shapes", "train")
    np.testing.assert_array_equal(examples.images[0], expected[0]["image"])  # it had this size
    smaller = data.load("mixed_shapes", data_dir=prepared, image_size=(3, 2)).images
    assert smaller.shape == (25, 3, 2, 3)
    means = [example["image"].mean() for example in expected]
    assert np.corrcoef(smaller.mean(axis=(1, 2, 3)), means)[0, 1] > 0.9


def test_a_resized_edge_is_rounded_and_stays_within_range(tmp_path):
    import tensorflow
    import tensorflow_datasets
    from tensorflow_datasets import features

    ramp = np.zeros((12, 12, 3), np.uint8)
    ramp[:, 6:] = 255
    with tfds._quiet_absl(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name="edge",
            version="1.0.0",
            features=features.FeaturesDict(
                {"image": features.Image(shape=(12, 12, 3)), "label": features.ClassLabel(num_classes=2)}
            ),
            split_datasets={"train": [(0, {"image": ramp, "label": 1})]},
            data_dir=tmp_path,
        )
    examples = data.load("edge", data_dir=tmp_path, image_size=(30, 24))
    overshoot = tensorflow.image.resize(ramp, (30, 24), method="bicubic", antialias=True).numpy()
    assert overshoot.min() < 0
    assert overshoot.max() > 255
    np.testing.assert_array_equal(examples.images[0], np.rint(overshoot).clip(0, 255).astype(np.uint8))
    assert examples.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train[:0]", r"split 'train\[:0\]' of 'gray_shapes' holds no examples"),
        ("train+train[:1]", "holds some examples more than once; let its parts not overlap"),
        ("trian", r"Unknown split 'trian'. Should be one of \['train', 'test'\]"),
        ("train[:99]", "incompatible with 25 examples"),
        (None, "Unknown split 'None'"),
    ],
)
def test_a_split_that_is_none_is_refused(prepared, split, message):
    with pytest.raises(ValueError, match=message):
        data.load("gray_shapes", split=split, data_dir=prepared)


def test_a_data_set_without_one_image_and_one_label_is_refused(prepared):
    with pytest.raises(
        ValueError, match=r"must have the features image .*it has image \(Image\), text \(Text\)"
    ):
        data.load("no_label", data_dir=prepared)
    with pytest.raises(ValueError, match=r"label \(Scalar\)"):
        data.load("plain_number", data_dir=prepared)


def test_image_size_is_checked_before_anything_is_loaded(offline):
    with pytest.raises(ValueError, match=r"image_size must be \(height, width\), got 32"):
        data.load("cifar10", image_size=32)
    assert offline == []


def test_loading_what_is_prepared_prints_nothing(prepared):
    code = "from simnb import data; data.load('gray_shapes', progress=True)"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code],
        env=os.environ | {"TFDS_DATA_DIR": str(prepared)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == ""
    assert result.stderr == ""


def test_cifar10_is_read_as_it_is_prepared(monkeypatch):
    import tensorflow_datasets

    folder = os.environ.get("TFDS_DATA_DIR")
    with tfds._quiet_absl():
        if not tensorflow_datasets.builder("cifar10", data_dir=folder).is_prepared():
            pytest.skip("cifar10 is not prepared")  # why: no test downloads anything
    monkeypatch.setattr(loading, "_chosen", {})
    examples = data.load(split="test[:200]")
    assert data.default_name() == "cifar10"
    assert repr(examples) == "Examples(200 images 32x32x3 uint8, 10 classes)"
    assert examples.class_names[:3] == ("airplane", "automobile", "bird")
    assert examples.ids.tolist() == list(range(50_000, 50_200))
    expected = read_by_tfds(folder, "cifar10", "test[:200]")
    np.testing.assert_array_equal(examples.images, [example["image"] for example in expected])
    np.testing.assert_array_equal(examples.labels, [example["label"] for example in expected])
    assert data.load("cifar10", split="train[100:103]").ids.tolist() == [100, 101, 102]


# Without a network


def test_a_data_set_that_cannot_be_had_says_what_to_do(offline):
    with pytest.raises(
        ConnectionError, match=r"(?s)'cifar10' is not prepared.*python -m simnb.data cifar10.*digits"
    ):
        data.load("cifar10")
    assert len(offline) == 1
    assert offline[0].startswith("https://")


@pytest.mark.parametrize("name", ["cifra10", "cifra10/plain", "digit"])
def test_a_misspelled_name_gets_close_ones(offline, name):
    close = "digits" if name == "digit" else "cifar10"
    with pytest.raises(ValueError, match=f"got '{name}'; did you mean .*'{close}'"):
        data.load(name)
    with pytest.raises(ValueError, match=r"see tfds\.list_builders"):
        data.load("qqqqqqqq")
    assert offline == []


def test_load_falls_back_to_digits_once_and_stays_with_them(offline, capsys, caplog, tmp_path):
    train = data.load()
    line = "Data set: digits (bundled with scikit-learn), because " + HOLES + " and its site did not answer\n"
    assert capsys.readouterr() == (line, "")
    test = data.load(split="test", image_size=(16, 16), progress=False)
    assert data.default_name() == "digits"
    assert capsys.readouterr() == ("", "")
    assert (len(train), len(test)) == (1438, 359)
    assert test.images.shape[1:] == (16, 16, 3)
    assert len(offline) == 1
    data.default_name(tmp_path / "another")
    assert len(offline) == 2
    assert caplog.records == []


def test_load_takes_cifar10_where_it_is_prepared(offline, capsys, monkeypatch):
    loaded = []
    monkeypatch.setattr(tfds, "prepare", lambda name, data_dir, progress: loaded.append((name, data_dir)))
    monkeypatch.setattr(tfds, "load_tfds", lambda name, split, **options: (name, split, options))
    options = {"data_dir": "folder", "image_size": (8, 9), "lazy": True, "progress": False}
    assert data.load(split="test", **options) == ("cifar10", "test", options)
    assert data.load(**options) == ("cifar10", "train", options)
    assert capsys.readouterr() == ("Data set: cifar10 (from TFDS)\n", "")
    assert loaded == [("cifar10", "folder")]


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("wrong checksum")])
def test_a_download_that_fails_falls_back_only_where_no_name_was_given(offline, capsys, monkeypatch, error):
    site = Site(monkeypatch, error)
    assert data.default_name() == "digits"
    line = f"because cifar10 could not be prepared ({type(error).__name__})\n"
    assert capsys.readouterr().out.endswith(line)
    with pytest.raises(type(error), match=str(error)):
        data.load("cifar10")
    assert site.downloads == 2


def test_a_download_that_leaves_nothing_is_an_error(offline, monkeypatch):
    Site(monkeypatch, None)
    with pytest.raises(OSError, match="holds an unfinished copy of 'cifar10'; delete it and try again"):
        data.load("cifar10")


@pytest.mark.parametrize("progress", [True, False])
def test_progress_reaches_the_bars_of_tfds(offline, monkeypatch, progress):
    from tensorflow_datasets.core.utils import tqdm_utils

    site = Site(monkeypatch, None)
    seen = []
    monkeypatch.setattr(site, "download", lambda: seen.append(tqdm_utils._active))
    with pytest.raises(OSError, match="unfinished copy"):
        data.load("cifar10", progress=progress)
    assert seen == [progress]
    assert tqdm_utils._active


def test_a_folder_that_cannot_be_written_to_is_named_before_any_site_is_asked(
    offline, tmp_path, capsys, monkeypatch
):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(
        NotADirectoryError, match=f"cannot be stored in {file}/data: {file} is a file; pass data_dir"
    ):
        data.load("cifar10", data_dir=file / "data")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"cannot be stored in .*empty: it is not writable"):
        data.load("cifar10")
    data.load()
    line = f"because {HOLES} and the TFDS folder cannot be written to\n"
    assert capsys.readouterr().out.endswith(line)
    assert offline == []


def test_a_site_that_hangs_is_given_up_within_ten_seconds(monkeypatch, tmp_path, capsys):
    over, answered = threading.Event(), []

    def hang(*_, **__):
        over.wait(120)
        answered.append(True)
        raise OSError("nothing was found")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(loading, "_chosen", {})
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    assert tfds.PROBE_SECONDS <= 6  # the rest of the ten is for the imports
    monkeypatch.setattr(tfds, "PROBE_SECONDS", 1.0)
    assert data.default_name(tmp_path) == "digits"
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setattr(tfds.urllib.request, "urlopen", hang)
    assert not tfds._answers("https://example.org", 0.1)
    assert answered == []  # nobody waited for it
    over.set()


@pytest.mark.parametrize(
    ("outcome", "answers"),
    [
        (io.BytesIO(), True),
        (urllib.error.HTTPError("", 403, "Forbidden", {}, io.BytesIO()), True),
        (urllib.error.URLError("no route"), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_any_http_status_is_an_answer_and_no_connection_is_none(monkeypatch, outcome, answers):
    requests = []

    def urlopen(request, timeout):
        requests.append((request.get_method(), request.full_url, timeout))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(tfds.urllib.request, "urlopen", urlopen)
    assert tfds._answers("https://example.org/x", 3.0) is answers
    assert requests == [("HEAD", "https://example.org/x", 3.0)]


def test_a_builder_that_names_no_site_is_left_to_tfds(offline):
    class Builder:
        url_infos = None

    tfds._check_reachable(Builder, "x")
    Builder.url_infos = {"ftp://example.org": None}
    tfds._check_reachable(Builder, "x")
    assert offline == []


# The command


def test_the_command_prepares_each_data_set_and_says_so(prepared, capsys):
    assert command.main(["gray_shapes", "digits", "--data-dir", str(prepared)]) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines() == [
        f"gray_shapes: prepared in {prepared / 'gray_shapes' / '1.0.0'}",
        "digits: bundled with scikit-learn, nothing to prepare",
    ]
    assert errors == ""


def test_the_command_fails_with_one_line_and_prepares_cifar10_by_default(offline, capsys):
    assert command.main([]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("cifar10: not prepared: ")
    assert errors.count("\n") == 1
    assert command.main(["cifra10", "digits"]) == 1
    output, errors = capsys.readouterr()
    assert output.startswith("digits: ")
    assert errors.count("\n") == 1


def test_the_command_runs_as_a_module_and_the_import_loads_nothing_heavy():
    code = (
        "import sys, simnb.data; "
        "print(sys.modules.keys() & {'tensorflow', 'keras', 'sklearn', 'tensorflow_datasets'})"
    )
    for arguments, output in (
        (["-c", code], "set()\n"),
        (["-m", "simnb.data", "digits"], "digits: bundled with"),
    ):
        result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
        assert result.stdout.startswith(output)
