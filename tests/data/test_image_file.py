import io
import struct

import numpy as np
import pytest
from PIL import GifImagePlugin, Image, TiffImagePlugin

from simnb import data
from simnb.data import image_file, read_image


def file_of(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def halves(mode="RGB", left=0, right="white", size=(8, 4)):
    """Dark on the left, bright on the right."""
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def left_and_right(pixels):
    assert pixels.dtype == np.uint8
    assert pixels.shape[-1] == 3
    half = pixels.shape[1] // 2
    return float(pixels[:, :half].mean()), float(pixels[:, half:].mean())


@pytest.mark.parametrize("kind", image_file.FORMATS)
def test_every_kind_of_file_is_read_whatever_its_name(kind, tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(file_of(Image.new("RGB", (10, 6), (200, 100, 50)), kind))
    for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        pixels = read_image(source)
        assert pixels.shape == (6, 10, 3)
        assert abs(pixels.reshape(-1, 3).mean(axis=0) - (200, 100, 50)).max() < 4


def test_sixteen_bits_are_scaled_and_not_cut_off():
    values = np.array([[0, 32768, 65535]], np.uint16)
    assert read_image(file_of(Image.fromarray(values)))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("mode", "left", "right"), [("L", 0, 255), ("1", 0, 1), ("P", 0, 255), ("LA", (0, 255), (255, 255))]
)
def test_gray_and_palettes_become_rgb(mode, left, right):
    image = halves("L", 0, 255).convert("P") if mode == "P" else halves(mode, left, right)
    assert left_and_right(read_image(file_of(image))) == (0, 255)


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 4), (0, 255, 255, 0))
    pixels = read_image(file_of(image, "JPEG"))
    assert pixels[0, 0, 0] > 200
    assert pixels[0, 0, 1] < 60


def test_a_rotated_photograph_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is on the right
    pixels = read_image(file_of(halves(), "JPEG", exif=exif, quality=95))
    assert pixels.shape == (8, 4, 3)
    assert pixels[:3].mean() < 30
    assert pixels[5:].mean() > 220


def test_transparent_parts_are_white():
    image = Image.new("RGBA", (8, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (4, 0, 8, 4))
    assert left_and_right(read_image(file_of(image))) == (255, 0)


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.new("RGB", (5, 5), color) for color in ("red", "blue")]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(content)[0, 0].tolist() == [255, 0, 0]


def tiff_of(pages):
    """A TIFF of one pixel a page."""
    tags = [(256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 1)]
    size = 2 + 12 * len(tags) + 4
    file = struct.pack("<4sI", b"II*\0", 8)
    for page in range(pages):
        file += struct.pack("<H", len(tags))
        file += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        file += struct.pack("<I", 8 + size * (page + 1) if page < pages - 1 else 0)
    return file


def animated(kind, frames):
    images = [Image.new("RGB", (5, 5), (8 * number, 0, 0)) for number in range(frames)]
    return file_of(images[0], kind, save_all=True, append_images=images[1:])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "MPO", "AVIF"])
def test_whether_there_are_more_frames_is_known(kind):
    if kind == "AVIF" and "AVIF" not in image_file.FORMATS:
        pytest.skip("no AVIF")  # why: Pillow has it from 11.3 on
    assert not image_file.has_more_frames(animated(kind, 1))
    assert image_file.has_more_frames(animated(kind, 2))
    assert image_file.has_more_frames(animated(kind, 20))


@pytest.mark.parametrize(
    ("content", "counted"),
    [
        (tiff_of, (TiffImagePlugin.ImageFileDirectory_v2, "load")),
        (lambda frames: animated("GIF", min(frames, 30)), (GifImagePlugin.GifImageFile, "_seek")),
    ],
    ids=["TIFF", "GIF"],
)
def test_many_frames_are_no_more_work_than_two(content, counted, monkeypatch):
    calls, (kind, name) = [], counted
    work = getattr(kind, name)
    monkeypatch.setattr(kind, name, lambda *args: calls.append(1) or work(*args))

    def work_of(frames):
        calls.clear()
        file = content(frames)
        calls.clear()
        assert image_file.has_more_frames(file)
        assert len(read_image(file)) > 0
        return len(calls)

    assert 0 < work_of(3000) == work_of(2)


def test_a_damaged_second_frame_is_one_and_never_an_error():
    content = animated("GIF", 3)
    answers = [image_file.has_more_frames(content[:end]) for end in range(len(content) // 3, len(content))]
    assert answers[-1]
    assert not answers[0]


def test_pixels_that_are_fractions_are_refused_for_it_is_not_known_what_is_white(tmp_path):
    fractions = file_of(Image.fromarray(np.linspace(0, 1, 12, dtype="f").reshape(3, 4)), "TIFF")
    with pytest.raises(ValueError, match="its pixels are fractions without a known white; save"):
        read_image(fractions)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.tif").write_bytes(fractions)
    for lazy in (False, True):
        with pytest.raises(ValueError, match=r"cat/1.tif \(its pixels are fractions"):
            data.from_folder(tmp_path, lazy=lazy)


def test_an_image_is_resized_to_what_is_asked_for():
    assert read_image(file_of(halves(size=(1, 1))), image_size=(32, 32)).shape == (32, 32, 3)
    assert read_image(file_of(halves(size=(900, 2))), image_size=(32, 16)).shape == (32, 16, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"just some words", "this is not a JPEG, PNG, WebP, BMP, GIF, TIFF"),
        (b"  <svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing cannot be read; save it as"),
        (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40, "a HEIC photo cannot be read"),
        (b"\x00\x00\x01\x00" + b"\x00" * 40, "an icon cannot be read"),
        (b"%PDF-1.7", "a PDF document cannot be read"),
        (file_of(halves(size=(300, 200)))[:200], "damaged or incomplete"),
        (file_of(halves(size=(300, 200)), "JPEG")[:700], "damaged or incomplete"),
    ],
)
def test_what_is_no_whole_image_is_refused_in_a_sentence(content, message):
    with pytest.raises(ValueError, match=message):
        read_image(content)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded():
    bomb = file_of(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 100_000
    with pytest.raises(ValueError, match=r"too many pixels|more than max_pixels"):
        read_image(bomb)
    with pytest.raises(ValueError, match="8 x 4 pixels are more than max_pixels=31"):
        read_image(file_of(halves()), max_pixels=31)


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"source must be the bytes of an image file.* got ndarray"):
        read_image(np.zeros((4, 4, 3)))
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.png")


def test_a_thumbnail_keeps_its_proportions_amid_white_and_is_upright(tmp_path):
    image, exif = Image.new("RGB", (40, 20), (200, 0, 0)), Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    small = image_file.thumbnail(tmp_path / "turned.jpg", 16)
    assert (small.shape, small.dtype) == ((16, 16, 3), np.uint8)
    colored = small[..., 1] < 128
    assert colored.sum(axis=1).tolist() == [8] * 16
    assert colored[:, 4:12].all()
    assert (small[:, [0, -1]] == 255).all()


def test_a_thumbnail_of_a_large_photo_is_as_sharp_as_one_of_all_its_pixels(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((1600, 1600), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.jpg", quality=95)
    small = image_file.thumbnail(tmp_path / "large.jpg", 100).astype(int)
    exact = np.asarray(large.resize((100, 100), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(small - exact).mean() < 3
