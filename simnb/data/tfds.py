"""Image data sets of TensorFlow Datasets: prepared where they are missing, read into arrays or lazily.

A data set must have the features ``image`` (Image) and ``label`` (ClassLabel). Of these more is known:

========================== ============ ================== =================================================
name                       class        ``class_metadata`` splits
========================== ============ ================== =================================================
omniglot                   label        alphabet           train 964 characters, test 659 others
cifar100                   label        coarse_label       train and test of the same 100 classes
oxford_iiit_pet            label        species            train and test of the same 37 breeds
caltech_birds2011          label                           train and test of the same 200 species
cars196                    label                           train and test of the same 196 models
stanford_online_products   class_id     super_class_id     train 11,318 products, test 11,316 others
========================== ============ ================== =================================================

Images of the last four differ in size: they need ``image_size``. For classes that training does not see, cut
"all" with ``split_classes``; papers train on the first half of birds and cars, ``only(range(100))`` and
``only(range(98))``. Omniglot's drawings come as they are, black on white. Of all of TFDS's own copy load
"train+test": "all" has the drawings in small1 and small2 twice. Where a copy has no names of groups, such as
alphabets, they are left out of ``class_metadata``.
"""

import contextlib
import difflib
import itertools
import logging
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from simnb import _checks, _triton
from simnb._terminal import progress_bar, quiet_stderr
from simnb._types import AnyPath
from simnb.data.examples import Examples
from simnb.data.lazy import LazyImages

#: Seconds within which a data set's site must answer before anything is downloaded from it.
PROBE_SECONDS = 5.0
# A few megabytes at a time: beside the array itself, next to nothing is held.
BATCH_BYTES = 4_000_000
# Records read at a time where only their labels are wanted.
LABELS_AT_ONCE = 1000
# The feature that is the class, where it is not "label", and the one that is a group of classes.
_CLASSES = {"stanford_online_products": "class_id"}
_GROUPS = {
    "cifar100": "coarse_label",
    "omniglot": "alphabet",
    "oxford_iiit_pet": "species",
    "stanford_online_products": "super_class_id",
}
# A TFRecord: length (8 bytes) and its checksum (4), then the record, then its checksum (4).
_BEFORE, _AFTER = 12, 4


def load_tfds(
    name: str,
    split: str,
    *,
    data_dir: AnyPath | None,
    image_size: tuple[int, int] | None,
    lazy: bool,
    progress: bool,
) -> Examples:
    """A split of a TFDS data set, which is prepared first where that has not been done."""
    builder = prepare(name, data_dir, progress=progress)
    image, *numbered = _features(builder)
    positions = _positions(builder, split)
    if image_size is not None:
        image_size = _checks.image_size(image_size)
    elif None in image.shape:
        raise ValueError(
            f"images of {name!r} have different sizes; pass image_size=(height, width) to have them resized"
        )
    if lazy:
        images, numbers = _read_lazily(builder, split, image_size, progress)
    else:
        images, numbers = _read(builder, split, image_size, len(positions), progress)
    labels, names = numbers[:, 0], tuple(numbered[0].names)
    metadata = {
        key: _by_class(labels, values, feature.names, len(names))
        for key, feature, values in zip(_numbered(builder)[1:], numbered[1:], numbers[:, 1:].T, strict=True)
    }
    return Examples(images, labels, names, positions, metadata)


def prepare(name: str, data_dir: AnyPath | None = None, *, progress: bool = True) -> Any:
    """Return the builder of a data set that is prepared, after downloading it where it is not."""
    with _quiet_absl():
        builder = _builder(name, data_dir)
        if builder.is_prepared():
            return builder
    _check_writable(builder.data_dir_root)
    _check_reachable(builder, name)
    from tensorflow_datasets.core.utils import tqdm_utils

    bars_were_on = tqdm_utils._active
    tqdm_utils.display_progress_bar(progress and bars_were_on)
    try:
        builder.download_and_prepare()
    finally:
        tqdm_utils.display_progress_bar(bars_were_on)
    if not builder.is_prepared():  # TFDS takes any folder of the right name for a prepared one
        raise OSError(f"{builder.data_path} holds an unfinished copy of {name!r}; delete it and try again")
    return builder


def _builder(name, data_dir):
    _triton.load_apart()  # TensorFlow comes next
    import tensorflow_datasets as tfds

    # TFDS reads the variable when it is imported; in a notebook it may be set later than that.
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    if data_dir is not None and "://" not in str(data_dir):
        data_dir = Path(data_dir).expanduser()
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        known = ["digits", "glyphs", *tfds.list_builders(with_community_datasets=False)]
        close = difflib.get_close_matches(name.split("/")[0].split(":")[0], known)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see tfds.list_builders()"
        raise ValueError(
            f"name must be 'digits', 'glyphs' or a data set of TFDS, got {name!r}; {hint}"
        ) from None


@contextlib.contextmanager
def _quiet_absl():
    """Keep TFDS from warning, in its log, that what is not prepared is not there."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_writable(folder):
    if "://" in str(folder):
        return
    nearest = Path(folder)
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    what_to_do = "pass data_dir or set TFDS_DATA_DIR to a folder that can be written to"
    if not nearest.is_dir():
        raise NotADirectoryError(f"data sets cannot be stored in {folder}: {nearest} is a file; {what_to_do}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f"data sets cannot be stored in {folder}: it is not writable; {what_to_do}")


def _check_reachable(builder, name):
    # Without a network TFDS retries for minutes before it gives up; this is known in seconds.
    url = next((url for url in builder.url_infos or () if url.startswith(("http://", "https://"))), None)
    if url is not None and not _answers(url, PROBE_SECONDS):
        raise ConnectionError(
            f"{name!r} is not prepared in {builder.data_dir_root}, and {url} did not answer. "
            f"Run `python -m simnb.data {name}` on a machine with a network, copy "
            'the folder it names and set TFDS_DATA_DIR; or use simnb.data.load("digits"), which needs none'
        )


def _answers(url, timeout):
    """Whether a site answers, with whatever HTTP status."""
    answered = threading.Event()

    def ask():
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "simnb"})
        try:
            urllib.request.urlopen(request, timeout=timeout).close()
        except urllib.error.HTTPError as error:
            error.close()
        except Exception:
            return
        answered.set()

    # In a thread, because looking up a name can hang for longer than the timeout of the socket.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def _features(builder):
    """The features of the image, of the class and, where there is one that is named, of its group."""
    import tensorflow_datasets as tfds

    features, keys = _all_features(builder), _numbered(builder)
    if not isinstance(features.get("image"), tfds.features.Image) or not all(
        isinstance(features.get(key), tfds.features.ClassLabel) for key in keys
    ):
        there = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items()))
        raise ValueError(
            f"{builder.name!r} must have the features image (Image) and {keys[0]} (ClassLabel), "
            f"it has {there}"
        )
    return [features["image"], *(features[key] for key in keys)]


def _all_features(builder):
    import tensorflow_datasets as tfds

    features = builder.info.features
    return dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {"": features}


def _numbered(builder):
    """The keys of what is read beside images: the class, and its group where that has names."""
    label, group = _CLASSES.get(builder.name, "label"), _GROUPS.get(builder.name)
    names = getattr(_all_features(builder).get(group), "names", None) or []
    # TFDS numbers classes without names: where all that is known is a number, the groups were not recorded.
    return (label,) if names == [str(number) for number in range(len(names))] else (label, group)


def _by_class(labels, values, names, count):
    """The name of the group of each class; None where no example of it was read."""
    groups = np.full(count, None, object)
    groups[labels] = np.array(names, object)[values]
    return groups


def _positions(builder, split):
    """Return the position of each example of a split in the concatenation of all splits."""
    import tensorflow_datasets as tfds

    splits = builder.info.splits
    starts = dict(zip(splits, np.cumsum([0] + [info.num_examples for info in splits.values()]), strict=False))
    ranges = [
        starts[part.splitname] + np.arange(splits[part.splitname].num_examples)[part.from_ : part.to]
        for part in tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
    ]
    positions = np.concatenate(ranges)
    if len(positions) == 0:
        raise ValueError(f"split {split!r} of {builder.name!r} holds no examples")
    if len(np.unique(positions)) < len(positions):
        raise ValueError(f"split {split!r} holds some examples more than once; let its parts not overlap")
    return positions


def _read(builder, split, image_size, count, progress):
    """Return images and numbers, shape [num_examples, 1 or 2]: labels and, where there are any, groups."""
    shape, dtype = _image_shape(builder, image_size), builder.info.features["image"].np_dtype
    images, numbers = np.empty((count, *shape), dtype), np.empty((count, len(_numbered(builder))), np.int64)
    read = 0
    with quiet_stderr():  # until TensorFlow has started all that writes a line when it starts
        batches = _batches(builder, split, image_size, images[:1].nbytes)
        batches = itertools.chain([next(batches)], batches)
    with progress_bar(total=count, desc=f"Reading {builder.name}", unit="image", shown=progress) as bar:
        for image_batch, number_batch in batches:
            rows = slice(read, read + len(number_batch))
            images[rows], numbers[rows] = image_batch, number_batch
            read = rows.stop
            bar.update(len(number_batch))
    return images, numbers


def _batches(builder, split, image_size, image_bytes):
    """Iterate over batches, parsed and decoded whole rather than one by one."""
    import tensorflow as tf

    file_format = builder.info.file_format.value
    if file_format != "tfrecord":
        hint = "; pass lazy=True to read it at random" if file_format == "array_record" else ""
        raise ValueError(
            f"{builder.name!r} must be prepared as tfrecord to be read here, got {file_format}{hint}"
        )
    files = builder.info.splits[split].file_instructions
    skips, takes = np.array([[file.skip, file.take] for file in files], np.int64).T
    dataset = tf.data.Dataset.from_tensor_slices(([str(file.filename) for file in files], skips, takes))
    dataset = dataset.flat_map(lambda file, skip, take: tf.data.TFRecordDataset(file).skip(skip).take(take))
    dataset = dataset.batch(int(np.clip(BATCH_BYTES // image_bytes, 1, 1000)))
    decode = _decoder(builder, image_size)
    return dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()


def _image_shape(builder, image_size):
    """Height, width and channels of the images, resized where ``image_size`` is not None."""
    feature = builder.info.features["image"]
    return (*(image_size or feature.shape[:2]), feature.shape[2])


def _decoder(builder, image_size):
    """``decode(serialized) -> images, numbers``: parses and decodes a batch of records in TensorFlow."""
    import tensorflow as tf

    feature = builder.info.features["image"]
    signature = tf.TensorSpec(_image_shape(builder, image_size), feature.np_dtype)
    columns = {"image": tf.io.FixedLenFeature((), tf.string)}
    keys = _numbered(builder)

    def decode(encoded):
        image = feature.decode_example(encoded)
        if image_size is not None:
            image = tf.image.resize(image, image_size, method="bicubic", antialias=True)
            image = image if signature.dtype.is_floating else tf.round(image)
            image = tf.saturate_cast(image, signature.dtype)
        return tf.ensure_shape(image, signature.shape)

    def decode_batch(serialized):
        images = tf.io.parse_example(serialized, columns)["image"]
        return tf.map_fn(decode, images, fn_output_signature=signature), _numbers_of(serialized, keys)

    return decode_batch


def _read_lazily(builder, split, image_size, progress):
    """Return lazy images of a split and its numbers, which one pass over the records finds out."""
    file_format = builder.info.file_format.value
    kinds = {"tfrecord": _TFRecords, "array_record": _ArrayRecords}
    if file_format not in kinds:
        raise ValueError(
            f"{builder.name!r} must be prepared as tfrecord or array_record to be read lazily, "
            f"got {file_format}"
        )
    with quiet_stderr():  # TensorFlow starts here
        import tensorflow as tf
    records = kinds[file_format](builder, split)
    numbers = []
    with progress_bar(desc=f"Reading labels of {builder.name}", unit="label", shown=progress) as bar:
        for part in records.scan():
            numbers.append(part)
            bar.update(len(part))
    numbers = np.concatenate(numbers)
    decode = tf.function(_decoder(builder, image_size), input_signature=[tf.TensorSpec([None], tf.string)])

    def read(rows):
        return decode(records.at(rows))[0].numpy()

    dtype = builder.info.features["image"].np_dtype
    return LazyImages(read, len(numbers), _image_shape(builder, image_size), dtype), numbers


def _numbers_of(serialized, keys):
    """The integers of a batch of records, shape [batch, num_keys]."""
    import tensorflow as tf

    parsed = tf.io.parse_example(serialized, {key: tf.io.FixedLenFeature((), tf.int64) for key in keys})
    return tf.stack([parsed[key] for key in keys], axis=1)


class _TFRecords:
    """Records in tfrecord files, whose places are noted as ``scan`` goes through them."""

    def __init__(self, builder, split):
        self._keys, self._parts = _numbered(builder), builder.info.splits[split].file_instructions
        self._files = [str(part.filename) for part in self._parts]

    def scan(self):
        """Iterate over numbers, some at a time."""
        import tensorflow as tf

        places = []
        for number, part in enumerate(self._parts):
            records = tf.data.TFRecordDataset(self._files[number])
            records = records.take(part.skip + part.take) if part.take >= 0 else records
            told = records.batch(LABELS_AT_ONCE).map(
                lambda some: (tf.strings.length(some), _numbers_of(some, self._keys)),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            lengths, read = [], 0
            for some, numbers in told.prefetch(2).as_numpy_iterator():
                yield numbers[max(0, part.skip - read) :]
                lengths.append(some.astype(np.int64))
                read += len(some)
            lengths = np.concatenate(lengths)
            starts = np.cumsum(lengths + _BEFORE + _AFTER) - lengths - _AFTER
            places.append(np.stack([np.full_like(starts, number), starts, lengths], axis=1)[part.skip :])
        self._places = np.concatenate(places)

    def at(self, rows):
        """The records at increasing positions, as bytes."""
        records, places = [], self._places[rows]
        for number in np.unique(places[:, 0]):
            name = self._files[number]
            with _open(name) as file:
                for start, length in places[places[:, 0] == number, 1:].tolist():
                    file.seek(start)
                    records.append(file.read(length))
                    if len(records[-1]) < length:
                        raise OSError(f"{name} has become shorter since its labels were read")
        return records


def _open(name):
    if "://" not in name:
        return open(name, "rb")
    import tensorflow as tf

    return tf.io.gfile.GFile(name, "rb")


class _ArrayRecords:
    """Records in array_record files, which have random access."""

    def __init__(self, builder, split):
        import tensorflow_datasets as tfds

        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        self._keys, self._source = _numbered(builder), builder.as_data_source(split, deserialize_method=raw)

    def scan(self):
        """Iterate over numbers, some at a time."""
        for start in range(0, len(self._source), LABELS_AT_ONCE):
            rows = np.arange(start, min(start + LABELS_AT_ONCE, len(self._source)))
            yield _numbers_of(self.at(rows), self._keys).numpy()

    def at(self, rows):
        """The records at some positions, as bytes."""
        return self._source.__getitems__(rows.tolist())
