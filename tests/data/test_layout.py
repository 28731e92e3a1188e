"""Which sub-folders of a folder of images are classes; and that no image vanishes silently."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from simnb import data
from simnb.data.image_file import SUFFIXES, is_image
from simnb.index import UNKNOWN


def fill(root, *names):
    """Images, each of a grey of its own, or files of text."""
    for number, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() in SUFFIXES:
            Image.new("L", (4, 4), number).save(file)
        else:
            file.write_text("x")
    return root


def read(root, **options):
    """Examples, and the paths that were left out with the reasons, by name from the root."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        examples = data.from_folder(root, progress=False, image_size=(4, 4), **options)
    told = [one.message for one in caught if isinstance(one.message, data.SkippedFiles)]
    files = [entry for warning in told for entry in warning.files]
    return examples, {path.relative_to(root).as_posix(): reason for path, reason in files}


PARTS = [f"{part}/{name}.png" for part in ("train", "val") for name in ("cat/1", "cat/2", "dog/1")]


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (PARTS, ("", "train")),
        (["Test/cat/1.png", "Training/cat/1.png"], ("", "Training")),
        (["train/cat/1.png", "train/dog/1.png"], ("", "train")),
        (["train/cat/1.png", "test/1.png"], ("", "train")),
        (["train/cat/1.png", "notes/cat/1.txt"], ("", "train")),
        (
            ["one/cat/1.png", "one/dog/1.png", "two/dog/1.png", "two/cat/1.png", "two/eel/1.png"],
            ("", "one"),
        ),
        (["images/cat/1.png", "images/dog/1.png"], ("images", None)),
        (["a/images/cat/1.png", "a/images/dog/1.png"], ("a/images", None)),
        (["images/train/cat/1.png", "images/val/cat/1.png"], ("images", "train")),
    ],
)
def test_a_folder_above_the_class_folders_is_refused_and_the_right_one_named(tmp_path, names, meant):
    with pytest.raises(ValueError, match=r"holds only folders, such as .*: the classes seem to lie") as error:
        data.from_folder(fill(tmp_path, *names))
    folder, split = tmp_path / meant[0], meant[1]
    hint = f"Read {str(folder)!r} instead;"
    if split is not None:
        call = f"data.from_folder({str(folder)!r}, split={split!r})"
        hint = f"Read {str(folder / split)!r} instead, or call {call};"
    assert hint in str(error.value)
    assert len(data.from_folder(folder, split=split)) > 0
    with pytest.raises(ValueError, match="the classes seem to lie below"):
        data.list_images(tmp_path)


def test_images_are_listed_without_being_opened(tmp_path):
    root = fill(tmp_path, *PARTS, "train/dog/2.svg")
    (root / "train/eel").mkdir()
    (root / "train/cat/1.png").write_text("this is no image")
    found = data.list_images(root, split="val")
    assert repr(found) == "ImageFiles(3 files, 2 class folders, 0 skipped)"
    assert (found.class_names, found.folders, found.first_id) == (("cat", "dog", "eel"), ("cat", "dog"), 3)
    assert found.files == tuple(root / f"val/{name}.png" for name in ("cat/1", "cat/2", "dog/1"))
    found = data.list_images(str(root / "train"), class_names=["fox", "eel", "dog", "cat"])
    assert found.labels.tolist() == [3, 3, 2]
    assert found.folders == ("cat", "dog", "eel")
    assert [(path.name, reason) for path, reason in found.skipped] == [
        ("2.svg", "a drawing cannot be read; save it as JPEG or PNG first")
    ]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["cat/2019/1.png", "dog/2019/1.png"], ("cat", "dog")),
        (
            ["cat/2019/1.png", "cat/2020/1.png", "dog/2019/1.png", "dog/1.png", "dog/2020/1.png"],
            ("cat", "dog"),
        ),
        (["cat/2019/1.png", "cat/2020/1.png", "dog/2021/1.png", "dog/2020/1.png"], ("cat", "dog")),
        (["cat/train/1.png", "cat/test/1.png", "dog/train/1.png", "dog/test/1.png"], ("cat", "dog")),
        (["cat/train/1.png", "cat/test/1.png"], ("cat",)),
        (["cat/a/b/1.png"], ("cat",)),
        (["train/1.png", "test/1.png"], ("test", "train")),
        (["train/1.png", "bus/1.png", "bus/red/1.png"], ("bus", "train")),
    ],
)
def test_images_may_lie_at_any_depth_below_their_class(tmp_path, names, classes):
    examples, left_out = read(fill(tmp_path, *names))
    assert examples.class_names == classes
    assert len(examples) == len(names)
    assert not left_out


def test_class_names_say_that_the_folders_are_classes(tmp_path):
    examples, _ = read(fill(tmp_path, *PARTS), class_names=["train", "val"])
    assert examples.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_parts_share_class_names_and_no_id(tmp_path):
    names = ["train/cat/1.png", "train/dog/1.png", "train/dog/2.png", "val/dog/1.png", "val/eel/1.png"]
    fill(tmp_path, *names, "notes/fox/1.txt", "test/bee/broken.txt")
    train, _ = read(tmp_path, split="train")
    val, _ = read(tmp_path, split="val", lazy=True)
    assert train.class_names == val.class_names == ("cat", "dog", "eel")
    assert train.labels.tolist() == [0, 1, 1]
    assert val.labels.tolist() == [1, 2]
    assert train.ids.tolist() + val.ids.tolist() == [0, 1, 2, 3, 4]
    assert train.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert np.asarray(val.images)[:, 0, 0, 0].tolist() == [3, 4]
    assert read(tmp_path, split="val", first_id=10)[0].ids.tolist() == [13, 14]
    named, _ = read(tmp_path, split="val", class_names=["eel", "dog", "cat"])
    assert named.labels.tolist() == [1, 0]


def test_a_part_that_is_none_is_refused(tmp_path):
    fill(tmp_path, *PARTS)
    with pytest.raises(ValueError, match="split must be one of train, val; got 'test'"):
        data.from_folder(tmp_path, split="test")
    with pytest.raises(ValueError, match="split must be one of train, val; got 1"):
        data.from_folder(tmp_path, split=1)
    with pytest.raises(ValueError, match=r"must be among class_names 'cat'; got 'dog'"):
        data.from_folder(tmp_path, split="val", class_names=["cat"])
    with pytest.raises(ValueError, match=r"split must name a sub-folder .* leave split out"):
        data.from_folder(tmp_path / "train", split="cat")
    fill(tmp_path / "deep", "train/images/cat/1.png", "train/images/dog/1.png")
    with pytest.raises(ValueError, match=r"'images' in it holds only folders, such as 'cat', 'dog'"):
        data.from_folder(tmp_path / "deep", split="train")


# Images without labels


@pytest.mark.parametrize("beside", [[], ["notes/read.txt"], ["scan.psd"]])
def test_images_of_a_folder_without_class_folders_have_no_label(tmp_path, beside):
    examples, left_out = read(fill(tmp_path, "b.png", "a.jpg", "read.me", *beside))
    assert repr(examples) == "Examples(2 images 4x4x3 uint8, all without a label)"
    assert (examples.labels.tolist(), examples.class_names) == ([UNKNOWN] * 2, ())
    assert examples.ids.tolist() == [0, 1]
    np.testing.assert_allclose(examples.images[:, 0, 0, 0], [1, 0], atol=1)
    assert list(left_out) == [name for name in beside if name.endswith("psd")]


def test_it_is_said_that_sub_folders_without_an_image_give_no_labels(tmp_path):
    fill(tmp_path, "b.png", "notes/read.txt")
    with pytest.warns(match=r"^no sub-folder of .* holds an image, so that .* none has a label") as caught:
        data.from_folder(tmp_path)
    assert caught[0].filename == __file__
    assert len(data.from_folder(tmp_path, labelled=False)) == 1  # and no warning


def test_images_of_a_kind_that_is_not_read_lie_in_class_folders_too(tmp_path):
    fill(tmp_path, "cover.jpg", "cat/1.heic", "dog/new/1.heic")
    with pytest.raises(ValueError, match=r"read: cat/1\.heic .*, cover\.jpg \(it is in no class"):
        data.from_folder(tmp_path)


def test_a_link_that_leads_in_a_circle_is_no_image_of_the_folder(tmp_path):
    (tmp_path / "again").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"or images without a label, but .* holds neither"):
        data.from_folder(tmp_path)


def test_one_class_folder_with_an_image_makes_the_other_images_strays(tmp_path):
    examples, left_out = read(fill(tmp_path, "b.png", "cat/1.png"))
    assert (examples.labels.tolist(), examples.class_names) == ([0], ("cat",))
    assert left_out == {"b.png": "it is in no class folder"}


def test_sub_folders_that_are_no_classes_are_read_at_any_depth(tmp_path):
    names = ["2020/1.png", "2021/rome/2.png", "3.png", "2021/4.svg", ".trash/5.png", "train/6.png", "7.txt"]
    root = fill(tmp_path / "photos", *names)
    (root / "2022").symlink_to(root / "2021")
    examples, left_out = read(root, labelled=False, first_id=7)
    assert repr(examples) == "Examples(4 images 4x4x3 uint8, all without a label)"
    assert examples.images[:, 0, 0, 0].tolist() == [0, 1, 2, 5]
    assert examples.ids.tolist() == [7, 8, 9, 10]
    assert left_out == {
        "2021/4.svg": "a drawing cannot be read; save it as JPEG or PNG first",
        "2022": "a link to a folder is not followed here",
    }
    found = data.list_images(root, labelled=False)
    assert repr(found) == "ImageFiles(4 files, 0 class folders, 2 skipped)"
    assert found.files[0] == root / "2020/1.png"


def test_images_without_labels_keep_the_class_names_they_are_given(tmp_path):
    examples, _ = read(fill(tmp_path, "1.png"), class_names=["cat", "dog"])
    assert (examples.labels.tolist(), examples.class_names) == ([UNKNOWN], ("cat", "dog"))


def test_a_folder_without_labels_that_is_none_is_refused(tmp_path):
    fill(tmp_path, "test/1.png", "notes/2.txt")
    with pytest.raises(ValueError, match=r"labelled=False says that there are none: read '.*test' instead"):
        data.from_folder(tmp_path, split="test", labelled=False)
    with pytest.raises(ValueError, match=r"must hold JPEG, .* images, found none"):
        data.from_folder(tmp_path / "notes", labelled=False)
    with pytest.raises(FileNotFoundError, match="no folder"):
        data.from_folder(tmp_path / "missing", labelled=False)
    (tmp_path / "notes/1.png").write_text("x")
    with pytest.raises(ValueError, match=r"notes'? holds no image that can be read: 1\.png \(this is not"):
        data.from_folder(tmp_path / "notes")


# Links


def test_a_link_back_to_the_folder_or_above_is_no_class(tmp_path):
    root = fill(tmp_path / "photos", "cat/1.png", "dog/1.png")
    (root / "all").symlink_to(root)
    (root / "above").symlink_to(tmp_path)
    examples, left_out = read(root)
    assert examples.class_names == ("cat", "dog")
    assert examples.ids.tolist() == [0, 1]
    reason = "a link to a folder that holds class folders, or to one above"
    assert left_out == {"all": reason, "above": reason}


def test_a_folder_that_comes_twice_is_read_once_where_it_lies(tmp_path):
    root = fill(tmp_path / "photos", "cat/1.png", "cat/old/2.png", "dog/1.png")
    (root / "animal").symlink_to(root / "cat")
    (root / "before").symlink_to(root / "cat" / "old")
    (root / "dog" / "loop").symlink_to(root)
    examples, left_out = read(root)
    assert examples.class_names == ("cat", "dog")
    assert examples.labels.tolist() == [0, 0, 1]
    assert left_out == {
        "animal": "the same folder as cat",
        "before": "the same folder as cat/old",
        "dog/loop": "a link to a folder is not followed here",
    }


def test_links_to_class_folders_and_images_elsewhere_are_read(tmp_path):
    elsewhere = fill(tmp_path / "store", "c/1.png", "d/2.png")
    root = fill(tmp_path / "photos", "cat/1.png")
    (root / "dog").symlink_to(elsewhere / "d")
    (root / "cat" / "2.png").symlink_to(elsewhere / "c" / "1.png")
    examples, left_out = read(root)
    assert examples.class_names == ("cat", "dog")
    assert examples.labels.tolist() == [0, 0, 1]
    assert not left_out


def test_a_part_that_links_to_another_is_none(tmp_path):
    fill(tmp_path, *PARTS)
    (tmp_path / "valid").symlink_to(tmp_path / "val")
    (tmp_path / "val" / "eel").symlink_to(tmp_path / "train" / "cat")
    assert len(read(tmp_path, split="train")[0]) == 3
    examples, left_out = read(tmp_path, split="val")
    assert len(examples) == 3
    assert left_out == {"val/eel": "the same folder as ../train/cat"}
    with pytest.raises(ValueError, match="split must be one of train, val; got 'valid'"):
        data.from_folder(tmp_path, split="valid")


# Images of other kinds, and in other places


def test_no_image_vanishes_silently(tmp_path):
    read_ones = ["cat/1.png", "cat/new/2.tiff", "dog/3.tif", "dog/4.GIF", "dog/5.jfif"]
    others = ["cat/a.HEIC", "cat/new/b.dng", "dog/c.svg", "dog/d.ppm", "dog/f.jp2", "dog/g.psd", "h.CR2"]
    no_images = ["cat/notes.txt", "dog/labels.csv", "dog/m.json", "dog/Thumbs.db", "read.me", "cat/.1.heic"]
    examples, left_out = read(fill(tmp_path, *read_ones, *others, *no_images, "loose.png"))
    assert examples.ids.tolist() == [0, 1, 2, 3, 4]
    assert sorted(left_out) == [*others, "loose.png"]
    assert left_out["cat/a.HEIC"] == "a HEIC photo cannot be read; save it as JPEG or PNG first"
    assert left_out["loose.png"] == "it is in no class folder"


def test_every_suffix_of_an_image_that_pillow_knows_is_read_or_listed():
    # Films, documents and measurements, and what is rarer as an image than as something else.
    no_images = {".mpg", ".mpeg", ".pdf", ".ps", ".h5", ".hdf", ".grib", ".bufr", ".iim"}
    no_images |= {".fit", ".flc", ".fli", ".ftc", ".ftu", ".vda", ".vst"}
    assert {suffix for suffix in Image.registered_extensions() if not is_image(suffix)} == no_images


# Names that are not UTF-8


@pytest.fixture
def latin(tmp_path):
    try:
        for name in (b"caf\xe9", b"bar"):
            folder = os.path.join(os.fsencode(tmp_path), name)
            os.mkdir(folder)
            Image.new("L", (4, 4), len(name)).save(os.fsdecode(os.path.join(folder, b"1\xff.png")))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")  # why: macOS
    return tmp_path


@pytest.mark.parametrize("lazy", [False, True])
def test_a_class_folder_whose_name_is_not_utf_8_is_shown_escaped_and_read(latin, lazy):
    (latin / "bar" / "\udcff.png").write_text("no image")
    with pytest.warns(data.SkippedFiles, match=r"bar/\\xff.png \(this is not a JPEG"):
        examples = data.from_folder(latin, image_size=(4, 4), lazy=lazy)
    assert examples.class_names == ("bar", "caf\\xe9")
    assert np.asarray(examples.images)[:, 0, 0, 0].tolist() == [3, 4]
    assert examples.only("caf\udce9").labels.tolist() == [1]
    assert examples.only("caf\\xe9").labels.tolist() == [1]


def test_such_names_may_be_given_as_the_disk_has_them(latin):
    examples = data.from_folder(latin, class_names=["caf\udce9", "bar"])
    assert examples.class_names == ("caf\\xe9", "bar")
    assert examples.labels.tolist() == [1, 0]


def test_two_folders_that_are_shown_alike_are_refused(latin):
    fill(latin, "caf\\xe9/1.png")
    with pytest.raises(ValueError, match=r"class folders must have different names .* got 'caf.*' and 'caf"):
        data.from_folder(latin)


def test_class_names_of_arrays_are_escaped_too():
    images = np.zeros((3, 4, 4, 3), np.uint8)
    examples = data.from_arrays(images, ["caf\udce9", "bar", "caf\udce9"])
    assert examples.class_names == ("bar", "caf\\xe9")
    assert data.from_arrays(images, [b"caf\xe9", b"bar", b"bar"]).class_names == ("bar", "caf\\xe9")
    given = data.from_arrays(images, ["caf\udce9"] * 3, class_names=["bar", "caf\udce9"])
    assert given.labels.tolist() == [1, 1, 1]
