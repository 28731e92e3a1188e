"""Each transform against loops over single images and pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnb.augmentation import Augment, color_jitter, cutout, grayscale, random_crop, random_flip

TRANSFORMS = [
    lambda images, rng: random_crop(images, rng, padding=2),
    random_flip,
    lambda images, rng: color_jitter(images, rng, brightness=0.3, contrast=0.4, saturation=0.5),
    grayscale,
    lambda images, rng: cutout(images, rng, size=3),
    Augment(crop=2, color=0.4, grayscale=0.2, cutout=3),
]


def pixels(count=6, height=7, width=5, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, channels)).astype(dtype)


def rng_of(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_images_keep_shape_and_dtype_and_follow_the_generator(transform):
    images = pixels(40)
    before = images.copy()
    result = transform(images, rng_of(1))
    np.testing.assert_array_equal(images, before)
    assert result.shape == images.shape
    assert result.dtype == images.dtype
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, images)
    np.testing.assert_array_equal(transform(images, rng_of(1)), result)
    assert not np.array_equal(transform(images, rng_of(2)), result)
    assert not np.array_equal(result, images)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_degenerate_batches_pass(transform):
    assert transform(pixels(0), rng_of()).shape == (0, 7, 5, 3)
    gray = transform(pixels(1, channels=1), rng_of())
    assert (gray.shape, gray.dtype) == ((1, 7, 5, 1), np.uint8)


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    channels=st.sampled_from([1, 2, 3]),
    padding=st.integers(0, 2),
    dtype=st.sampled_from(["uint8", "float32", "int16"]),
)
def test_a_crop_is_a_window_of_the_image_mirrored_at_its_edges(height, width, channels, padding, dtype):
    images = pixels(12, height, width, channels, dtype)
    cropped = random_crop(images, rng_of(3), padding=padding)

    def mirrored(i, size):
        return -i if i < 0 else 2 * (size - 1) - i if i >= size else i

    for image, result in zip(images, cropped, strict=True):
        found = []
        for dy in range(-padding, padding + 1):
            for dx in range(-padding, padding + 1):
                rows = [mirrored(y + dy, height) for y in range(height)]
                columns = [mirrored(x + dx, width) for x in range(width)]
                found.append(np.array_equal(result, [[image[y, x] for x in columns] for y in rows]))
        assert any(found)


def test_every_shift_of_a_crop_is_as_likely():
    images = np.broadcast_to(np.arange(35).reshape(1, 7, 5, 1), (4000, 7, 5, 1))
    centers = random_crop(images, rng_of(), padding=1)[:, 3, 2, 0]
    values, counts = np.unique(centers, return_counts=True)
    assert values.tolist() == [11, 12, 13, 16, 17, 18, 21, 22, 23]
    assert counts.min() > 350
    assert counts.max() < 540


def test_a_flip_mirrors_left_to_right_about_as_many_as_asked_for():
    images = pixels(1000)
    for probability in (0.0, 0.2, 1.0):
        flipped = random_flip(images, rng_of(), probability=probability)
        changed = np.array([not np.array_equal(a, b) for a, b in zip(images, flipped, strict=True)])
        assert abs(changed.mean() - probability) < 0.05
        np.testing.assert_array_equal(flipped[changed], images[changed][:, :, ::-1])
    assert abs((random_flip(images, rng_of()) != images).any(axis=(1, 2, 3)).mean() - 0.5) < 0.05


def jittered_by_hand(image, brightness, contrast, saturation):
    def gray(pixel):
        return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2] if len(pixel) == 3 else pixel[0]

    bright = image.astype(float) * brightness
    mean = np.mean([gray(pixel) for row in bright for pixel in row])
    contrasted = mean + contrast * (bright - mean)
    result = np.empty_like(contrasted)
    for y, row in enumerate(contrasted):
        for x, pixel in enumerate(row):
            result[y, x] = gray(pixel) + saturation * (pixel - gray(pixel))
    return result.clip(0, 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_colors_vary_by_the_three_factors_one_after_the_other(channels):
    images = pixels(channels=channels)
    options = {"brightness": 0.7, "contrast": 0.5, "saturation": 0.9}
    result = color_jitter(images, rng_of(5), **options)
    rng = rng_of(5)
    factors = [rng.uniform(1 - x, 1 + x, len(images)) for x in options.values()]
    for image, own, *by in zip(images, result, *factors, strict=True):
        np.testing.assert_allclose(own, jittered_by_hand(image, *by), atol=0.51)
    assert {0, 255} <= set(result.ravel().tolist())  # what is beyond them is cut off


def test_colors_stay_where_no_option_is_given():
    np.testing.assert_array_equal(color_jitter(pixels(), rng_of()), pixels())


def test_grayscale_keeps_the_luma_of_the_images_it_takes_the_color_from():
    images = pixels(300, dtype=np.float32)
    result = grayscale(images, rng_of(), probability=0.3)
    changed = (result != images).any(axis=(1, 2, 3))
    assert abs(changed.mean() - 0.3) < 0.08
    for image, own in zip(images[changed][:5], result[changed][:5], strict=True):
        for row, own_row in zip(image, own, strict=True):
            for (r, g, b), grays in zip(row, own_row, strict=True):
                np.testing.assert_allclose(grays, 0.299 * r + 0.587 * g + 0.114 * b, rtol=1e-5)
    rounded = grayscale(pixels(1), rng_of(), probability=1.0)[0]
    np.testing.assert_allclose(rounded[..., 1], pixels(1)[0] @ [0.299, 0.587, 0.114], atol=0.501)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_cutout_covers_a_square_about_a_pixel_with_the_mean_color(size):
    images = pixels(60)
    result = cutout(images, rng_of(2), size=size)
    covered = []
    for image, own in zip(images, result, strict=True):
        mean = np.rint(image.mean(axis=(0, 1)))
        found = []
        for cy in range(7):
            for cx in range(5):
                expected = image.copy()
                for y in range(7):
                    for x in range(5):
                        inside = 0 <= y - cy + size // 2 < size and 0 <= x - cx + size // 2 < size
                        expected[y, x] = mean if inside else image[y, x]
                if np.array_equal(own, expected):
                    found.append((cy, cx))
        assert found
        covered.append(found[0])
    assert size == 50 or len(set(covered)) > 10


def test_augment_applies_what_it_is_told_to_and_nothing_else():
    images = pixels(30)
    np.testing.assert_array_equal(Augment(crop=0, flip=False)(images, rng_of()), images)
    only = {"crop": 0, "flip": False}
    for options, alone in (
        ({"crop": 2}, TRANSFORMS[0]),
        ({"flip": True}, random_flip),
        ({"grayscale": 0.2}, grayscale),
        ({"cutout": 3}, TRANSFORMS[4]),
        (
            {"color": 0.4},
            lambda images, rng: color_jitter(images, rng, brightness=0.4, contrast=0.4, saturation=0.4),
        ),
    ):
        result = Augment(**{**only, **options})(images, rng_of(4))
        np.testing.assert_array_equal(result, alone(images, rng_of(4)))
    rng = rng_of(4)
    expected = random_flip(random_crop(images, rng, padding=4), rng)
    np.testing.assert_array_equal(Augment()(images, rng_of(4)), expected)


def test_no_global_generator_is_touched():
    before = np.random.get_state()[1].copy()
    TRANSFORMS[-1](pixels(), rng_of())
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"images must have shape \[num_examples, .* got \(7, 5, 3\)"):
        Augment()(pixels()[0], rng_of())
    with pytest.raises(ValueError, match="padding must be below the height and width, 7 x 5, got 5"):
        random_crop(pixels(), rng_of(), padding=5)
    with pytest.raises(ValueError, match=r"images must be uint8 for their colours .*, got dtype float32"):
        color_jitter(pixels(dtype=np.float32), rng_of(), brightness=0.1)
    with pytest.raises(ValueError, match="images must have 1 or 3 channels for gray to be known, got 4"):
        grayscale(pixels(channels=4), rng_of())
    with pytest.raises(ValueError, match="size must be an integer of at least 1, got 0"):
        cutout(pixels(), rng_of(), size=0)
    with pytest.raises(ValueError, match=r"probability must be a number from 0 to 1, got 1.5"):
        random_flip(pixels(), rng_of(), probability=1.5)
    for options in ({"crop": -1}, {"cutout": 1.5}, {"color": 2}, {"grayscale": True}, {"flip": 1}):
        name = next(iter(options))
        with pytest.raises(ValueError, match=f"{name} must be .* got"):
            Augment(**options)
