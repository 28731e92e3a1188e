"""Folders of images: what is read, how, and what is said of the rest."""

import os
import struct
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from simnb import data
from simnb.data import image_file, reading


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
        data.SkippedFiles, match=r"a/1_empty.jpg \(an empty file\).* and 3 more; .* classes c, d$"
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
    image.unlink()
    with pytest.raises(ValueError, match=r"or images without a label, but .* holds neither"):
        data.from_folder(tmp_path)
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

    monkeypatch.setattr(reading, "decoded", slow)
    monkeypatch.setattr(reading, "progress_bar", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.from_folder(tmp_path, workers=2)
    assert len(started) < 60
