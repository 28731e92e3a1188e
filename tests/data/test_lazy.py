"""Images that are read when they are needed: from folders, memory maps, TFDS and other random access."""

import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from simnb import data
from simnb.data import image_file, source, tfds
from simnb.models import embed
from simnb.samplers import BalancedBatches

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)


class Recorded:
    """Reads rows of PIXELS, and keeps which."""

    def __init__(self):
        self.asked = []

    def __call__(self, rows):
        self.asked.append(rows.tolist())
        return PIXELS[rows]


def lazy(read=None):
    return data.LazyImages(read or Recorded(), 12, (4, 5, 3))


# Indexing


@pytest.mark.parametrize(
    "key",
    [3, -1, np.int64(5), slice(2, 9), slice(None, None, -3), [7, 2, 2, 11], np.arange(12) % 5 == 1],
)
def test_an_index_reads_what_an_array_would_give(key):
    np.testing.assert_array_equal(lazy()[key], PIXELS[key])
    assert lazy()[key].dtype == np.uint8


def test_each_image_is_read_once_and_in_increasing_order():
    read = Recorded()
    images = lazy(read)
    np.testing.assert_array_equal(images[[7, 2, 7, 0]], PIXELS[[7, 2, 7, 0]])
    assert read.asked == [[0, 2, 7]]
    assert images[[]].shape == images[np.zeros(12, bool)].shape == (0, 4, 5, 3)
    assert len(read.asked) == 1


def test_a_part_is_chosen_without_reading_and_parts_of_parts_too():
    read = Recorded()
    part = lazy(read).select([9, 1, 4, 4]).select(slice(1, None))
    assert repr(part) == "LazyImages(3 images 4x5x3 uint8)"
    assert (len(part), part.shape, part.ndim, part.dtype) == (3, (3, 4, 5, 3), 4, np.uint8)
    assert read.asked == []
    np.testing.assert_array_equal(part[0], PIXELS[1])
    np.testing.assert_array_equal(np.asarray(part), PIXELS[[1, 4, 4]])
    np.testing.assert_array_equal(np.asarray(part, dtype=float), PIXELS[[1, 4, 4]].astype(float))
    np.testing.assert_array_equal(list(part), PIXELS[[1, 4, 4]])


def test_stamps_are_those_of_the_images_that_were_chosen_and_nothing_is_read():
    read = Recorded()
    images = data.LazyImages(read, 12, (4, 5, 3), stamps=lambda rows: [f"row {row}" for row in rows])
    assert images.select([9, 1, 4]).select([2, 0]).stamps() == ["row 4", "row 9"]
    assert lazy(read).select([9, 1]).stamps() == [None, None]
    assert read.asked == []
    short = data.LazyImages(read, 12, (4, 5, 3), stamps=lambda rows: ["one"])
    with pytest.raises(ValueError, match="stamps and images must have the same length, got 1 and 12"):
        short.stamps()
    with pytest.raises(ValueError, match="stamps must be a function of positions, got list"):
        data.LazyImages(read, 12, (4, 5, 3), stamps=["one"] * 12)


@pytest.mark.parametrize("key", [(0, 1), (slice(None), 0), None, ..., 1.5, True, "a", [[1]], [0.5]])
def test_an_index_of_another_kind_is_refused(key):
    with pytest.raises(IndexError, match="lazy images take an int, a slice, a mask or an array of positions"):
        lazy()[key]


def test_what_cannot_be_is_refused():
    with pytest.raises(IndexError, match="out of bounds"):
        lazy()[12]
    with pytest.raises(IndexError, match="select takes a slice, a mask or an array of positions, got 3"):
        lazy().select(3)
    with pytest.raises(ValueError, match="copy=False is not possible"):
        np.array(lazy(), copy=False)
    with pytest.raises(ValueError, match="read must be a function of positions, got list"):
        data.LazyImages([1], 1, (1, 1, 1))
    with pytest.raises(ValueError, match=r"image_shape must be \(height, width, channels\), got \(4, 5\)"):
        data.LazyImages(Recorded(), 12, (4, 5))
    wrong = data.LazyImages(lambda rows: PIXELS[rows, :2], 12, (4, 5, 3))
    with pytest.raises(ValueError, match=r"images of shape \(2, 4, 5, 3\) .* got \(2, 2, 5, 3\)"):
        wrong[[1, 2]]
    with pytest.raises(ValueError, match=r"dtype float32, got .* uint8"):
        data.LazyImages(Recorded(), 12, (4, 5, 3), "float32")[0]


# Examples


def test_parts_of_examples_stay_lazy():
    read = Recorded()
    examples = data.from_arrays(lazy(read), np.arange(12) % 2, class_names=("ant", "bee"))
    parts = [
        examples[3],
        examples[2:5],
        examples.only("bee"),
        examples.take_per_class(2),
        *examples.split(train=0.5, gallery=0.5, calibration=0, query=0),
    ]
    assert read.asked == []
    for part in parts:
        np.testing.assert_array_equal(np.asarray(part.images), PIXELS[part.ids])
    assert repr(parts[2]) == "Examples(6 images 4x5x3 uint8, 1 class)"


def test_batches_and_embeddings_read_only_what_they_need():
    read = Recorded()
    examples = data.from_arrays(lazy(read), np.arange(12) % 2)[2:]
    batches = BalancedBatches(examples.images, examples.labels, classes_per_batch=2, examples_per_class=2)
    images, labels = batches.batch(0)
    positions = batches.positions(0)
    assert read.asked == [sorted(positions + 2)]
    np.testing.assert_array_equal(images, PIXELS[2:][positions])
    np.testing.assert_array_equal(labels, positions % 2)

    def mean_color(images):
        return images.astype(np.float32).mean(axis=(1, 2))

    read.asked.clear()
    vectors = embed(mean_color, examples.images, batch_size=4)
    assert read.asked == [[2, 3, 4, 5], [6, 7, 8, 9], [10, 11]]
    np.testing.assert_array_equal(vectors, embed(mean_color, PIXELS[2:]))


def test_a_memory_map_is_split_without_being_copied(tmp_path):
    mapped = np.memmap(tmp_path / "images", np.uint8, "w+", shape=PIXELS.shape)
    mapped[:] = PIXELS
    examples = data.from_arrays(mapped, np.arange(12) % 2, lazy=True)
    part = examples.split(train=0.5, gallery=0.5, calibration=0, query=0).train
    np.testing.assert_array_equal(part.images[:], PIXELS[part.ids])
    changed = part.ids[1]
    mapped[changed] = 7  # seen through the part: it holds no copy
    assert (part.images[1] == 7).all()
    assert (part.images[0] == PIXELS[part.ids[0]]).all()
    assert data.from_arrays(examples.images, np.zeros(12, int), lazy=True).images is examples.images


def test_an_array_that_wants_increasing_positions_can_be_read_in_any_order():
    class Strict:
        """Like a data set of h5py."""

        shape, dtype = PIXELS.shape, PIXELS.dtype

        def __len__(self):
            return 12

        def __getitem__(self, rows):
            assert (np.diff(rows) > 0).all()
            return PIXELS[rows]

    examples = data.from_arrays(Strict(), np.arange(12) % 2, lazy=True)
    np.testing.assert_array_equal(examples.images[[5, 1, 5]], PIXELS[[5, 1, 5]])


# Folders


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    """Twelve images in several formats and modes; the one of id 4 is turned by its EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 6
    rng = np.random.default_rng(1)
    for number in range(12):
        image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
        suffix = ("png", "jpg", "webp")[number % 3]
        options = {"exif": exif} if number == 4 else {}
        save(tmp_path / "ab"[number >= 6] / f"{number:02}.{suffix}", image, **options)
    save(tmp_path / "b/clear.png", Image.new("RGBA", (9, 9), (255, 0, 0, 0)))
    save(tmp_path / "b/deep.png", Image.fromarray(np.full((9, 9), 32768, np.uint16)))
    return tmp_path


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_a_lazy_folder_gives_the_same_examples(photos, workers):
    before = set(threading.enumerate())
    eager = data.from_folder(photos, image_size=(8, 6))
    lazily = data.from_folder(photos, image_size=(8, 6), lazy=True, workers=workers)
    assert repr(lazily) == repr(eager) == "Examples(14 images 8x6x3 uint8, 2 classes)"
    np.testing.assert_array_equal(lazily.labels, eager.labels)
    np.testing.assert_array_equal(lazily.ids, eager.ids)
    np.testing.assert_array_equal(lazily.images[[13, 4, 0]], eager.images[[13, 4, 0]])
    np.testing.assert_array_equal(np.asarray(lazily.images), eager.images)
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if "ThreadPool" in thread.name]


def test_a_lazy_folder_decodes_nothing_before_it_is_indexed(photos, monkeypatch):
    decoded = []
    rgb = image_file._rgb
    monkeypatch.setattr(image_file, "_rgb", lambda image: decoded.append(image) or rgb(image))
    examples = data.from_folder(photos, lazy=True)
    part = examples.split(train=1, gallery=0, calibration=0, query=0).train
    assert decoded == []
    part.images[:3]
    assert len(decoded) == 3


def test_files_are_checked_by_their_head_and_named_when_the_rest_is_damaged(photos):
    (photos / "a/00.png").write_bytes(b"")
    (photos / "a/03.png").write_text("this is no image")
    save(photos / "a/05.png", Image.new("RGB", (50, 50)))
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    whole = save(photos / "b/07.jpg", Image.fromarray(noise), quality=95).read_bytes()
    (photos / "b/07.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.warns(data.SkippedFiles, match="3 of 15 files were not read") as caught:
        examples = data.from_folder(photos, lazy=True, max_pixels=2000)
    assert [path.name for path, _ in caught[0].message.files] == ["00.png", "03.png", "05.png"]
    assert caught[0].message.files[0][1] == "an empty file"
    assert examples.ids.tolist() == [1, 2, 4, 6, *range(7, 15)]
    damaged = examples.ids.tolist().index(8)
    with pytest.raises(OSError, match=r"b.07\.jpg could not be read: .*truncated"):
        examples.images[damaged - 1 : damaged + 2]
    (photos / "b/08.webp").unlink()
    with pytest.raises(OSError, match=r"b.08\.webp could not be read: No such file or directory"):
        examples.images[damaged + 1]
    assert examples.images[damaged + 2].shape == (32, 32, 3)


# Data sets of TFDS, and sources like theirs

LABELS = ["ant", "bee", "cat"]


def store(folder, file_format, shape=(6, 7, 3)):
    """Prepare a small data set, without a network."""
    import tensorflow_datasets
    from tensorflow_datasets import features

    rng = np.random.default_rng(0)

    def row(number):
        size = (shape[0] + number % 2, *shape[1:]) if shape[0] == 8 else shape
        image = rng.integers(0, 255, size, dtype=np.uint8)
        return number, {"text": "x" * number, "image": image, "label": number % 3}

    varying = (None, None, 3) if shape[0] == 8 else shape
    columns = {
        "text": features.Text(),
        "image": features.Image(shape=varying, encoding_format="jpeg"),
        "label": features.ClassLabel(names=LABELS),
    }
    with tfds._quiet_absl(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TFDS does while it writes is not tested here
        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name="tiny",
            version="1.0.0",
            features=features.FeaturesDict(columns),
            split_datasets={"train": [row(n) for n in range(25)], "test": [row(n) for n in range(1, 11)]},
            data_dir=folder,
            disable_shuffling=True,
            file_format=file_format,
        )
    return folder


@pytest.fixture(scope="module")
def tfrecords(tmp_path_factory):
    return store(tmp_path_factory.mktemp("tfrecord"), "tfrecord")


@pytest.fixture(scope="module")
def array_records(tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("TFDS brings array_record on Linux alone")  # why: there are no wheels of it elsewhere
    return store(tmp_path_factory.mktemp("array_record"), "array_record")


def assert_same_examples(lazily, eager):
    assert repr(lazily) == repr(eager)
    assert isinstance(lazily.images, data.LazyImages)
    assert lazily.class_names == eager.class_names
    np.testing.assert_array_equal(lazily.ids, eager.ids)
    np.testing.assert_array_equal(lazily.labels, eager.labels)
    order = np.random.default_rng(0).permutation(len(eager))
    np.testing.assert_array_equal(lazily.images[order], eager.images[order])


@pytest.mark.parametrize("labels_at_once", [4, 1000])
@pytest.mark.parametrize("split", ["train", "test+train[3:17]", "train[10:12]+test[-2:]+train[:2]"])
def test_lazy_tfds_has_the_same_pixels_in_either_format(
    tfrecords, array_records, monkeypatch, split, labels_at_once
):
    monkeypatch.setattr(tfds, "LABELS_AT_ONCE", labels_at_once)
    eager = data.load("tiny", split=split, data_dir=tfrecords)
    for folder in (tfrecords, array_records):
        assert_same_examples(data.load("tiny", split=split, data_dir=folder, lazy=True), eager)
    with pytest.raises(ValueError, match=r"prepared as tfrecord .* got array_record; pass lazy=True"):
        data.load("tiny", split=split, data_dir=array_records)


def test_lazy_tfds_is_resized_alike_and_read_in_many_threads(tmp_path):
    store(tmp_path, "tfrecord", shape=(8, 7, 3))
    with pytest.raises(ValueError, match="have different sizes; pass image_size"):
        data.load("tiny", data_dir=tmp_path, lazy=True)
    eager = data.load("tiny", data_dir=tmp_path, image_size=(5, 4))
    lazily = data.load("tiny", data_dir=tmp_path, image_size=(5, 4), lazy=True)
    assert_same_examples(lazily, eager)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda i: lazily.images[[i, 24 - i]], range(12)))
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part, eager.images[[i, 24 - i]])


def test_a_tfrecord_that_becomes_shorter_is_named(tmp_path):
    store(tmp_path, "tfrecord")
    lazily = data.load("tiny", data_dir=tmp_path, lazy=True)
    file = next(tmp_path.glob("tiny/1.0.0/*train*"))
    file.write_bytes(file.read_bytes()[:2000])
    assert lazily.images[0].shape == (6, 7, 3)
    with pytest.raises(OSError, match=rf"{file.name} has become shorter since its labels were read"):
        lazily.images[-1]


def test_a_data_source_of_tfds_becomes_examples(array_records, monkeypatch):
    import tensorflow_datasets

    decoded = []
    decode = tensorflow_datasets.features.Image.decode_example_np
    monkeypatch.setattr(
        tensorflow_datasets.features.Image,
        "decode_example_np",
        lambda feature, image: decoded.append(1) or decode(feature, image),
    )
    given = tensorflow_datasets.data_source("tiny", split="train[5:]", data_dir=array_records)
    examples = data.from_source(given)
    assert len(decoded) == 1  # the first, for the shape: labels are read without
    assert repr(examples) == "Examples(20 images 6x7x3 uint8, 3 classes)"
    assert examples.class_names == tuple(LABELS)
    assert examples.labels.tolist() == [number % 3 for number in range(5, 25)]
    np.testing.assert_array_equal(examples.images[[8, 3]], [given[8]["image"], given[3]["image"]])
    batches = BalancedBatches(examples.images, examples.labels, classes_per_batch=3, examples_per_class=2)
    for image, position in zip(batches.batch(0)[0], batches.positions(0), strict=True):
        np.testing.assert_array_equal(image, given[int(position)]["image"])


class Source:
    """Random access to dicts, and how often it was used."""

    def __init__(self, examples):
        self.examples, self.asked = examples, []

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, position):
        self.asked.append(position)
        return self.examples[position]


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_any_source_of_dicts_becomes_examples(monkeypatch, workers):
    monkeypatch.setattr(source, "LABELS_AT_ONCE", 5)
    given = Source([{"image": pixels, "label": "ab"[i % 2]} for i, pixels in enumerate(PIXELS)])
    examples = data.from_source(given, workers=workers)
    assert examples.class_names == ("a", "b")
    assert given.asked == [0, *range(12)]
    given.asked.clear()
    np.testing.assert_array_equal(examples.images[[7, 2, 9, 4]], PIXELS[[7, 2, 9, 4]])
    assert sorted(given.asked) == [2, 4, 7, 9]


def test_pictures_other_keys_labels_and_ids_are_taken():
    given = Source([{"img": Image.fromarray(pixels[..., 0])} for pixels in PIXELS])
    examples = data.from_source(given, image_key="img", labels=[3, 0] * 6, ids=np.arange(12) + 50)
    assert repr(examples) == "Examples(12 images 4x5x1 uint8, 2 classes)"
    assert given.asked == [0]
    assert examples.ids.tolist() == list(range(50, 62))
    np.testing.assert_array_equal(examples.images[5], PIXELS[5, ..., :1])


def test_images_of_a_source_are_resized_when_asked():
    sizes = [(4, 6), (8, 12), (4, 6)]
    given = [{"image": np.full((*size, 3), 50 * i, np.uint8), "label": 0} for i, size in enumerate(sizes)]
    examples = data.from_source(given)
    with pytest.raises(
        ValueError, match=r"first, \(4, 6, 3\), got \(8, 12, 3\) at position 1; pass image_size"
    ):
        examples.images[:]
    resized = data.from_source(given, image_size=(2, 3))
    assert resized.images[:].shape == (3, 2, 3, 3)
    assert resized.images[:].mean(axis=(1, 2, 3)).tolist() == [0, 50, 100]
    gray = data.from_source([{"image": np.zeros((4, 6), np.uint8), "label": 1}], image_size=(2, 3))
    assert gray.images[0].shape == (2, 3, 1)


def test_what_is_no_source_is_refused():
    good = {"image": PIXELS[0], "label": 0}
    for given, message in (
        (iter([good]), r"source must have a length and give source\[i\], got list_iterator"),
        ([], "source must hold at least one example, got none"),
        ([{"picture": PIXELS[0], "label": 0}], "dicts with the key 'image', got picture, label"),
        ([(PIXELS[0], 0)], "dicts with the key 'image', got tuple"),
        ([{"image": PIXELS[0]}], "dicts with the key 'label', got image"),
        ([{"image": PIXELS, "label": 0}], r"shape \[height, width, channels\], got \(12, 4, 5, 3\) at 0"),
        ([good, {**good, "label": -2}], "labels must be 0 or above, or -1 for none, got -2 in row 1"),
    ):
        with pytest.raises(ValueError, match=message):
            data.from_source(given)
    with pytest.raises(ValueError, match="images must be uint8 to be resized, got dtype float64"):
        data.from_source([{"image": PIXELS[0] / 2, "label": 0}], image_size=(2, 2))
