"""Printed characters: which there are, how they are drawn, and which cannot be told apart."""

# ruff: noqa: RUF001  letters that look like others are what this is about

import collections
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from simnb import data
from simnb.data import glyphs

# A folder's characters are looked for once in a process, so that a test that changes them needs a new folder.
FEW = "012AĂBÄGĞǦIfiшaеАБВЖΑΒΩἀἁԱაÐĐƉ"


@pytest.fixture(scope="module")
def everything():
    return data.load("glyphs", split="all")


@pytest.fixture(scope="module")
def tables():
    """The few characters that each face has, by the name of its file."""
    files = [glyphs._folder() / f"{face}.ttf" for face in glyphs.FACES]
    return {file.name: glyphs._table(file) & set(FEW) for file in files}


@pytest.fixture
def folder(tmp_path, monkeypatch, tables):
    """``folder(faces)`` fills a folder that replaces that of matplotlib; few characters are looked for."""
    fonts = glyphs._folder()
    monkeypatch.setattr(glyphs, "_folder", lambda: tmp_path)
    monkeypatch.setattr(glyphs, "_table", lambda file: tables[file.name] if file else set())

    def fill(faces=glyphs.FACES):
        for face in faces:
            (tmp_path / f"{face}.ttf").symlink_to(fonts / f"{face}.ttf")

    return fill


def classes_by_script(examples):
    scripts = examples.class_metadata["script"]
    return collections.Counter(scripts[label] for label in np.unique(examples.labels))


def same_looks(examples, character):
    """All characters that look like one."""
    looks = dict(
        zip(examples.class_metadata["character"], examples.class_metadata["looks_like"], strict=True)
    )
    return {other for other, first in looks.items() if first == looks[character]}


# What there is


def test_there_are_many_classes_of_twelve_faces_or_more(everything):
    counts = classes_by_script(everything)
    assert set(counts) == {"Latin", "Cyrillic", "Common", "Greek", "Armenian", "Georgian"}
    assert counts["Common"] == 10
    assert 700 < counts["Latin"] < 800
    assert 180 < counts["Cyrillic"] < 200
    assert 280 < counts["Greek"] < 320
    assert 70 < counts["Armenian"] < 80
    assert 40 < counts["Georgian"] < 50
    assert set(np.bincount(everything.labels).tolist()) <= set(range(12, 17))


def test_digits_and_the_alphabet_stand_in_all_sixteen_faces(everything):
    counts = np.bincount(everything.labels)
    characters = everything.class_metadata["character"]
    for character in "0123456789ABCXYZabcxyzÄßЖжΩω":
        assert counts[characters.index(character)] == 16


def test_classes_are_called_what_unicode_calls_them_and_stand_in_its_order(everything):
    characters = everything.class_metadata["character"]
    assert everything.class_names[characters.index("A")] == "LATIN CAPITAL LETTER A"
    assert everything.class_names[characters.index("ж")] == "CYRILLIC SMALL LETTER ZHE"
    assert everything.class_names[characters.index("7")] == "DIGIT SEVEN"
    assert everything.class_names == tuple(map(unicodedata.name, characters))
    assert list(characters) == sorted(characters)
    assert set(np.unique(everything.labels)) == set(range(len(characters)))


def test_no_character_stands_there_twice_and_none_for_another(everything):
    characters = everything.class_metadata["character"]
    # Ohm, kelvin, alpha with oxia, micro, modifier h, double-struck C, feminine ordinal, ypogegrammeni.
    assert not set("\u2126\u212a\u1f71\u00b5\u02b0\u2102\u00aa\u037a") & set(characters)
    assert set("ΩKάhC") <= set(characters)


def test_splits_share_no_id_no_class_and_no_script_and_make_up_all(folder):
    folder()
    train, test, everything = (data.load("glyphs", split=split) for split in ("train", "test", "all"))
    assert set(classes_by_script(train)) == {"Latin", "Cyrillic", "Common"}
    assert set(classes_by_script(test)) == {"Greek", "Armenian", "Georgian"}
    assert sorted([*train.ids, *test.ids]) == list(range(len(everything)))
    assert everything.ids.tolist() == list(range(len(everything)))
    assert not set(train.labels.tolist()) & set(test.labels.tolist())
    assert data.load("glyphs").fingerprint() == train.fingerprint()
    for part in (train, test):
        assert part.class_names == everything.class_names
        assert part.class_metadata == everything.class_metadata
        np.testing.assert_array_equal(part.images, everything.images[part.ids])
        np.testing.assert_array_equal(part.labels, everything.labels[part.ids])


def test_another_split_is_refused():
    with pytest.raises(
        ValueError, match=r"split of glyphs must be one of train, test, all; got 'train\[:10%\]'"
    ):
        data.load("glyphs", split="train[:10%]")
    with pytest.raises(ValueError, match=r"split of glyphs must be one of .*; got \['train'\]"):
        data.load("glyphs", split=["train"])


def test_another_process_draws_the_same_and_starts_no_plots():
    code = (
        "import sys; from simnb import data; "
        "print(data.load('glyphs', split='test', image_size=(8, 8)).fingerprint()); "
        "print(*sys.modules.keys() & {'matplotlib.pyplot', 'tensorflow', 'keras'})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    fingerprint, modules = result.stdout.split("\n")[:2]
    assert fingerprint == data.load("glyphs", split="test", image_size=(8, 8)).fingerprint()
    assert modules == ""


# How it is drawn


def test_ink_is_black_on_white_and_lies_within_the_image(everything):
    images = everything.images
    assert images.shape[1:] == (32, 32, 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    gray = images[..., 0]
    assert np.median(gray) == 255
    assert (gray.min(axis=(1, 2)) < 100).all()
    border = np.concatenate([gray[:, 0], gray[:, -1], gray[:, :, 0], gray[:, :, -1]], axis=1)
    assert (border.min(axis=1) < 128).mean() < 0.001


def middles(gray):
    """Middle of the ink of each image, down and right of the middle of the image, in pixels."""
    found = []
    for image in gray:
        rows, columns = np.nonzero(image < 200)
        found.append([(rows.min() + rows.max()) / 2 - 15.5, (columns.min() + columns.max()) / 2 - 15.5])
    return np.array(found)


def test_examples_are_shifted_rotated_and_resized_a_little(everything):
    characters = everything.class_metadata["character"]
    of = {c: everything.images[everything.labels == characters.index(c), :, :, 0] for c in "HIΙІOОН"}
    shifts = middles(np.concatenate([of[c] for c in "HIΙІOОН"]))
    assert (np.abs(shifts) < 3).all()
    assert (shifts.std(axis=0) > 0.5).all()
    # Letters that look alike in a face have as much ink where they are as large.
    latin, cyrillic = ((255.0 - of[c][:12]).sum(axis=(1, 2)) for c in "IІ")
    assert np.ptp(latin / cyrillic) > 0.2
    # Upright stems: where they lie at the top less where they lie at the bottom, in the face without serifs.
    upright = [of[c][0] for c in "IΙІ"]
    slants = []
    for image in upright:
        rows = np.nonzero((image < 128).any(axis=1))[0]
        top, bottom = ((255 - image[row].astype(float)) for row in (rows[2], rows[-3]))
        slants.append((top - bottom) @ np.arange(32) / top.sum())
    assert np.ptp(slants) > 0.3
    assert max(map(abs, slants)) < 20 * np.tan(np.radians(9))


@pytest.mark.parametrize("size", [(20, 20), (48, 24), (24, 48)])
def test_images_of_other_sizes_show_the_same_in_the_middle(folder, size):
    folder()
    examples = data.load("glyphs", split="all", image_size=size)
    side = min(size)
    square = data.load("glyphs", split="all", image_size=(side, side))
    assert examples.images.shape[1:] == (*size, 3)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    np.testing.assert_array_equal(examples.images[:, top : top + side, left : left + side], square.images)
    assert examples.class_metadata == square.class_metadata


def test_a_larger_image_shows_the_same_as_a_small_one(folder):
    folder()
    small, large = (data.load("glyphs", split="train", image_size=(n, n)).images[..., 0] for n in (32, 96))
    reduced = large.reshape(-1, 32, 3, 32, 3).mean(axis=(2, 4))
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(small, reduced, strict=True)]
    assert min(alike) > 0.85
    assert np.median(alike) > 0.98


# What is missing


def test_faces_that_are_missing_are_left_out_and_change_no_other_picture(folder, everything, tables):
    folder(glyphs.FACES[4:])
    examples = data.load("glyphs", split="all")
    there = sorted(c for c in FEW if all(c in table for table in tables.values()))
    assert 20 < len(there) < len(FEW)
    assert examples.class_metadata["character"] == tuple(there)
    assert np.bincount(examples.labels).tolist() == [12] * len(there)
    characters = everything.class_metadata["character"]
    for label, character in enumerate(there):
        with_them = everything.images[everything.labels == characters.index(character)]
        np.testing.assert_array_equal(examples.images[examples.labels == label], with_them[4:])


def test_fewer_than_twelve_faces_are_refused(folder, tmp_path):
    folder(glyphs.FACES[:11])
    with pytest.raises(
        OSError, match=rf"12 or more of matplotlib's fonts.*{tmp_path} holds 11 of them; install"
    ):
        data.load("glyphs")


def test_what_too_few_faces_have_is_left_out(folder):
    folder(glyphs.FACES[1:])  # STIX has no Armenian
    scripts = data.load("glyphs", split="test").class_metadata["script"]
    assert "Armenian" not in scripts
    assert "Greek" in scripts


def test_a_picture_without_ink_is_left_out(folder, monkeypatch):
    folder()
    table, script = glyphs._table, glyphs._script
    monkeypatch.setattr(glyphs, "_table", lambda file: table(file) | {" "})
    monkeypatch.setattr(
        glyphs, "_script", lambda character: "Latin" if character == " " else script(character)
    )
    assert data.load("glyphs").class_metadata["character"] == tuple(sorted(FEW))


# Homoglyphs


@pytest.mark.parametrize(
    ("character", "alike"),
    [
        ("A", "AΑА"),
        ("А", "AΑА"),
        ("B", "BΒВ"),
        ("Đ", "ÐĐƉ"),
        ("X", "XΧХ"),
        ("δ", "δẟ"),
        ("G", "G"),
        ("Ğ", "Ğ"),  # not the G with caron
        ("ἀ", "ἀ"),  # not the one with dasia
        ("Ж", "Ж"),
        ("8", "8"),
        ("0", "0"),
    ],
)
def test_homoglyphs_look_like_the_first_of_them(everything, character, alike):
    assert same_looks(everything, character) == set(alike)
    looks_like = everything.class_metadata["looks_like"]
    for other in alike:
        assert looks_like[everything.class_metadata["character"].index(other)] == min(alike)


def test_few_characters_are_homoglyphs_and_they_cross_scripts_and_splits(everything):
    counts = collections.Counter(everything.class_metadata["looks_like"])
    groups = [first for first, count in counts.items() if count > 1]
    assert 50 < len(groups) < 90
    assert max(counts.values()) <= 4
    scripts = dict(
        zip(everything.class_metadata["character"], everything.class_metadata["script"], strict=True)
    )
    assert {scripts[other] for other in same_looks(everything, "A")} == {"Latin", "Greek", "Cyrillic"}


def test_the_rule_of_homoglyphs_written_again_as_loops(everything, tables):
    looks = dict(
        zip(everything.class_metadata["character"], everything.class_metadata["looks_like"], strict=True)
    )
    counts = collections.Counter()
    for face in glyphs.FACES:
        font = ImageFont.truetype(
            glyphs._folder() / f"{face}.ttf", 0.85 * 72, layout_engine=ImageFont.Layout.BASIC
        )
        pictures = {}
        for character in tables[f"{face}.ttf"]:
            box = font.getbbox(character, anchor="ls")
            canvas = Image.new("L", (108, 108))
            at = (108 - box[0] - box[2]) / 2, (108 - box[1] - box[3]) / 2
            ImageDraw.Draw(canvas).text(at, character, fill=255, font=font, anchor="ls")
            pictures[character] = np.asarray(canvas.reduce(4), float)
        for one, a in pictures.items():
            for other, b in pictures.items():
                counts[one, other, "shared"] += 1
                ink = max(np.linalg.norm(a), np.linalg.norm(b))
                counts[one, other, "alike"] += np.linalg.norm(a - b) <= 0.1 * ink
    for one in FEW:
        for other in FEW:
            alike = counts[one, other, "alike"] >= 0.75 * counts[one, other, "shared"]
            assert alike == (looks[one] == looks[other]), one + other
