"""Tables of image files: which are read, what labels become, and what is said of the rest."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simnb import data
from simnb.index import UNKNOWN

NAMES = ("a/0.png", "b/1.jpg", "2.png", "a/3.webp")


@pytest.fixture
def photos(tmp_path):
    """Four files of several sizes, each of a grey of its own."""
    for number, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (30 + number, 20), (40 * number,) * 3).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")  # why: simnb does not need it; pymilvus brings it


def greys(examples):
    return np.asarray(examples.images)[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", [list, np.array, lambda values: map(Path, values)])
def test_a_table_becomes_examples_in_its_order(photos, kind, lazy):
    paths = ["2.png", "a/0.png", str(photos / "b/1.jpg"), "2.png"]
    labels = ["dog", "cat", "dog", "cow"]
    examples = data.from_table(kind(paths), labels, root=photos, image_size=(6, 5), lazy=lazy, workers=2)
    assert repr(examples) == "Examples(4 images 6x5x3 uint8, 3 classes)"
    np.testing.assert_allclose(greys(examples), [80, 0, 40, 80], atol=2)
    assert examples.class_names == ("cat", "cow", "dog")
    assert examples.labels.tolist() == [2, 0, 2, 1]
    assert examples.ids.tolist() == [0, 1, 2, 3]
    assert isinstance(examples.images, data.LazyImages) == lazy


def test_relative_paths_begin_in_the_current_folder_by_default(photos, monkeypatch):
    monkeypatch.chdir(photos / "a")
    assert greys(data.from_table(["3.webp", "../2.png"], [0, 1], progress=False)) == [120, 80]


def test_a_file_of_csv_and_a_table_of_pandas_are_read_alike(photos, pandas):
    table = pandas.DataFrame({"file": NAMES, "kind": ["x", None, "y", "x"], "row": [5, 6, 7, 8]}).iloc[::-1]
    table.to_csv(photos / "table.csv", index=False)
    with open(photos / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    by_csv = data.from_table([row["file"] for row in rows], [row["kind"] for row in rows], root=photos)
    by_pandas = data.from_table(table["file"], table["kind"], ids=table["row"], root=photos)
    for examples in (by_csv, by_pandas):
        assert greys(examples) == [120, 80, 40, 0]
        assert (examples.labels.tolist(), examples.class_names) == ([0, 1, UNKNOWN, 0], ("x", "y"))
        assert repr(examples) == "Examples(4 images 32x32x3 uint8, 2 classes, 1 without a label)"
    assert by_pandas.ids.tolist() == [8, 7, 6, 5]


@pytest.mark.parametrize(
    ("labels", "found", "class_names"),
    [
        (None, [UNKNOWN] * 4, ()),
        ([None] * 4, [UNKNOWN] * 4, ()),
        ([2, 0, UNKNOWN, 0], [2, 0, UNKNOWN, 0], ("0", "1", "2")),
        (np.array([2.0, 0, np.nan, -1]), [2, 0, UNKNOWN, UNKNOWN], ("0", "1", "2")),
        ([np.float32(2), np.float32("nan"), np.float16(0), -1.0], [2, UNKNOWN, 0, UNKNOWN], ("0", "1", "2")),
        (np.ma.array([2, 1, 0, 0], mask=[0, 1, 0, 0]), [2, UNKNOWN, 0, 0], ("0", "1", "2")),
        (np.ma.array(["b", "c", "a", "a"], mask=[0, 1, 0, 0]), [1, UNKNOWN, 0, 0], ("a", "b")),
        (["-1", "1", "", "1"], [0, 1, UNKNOWN, 1], ("-1", "1")),
        (np.array([[1], [0], [1], [0]]), [1, 0, 1, 0], ("0", "1")),
    ],
)
def test_a_row_without_a_label_is_an_image_without_a_label(photos, labels, found, class_names):
    examples = data.from_table(NAMES, labels, root=photos)
    assert (examples.labels.tolist(), examples.class_names) == (found, class_names)


@pytest.mark.parametrize(
    ("values", "dtype", "found", "class_names"),
    [
        ([2, None, 0, 0], None, [2, UNKNOWN, 0, 0], ("0", "1", "2")),
        ([2, None, 0, 0], "Int64", [2, UNKNOWN, 0, 0], ("0", "1", "2")),
        (["b", None, "a", ""], "string", [1, UNKNOWN, 0, UNKNOWN], ("a", "b")),
        (["b", np.nan, "a", "b"], "category", [1, UNKNOWN, 0, 1], ("a", "b")),
    ],
)
def test_columns_of_pandas_are_read_like_lists(photos, pandas, values, dtype, found, class_names):
    labels = pandas.Series(values, dtype=dtype)
    examples = data.from_table(pandas.Series(NAMES), labels, root=photos)
    assert (examples.labels.tolist(), examples.class_names) == (found, class_names)
    with pytest.raises(ValueError, match=r"a column of them, got DataFrame$"):
        data.from_table(pandas.DataFrame({"file": NAMES}), root=photos)


def test_class_names_number_the_classes(photos):
    examples = data.from_table(NAMES, ["b", "a", None, "b"], root=photos, class_names=["c", "b", "a"])
    assert (examples.labels.tolist(), examples.class_names) == ([1, 2, UNKNOWN, 1], ("c", "b", "a"))


def test_files_that_cannot_be_read_are_skipped_and_change_no_other_example(photos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "x.heic"
    elsewhere.write_bytes(b"photo")
    (photos / "broken.png").write_text("no image")
    (photos / "empty.jpg").touch()
    paths = ["broken.png", "a/0.png", elsewhere, "empty.jpg", "2.png"]
    with pytest.warns(data.SkippedFiles, match=r"^3 of 5 files were not read: .*x\.heic") as caught:
        examples = data.from_table(paths, ["bee", "ant", "cat", "dog", "dog"], root=photos, ids=range(10, 15))
    (warning,) = caught
    assert (examples.ids.tolist(), examples.labels.tolist()) == ([11, 14], [0, 3])
    assert greys(examples) == [0, 80]
    assert examples.class_names == ("ant", "bee", "cat", "dog")
    assert str(warning.message).endswith("; no image of the classes bee, cat")
    assert f"{elsewhere.as_posix()} (a HEIC photo cannot be read" in str(warning.message)
    assert {path: why.split(" ")[:2] for path, why in warning.message.files} == {
        elsewhere: ["a", "HEIC"],
        photos / "broken.png": ["this", "is"],
        photos / "empty.jpg": ["an", "empty"],
    }
    assert warning.filename == __file__
    with pytest.raises(ValueError, match=r"the table holds no image that can be read: broken\.png \(this is"):
        data.from_table(["broken.png"], ["ant"], root=photos)


def test_files_that_do_not_exist_are_counted_and_the_first_named(photos, monkeypatch):
    def read(*_):
        raise AssertionError("an image was read")

    monkeypatch.setattr("simnb.data.reading.decoded", read)
    message = r"^2 of the 4 paths name no file, first 'no/1\.png' in row 1; relative paths begin in '{}'"
    with pytest.raises(FileNotFoundError, match=message.format(photos)):
        data.from_table(["2.png", "no/1.png", "a/0.png", "a"], [0, 1, 0, 1], root=photos)
    monkeypatch.chdir(photos / "b")
    with pytest.raises(FileNotFoundError, match=f"1 of the 1 paths .* begin in '{photos / 'b'}': root=... "):
        data.from_table(["2.png"])


@pytest.mark.parametrize(
    ("paths", "labels", "options", "message"),
    [
        ("a", None, {}, "paths must be a list of paths .*, got 'a'; a whole folder is read by from_folder"),
        (7, None, {}, "paths must be a list of paths or a column of them, got int$"),
        (np.array([NAMES]), None, {}, "a column of them, got ndarray$"),
        ([], [], {}, "paths must hold at least one example, got none"),
        (["2.png", float("nan")], None, {}, "paths must name a file in every row, got nan in row 1"),
        (["2.png", ""], None, {}, "must name a file in every row, got '' in row 1"),
        (NAMES, [0, 1], {}, "labels and paths must have the same length, got 2 and 4"),
        (NAMES, "abcd", {}, r"labels must have shape \[num_examples\], got \(\)"),
        (NAMES, np.eye(4), {}, r"got \(4, 4\); one-hot labels become integers with argmax"),
        (NAMES, [0.5, 1, 2, 3], {}, "labels must be integers or strings, got float, int"),
        (NAMES, [0, 1, 2, "cat"], {}, "got int, str; pass labels of one kind"),
        (NAMES, [0, 1, -2, 0], {}, "labels must be 0 or above, or -1 for none, got -2"),
        (NAMES, [0, 1, 2**63, 0], {}, "labels must fit int64, got 9223372036854775808"),
        (NAMES, [0, 1, 2, 3], {"class_names": "ab"}, "class_names must be a sequence of strings, got 'ab'"),
        (NAMES, [0, 1, 2, 3], {"class_names": ["a", "b"]}, "labels must be from 0 to 1 .*, got 2 in row 2"),
        (NAMES, None, {"ids": [1, 2, 3]}, "ids and images must have the same length, got 3 and 4"),
        (NAMES, None, {"ids": [1, 2, 3, 1]}, "ids must be unique, got id 1 more than once"),
        (NAMES, None, {"image_size": 5}, r"image_size must be \(height, width\), got 5"),
        (NAMES, None, {"workers": 0}, "workers must be an integer of at least 1, got 0"),
        (NAMES, None, {"max_pixels": 0}, "max_pixels must be an integer of at least 1, got 0"),
    ],
)
def test_a_table_that_is_none_is_refused_before_an_image_is_read(
    photos, monkeypatch, paths, labels, options, message
):
    def read(*_):
        raise AssertionError("an image was read")

    monkeypatch.setattr("simnb.data.reading.decoded", read)
    with pytest.raises(ValueError, match=message):
        data.from_table(paths, labels, root=photos, **options)
