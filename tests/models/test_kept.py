"""Embeddings kept in a file: what was embedded once is not embedded again."""

import os
import sqlite3
from functools import partial

import keras
import numpy as np
import pytest
from PIL import Image

from simnb import data
from simnb.data import LazyImages, image_file
from simnb.index import open_index
from simnb.layers import MetricEmbedding
from simnb.models import embed, mirrored
from simnb.models.backbone import Backbone
from simnb.samplers import BalancedBatches
from simnb.training import fit

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 3), dtype=np.uint8)


class Counting:
    """A function that embeds, and keeps how many images it was given at a time."""

    def __init__(self, scale=1.0):
        self.given, self.scale = [], scale

    def __call__(self, batch):
        self.given.append(len(batch))
        return batch.reshape(len(batch), -1)[:, :5] * self.scale + 1.0

    def embed(self, images, kept, **options):
        """Embeddings of images, and how many were embedded."""
        self.given.clear()
        options = {"batch_size": 4, "known_as": "counting", **options}
        return embed(self, images, kept=kept, **options), sum(self.given)


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "features.sqlite"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of nine files, which count as old."""
    monkeypatch.setattr(image_file, "_FRESH", 0)
    for i in range(9):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[i]).save(path)
    return tmp_path / "photos"


def read(photos):
    return data.from_folder(photos, image_size=(4, 4), lazy=True).images


@pytest.fixture
def decodes(monkeypatch):
    """Names of the files that were decoded."""
    names = []

    def decoded(file, *arguments):
        names.append(os.path.basename(file))
        return image_file.decoded(file, *arguments)

    monkeypatch.setattr("simnb.data.reading.decoded", decoded)
    return names


def test_only_what_is_new_is_embedded_and_the_vectors_are_those_of_embed(kept):
    model = Counting()
    expected = embed(model, IMAGES)
    first, count = model.embed(IMAGES[:10], kept)
    assert count == 10
    np.testing.assert_array_equal(first, expected[:10])
    again, count = model.embed(IMAGES[:10], kept)
    assert count == 0
    np.testing.assert_array_equal(again, expected[:10])
    order = np.random.default_rng(1).permutation(23)
    mixed, count = model.embed(IMAGES[order], kept)
    assert count == 13
    np.testing.assert_array_equal(mixed, expected[order])
    assert (mixed.dtype, mixed.shape) == (np.float32, (23, 5))


def test_the_same_image_is_embedded_once(kept):
    model = Counting()
    twice = np.concatenate([IMAGES[:3], IMAGES[:3], IMAGES[1:2]])
    vectors, count = model.embed(twice, kept)
    assert count == 3
    np.testing.assert_array_equal(vectors, embed(model, twice))


def test_pixels_of_another_dtype_or_shape_are_other_images(kept):
    model = Counting()
    dark = np.zeros((2, 4, 4, 3), np.uint8)
    model.embed(dark, kept)
    assert model.embed(dark.astype("float32"), kept)[1] == 1
    assert model.embed(dark.reshape(2, 2, 8, 3), kept)[1] == 1


def test_images_are_read_a_batch_at_a_time(kept):
    asked = []

    def rows_of(rows):
        asked.append(len(rows))
        return IMAGES[rows]

    model = Counting()
    model.embed(data.LazyImages(rows_of, 23, (4, 4, 3)), kept)
    assert max(asked) == 4
    assert sum(asked) == 23


def test_each_batch_is_in_the_file_before_the_next_is_embedded(kept):
    class Stopped(Counting):
        rows = 0

        def __call__(self, batch):
            if len(self.given) == 3:
                with open_index(kept) as index:
                    self.rows = len(index)
                raise KeyboardInterrupt
            return super().__call__(batch)

    model = Stopped()
    with pytest.raises(KeyboardInterrupt):
        model.embed(IMAGES, kept)
    assert model.rows == 1 + 12
    assert Counting().embed(IMAGES, kept)[1] == 11


def test_what_was_embedded_before_a_broken_image_is_kept(kept):
    def rows_of(rows):
        if rows.max() >= 9:
            raise OSError("broken.png could not be read")
        return IMAGES[rows]

    with pytest.raises(OSError, match=r"broken\.png could not be read"):
        Counting().embed(data.LazyImages(rows_of, 23, (4, 4, 3)), kept)
    assert Counting().embed(IMAGES, kept)[1] == 15


def test_files_that_did_not_change_are_not_even_decoded(photos, kept, decodes):
    model = Counting()
    first, count = model.embed(read(photos), kept)
    assert count == len(decodes) == 9
    decodes.clear()
    again, count = model.embed(read(photos), kept)
    assert (count, decodes) == (0, [])
    np.testing.assert_array_equal(again, first)
    part, count = model.embed(read(photos).select([7, 2, 2]), kept)
    assert (count, decodes) == (0, [])
    np.testing.assert_array_equal(part, first[[7, 2, 2]])


def test_a_file_that_changed_is_embedded_and_one_that_moved_is_only_decoded(photos, kept, decodes):
    model = Counting()
    model.embed(read(photos), kept)
    Image.fromarray(IMAGES[20]).save(photos / "a" / "4.png")
    os.rename(photos / "a" / "6.png", photos / "a" / "66.png")
    decodes.clear()
    images = read(photos)
    vectors, count = model.embed(images, kept)
    assert (count, sorted(decodes)) == (1, ["4.png", "66.png"])
    np.testing.assert_array_equal(vectors, embed(model, np.asarray(images)))
    decodes.clear()
    assert (model.embed(read(photos), kept)[1], decodes) == (0, [])


def test_a_change_that_leaves_size_and_time_as_they_were_is_noticed(photos, kept):
    file = photos / "a" / "4.png"
    for value in (10, 200):
        Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(file.with_suffix(".bmp"))
        os.utime(file.with_suffix(".bmp"), (1e9, 1e9))
        count = Counting().embed(read(photos), kept)[1]
    assert count == 1


def test_a_file_of_another_size_is_decoded_anew(photos, kept):
    model = Counting()
    model.embed(read(photos), kept)
    larger = data.from_folder(photos, image_size=(6, 6), lazy=True).images
    assert model.embed(larger, kept)[1] == 9


def test_a_file_that_has_just_changed_is_not_trusted(photos, kept, decodes, monkeypatch):
    monkeypatch.setattr(image_file, "_FRESH", 10**12)
    assert read(photos).stamps() == [None] * 9
    model = Counting()
    model.embed(read(photos), kept)
    decodes.clear()
    assert (model.embed(read(photos), kept)[1], len(decodes)) == (0, 9)


def test_arrays_and_files_of_the_same_pixels_share_their_embeddings(photos, kept):
    model = Counting()
    model.embed(np.asarray(read(photos)), kept)
    assert model.embed(read(photos), kept)[1] == 0
    assert model.embed(IMAGES[:9], kept)[1] == 0


def small_model(seed=0, scale=1 / 255):
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(scale)(inputs))
    start = keras.initializers.GlorotUniform(seed=seed)
    return keras.Model(inputs, MetricEmbedding(3, kernel_initializer=start)(x))


def test_a_keras_model_is_known_by_layers_and_weights(kept, tmp_path):
    model = small_model()
    expected = embed(model, IMAGES, kept=kept)
    twin = small_model()  # Keras numbers its layers on
    twin.trainable = False
    np.testing.assert_array_equal(embed(twin, IMAGES, kept=kept), expected)
    model.save(tmp_path / "model.keras")
    embed(keras.saving.load_model(tmp_path / "model.keras"), IMAGES, kept=kept)
    batches = BalancedBatches(IMAGES, np.arange(23) % 2, classes_per_batch=2, examples_per_class=2)
    for other in (small_model(seed=1), small_model(scale=1 / 128), mirrored(model)):
        with pytest.raises(ValueError, match=r"holds embeddings by another embedder: Functional, .* is Func"):
            embed(other, IMAGES, kept=kept)
    embed(model, IMAGES, kept=kept)
    fit(model, batches, verbose=0)
    with pytest.raises(ValueError, match="name another file, or delete it to embed all anew"):
        embed(model, IMAGES, kept=kept)


def activated(activation):
    inputs = keras.Input((4, 4, 3))
    start = keras.initializers.GlorotUniform(seed=1)
    x = keras.layers.Dense(5, kernel_initializer=start)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Activation(activation, name=activation)(x))


def in_precision(policy):
    inputs = keras.Input((4, 4, 3))
    start = keras.initializers.GlorotUniform(seed=1)
    x = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, keras.layers.Dense(5, kernel_initializer=start, dtype=policy)(x))


@pytest.mark.parametrize(
    "models",
    [
        (activated("softplus"), activated("tanh")),
        (in_precision("float32"), in_precision("mixed_bfloat16")),
        tuple(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]) for _ in range(2)),
    ],
    ids=["layers named after an option", "precisions", "not built yet"],
)
def test_models_that_differ_in_one_thing_are_told_apart(kept, models):
    one, other = models
    expected = embed(one, IMAGES, kept=kept)
    np.testing.assert_array_equal(embed(one, IMAGES, kept=kept), expected)
    with pytest.raises(ValueError, match="by another embedder"):
        embed(other, IMAGES, kept=kept)


class Halved(keras.layers.Layer):
    """Code of one's own, which no config holds."""

    def call(self, images):
        """Half of it."""
        return keras.ops.cast(images, "float32") / 2


@pytest.mark.parametrize("layer", [Halved(), keras.layers.Lambda(lambda x: x)], ids=["own", "Lambda"])
def test_a_model_with_code_of_ones_own_needs_a_name(kept, layer):
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, MetricEmbedding(3)(keras.layers.Flatten()(layer(inputs))))
    with pytest.raises(ValueError, match=f"kept needs known_as=.*, got {type(layer).__name__}"):
        embed(model, IMAGES, kept=kept)
    assert not kept.exists()
    assert len(embed(model, IMAGES, kept=kept, known_as="halved")) == len(IMAGES)


def test_one_stamp_of_images_of_two_sizes_is_of_two_images(kept):
    stamps = lambda rows: [f"photo \udce9 {row}" for row in rows]  # noqa: E731
    sizes = [
        LazyImages(
            partial(lambda size, rows: IMAGES[rows][:, :size, :size], size), 5, (size, size, 3), stamps=stamps
        )
        for size in (4, 2)
    ]
    made = [
        embed(lambda batch: batch.mean(axis=(1, 2)) + 1.0, lazy, kept=kept, known_as="mean") for lazy in sizes
    ]
    assert not np.allclose(*made)


def test_networks_within_a_model_are_the_same_after_it_was_saved(kept, tmp_path):
    inputs = keras.Input((4, 4, 3))
    network = keras.Sequential([keras.layers.Conv2D(2, 2), keras.layers.BatchNormalization()])
    pooled = keras.layers.GlobalAveragePooling2D()(Backbone(network, name="backbone")(inputs))
    model = mirrored(keras.Model(inputs, MetricEmbedding(3)(pooled)))
    expected = embed(model, IMAGES, kept=kept)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(embed(loaded, IMAGES, kept=kept), expected)


def test_a_model_that_cannot_say_what_it_is_needs_a_name_and_is_known_by_its_weights_too(kept):
    class Own(keras.Model):
        def __init__(self, seed):
            super().__init__()
            start = keras.initializers.GlorotUniform(seed=seed)
            self.layer = MetricEmbedding(3, kernel_initializer=start)

        def call(self, images):
            return self.layer(keras.ops.reshape(keras.ops.cast(images, "float32"), (-1, 48)))

    models = [Own(0), Own(1)]
    for model in models:
        model(IMAGES)
    embed(models[0], IMAGES, kept=kept, known_as="mine")
    embed(models[0], IMAGES, kept=kept, known_as="mine")
    with pytest.raises(ValueError, match="by another embedder: mine, "):
        embed(models[1], IMAGES, kept=kept, known_as="mine")


def test_what_is_no_keras_model_is_known_by_its_name(kept):
    with pytest.raises(ValueError, match=r"kept needs known_as=\.\.\., a name of this embedder .* got Count"):
        embed(Counting(), IMAGES, kept=kept)
    assert not kept.exists()
    Counting().embed(IMAGES, kept)
    message = "by another embedder: counting, while this one is version 2; name another file"
    with pytest.raises(ValueError, match=message):
        Counting().embed(IMAGES, kept, known_as="version 2")
    with pytest.raises(ValueError, match="known_as must be a name"):
        Counting().embed(IMAGES, kept, known_as="")
    with pytest.raises(ValueError, match="known_as names the embedder in a file of embeddings: pass kept"):
        embed(Counting(), IMAGES, known_as="counting")


def test_a_name_that_now_gives_vectors_of_another_length_is_refused(kept):
    Counting().embed(IMAGES[:4], kept)
    with pytest.raises(ValueError, match="cannot be used: embeddings must have dim 5 like the index, got 48"):
        embed(lambda batch: batch.reshape(len(batch), -1), IMAGES, kept=kept, known_as="counting")
    assert Counting().embed(IMAGES[:4], kept)[1] == 0


def test_two_embedders_that_begin_one_file_at_the_same_time_are_not_mixed(kept):
    other = Counting(scale=2.0)

    def first(batch):
        other.embed(IMAGES[:4], kept, known_as="the faster one")
        return batch.reshape(len(batch), -1)[:, :5] + 1.0

    with pytest.raises(ValueError, match="by another embedder: the faster one, while this one is slow"):
        embed(first, IMAGES[4:8], kept=kept, known_as="slow")
    assert other.embed(IMAGES[4:8], kept, known_as="the faster one")[1] == 4


def test_a_damaged_file_is_noticed(kept):
    Counting().embed(IMAGES, kept)
    with sqlite3.connect(kept) as file:
        (blob,) = file.execute("SELECT embeddings FROM blocks").fetchone()
        file.execute("UPDATE blocks SET embeddings = ?", (blob[:40] + bytes([blob[40] ^ 1]) + blob[41:],))
    file.close()
    with pytest.raises(ValueError, match=r"cannot be used: .* is damaged: .* or delete it to embed all anew"):
        Counting().embed(IMAGES, kept)


def test_what_is_no_file_of_embeddings_is_refused_and_left_as_it_is(kept, tmp_path):
    kept.write_text("notes" * 500)
    with pytest.raises(ValueError, match=r"cannot be used: .* is not an index"):
        Counting().embed(IMAGES, kept)
    assert kept.read_text() == "notes" * 500
    for distance, message in (
        ("euclidean", "holds other rows than embeddings kept by embed"),
        ("cosine", "euclidean"),
    ):
        gallery = tmp_path / f"{distance}.sqlite"
        with open_index(gallery, distance=distance) as index:
            index.add(np.ones((2, 5)))
        before = gallery.read_bytes()
        with pytest.raises(ValueError, match=message):
            Counting().embed(IMAGES, gallery)
        assert gallery.read_bytes() == before
    with pytest.raises(ValueError, match=r"kept must be the name of a file, such as 'features.sqlite', got"):
        Counting().embed(IMAGES, tmp_path / "features.npz")


def test_images_are_checked_before_anything_is_kept(kept):
    with pytest.raises(ValueError, match="images must have values of 0 to 255"):
        embed(small_model(), IMAGES / np.float32(255), kept=kept)
    with pytest.raises(ValueError, match="the model's output must be finite"):
        embed(lambda batch: np.full((len(batch), 3), np.nan), IMAGES, kept=kept, known_as="nan")
    assert Counting().embed(IMAGES, kept)[1] == 23
