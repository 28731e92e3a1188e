"""Image data sets of TensorFlow Datasets, prepared where they are missing and read into arrays."""

import contextlib
import difflib
import itertools
import logging
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from simnb import _checks
from simnb._terminal import progress_bar, quiet_stderr
from simnb.data import records
from simnb.data.examples import Examples

#: Seconds within which a data set's site must answer before anything is downloaded from it.
PROBE_SECONDS = 5.0
# A few megabytes at a time: beside the array itself, next to nothing is held.
BATCH_BYTES = 4_000_000


def load_tfds(name, split, *, data_dir, image_size, lazy, progress):
    """Return a split of a TFDS data set, preparing it first where that has not been done."""
    builder = prepare(name, data_dir, progress=progress)
    image, label = _features(builder)
    positions = _positions(builder, split)
    if image_size is not None:
        image_size = _checks.image_size(image_size)
    elif None in image.shape:
        raise ValueError(
            f"images of {name!r} have different sizes; pass image_size=(height, width) to have them resized"
        )
    if lazy:
        images, labels = records.read_lazily(builder, split, image_size, progress)
    else:
        images, labels = _read(builder, split, image_size, len(positions), progress)
    return Examples(images, labels, tuple(label.names), positions)


def prepare(name, data_dir=None, *, progress=True):
    """Return the builder of a data set that is prepared, after downloading it where it is not.

    Raises:
        ValueError: If TFDS has no such data set.
        OSError: If the folder cannot be written to; a ConnectionError if the data set's site does not
            answer.
    """
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
    import tensorflow_datasets as tfds

    # TFDS reads the variable when it is imported; in a notebook it may be set later than that.
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    if data_dir is not None and "://" not in str(data_dir):
        data_dir = Path(data_dir).expanduser()
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        known = ["digits", *tfds.list_builders(with_community_datasets=False)]
        close = difflib.get_close_matches(name.split("/")[0].split(":")[0], known)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see tfds.list_builders()"
        raise ValueError(f"name must be 'digits' or a data set of TFDS, got {name!r}; {hint}") from None


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
    import tensorflow_datasets as tfds

    features = builder.info.features
    features = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {"": features}
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        there = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items()))
        raise ValueError(
            f"{builder.name!r} must have the features image (Image) and label (ClassLabel), it has {there}"
        )
    return image, label


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
    """Return images and labels."""
    shape, dtype = records.image_shape(builder, image_size), builder.info.features["image"].np_dtype
    images, labels = np.empty((count, *shape), dtype), np.empty(count, np.int64)
    read = 0
    with quiet_stderr():  # until TensorFlow has started all that writes a line when it starts
        batches = _batches(builder, split, image_size, images[:1].nbytes)
        batches = itertools.chain([next(batches)], batches)
    bar = progress_bar(total=count, desc=f"Reading {builder.name}", unit="image", shown=progress)
    with bar:
        for image_batch, label_batch in batches:
            rows = slice(read, read + len(label_batch))
            images[rows], labels[rows] = image_batch, label_batch
            read = rows.stop
            bar.update(len(label_batch))
    return images, labels


def _batches(builder, split, image_size, image_bytes):
    """Iterate over batches, parsed and decoded whole rather than one by one.

    Args:
        builder: Builder of a data set that is prepared.
        split: A split expression.
        image_size: (height, width), or None to leave images as they are.
        image_bytes: Bytes of one image.
    """
    import tensorflow as tf

    file_format = builder.info.file_format.value
    if file_format != "tfrecord":
        hint = "; pass lazy=True to read it at random" if file_format == "array_record" else ""
        raise ValueError(
            f"{builder.name!r} must be prepared as tfrecord to be read here, got {file_format}{hint}"
        )
    files = builder.info.splits[split].file_instructions
    parts = (
        [str(file.filename) for file in files],
        np.array([file.skip for file in files], np.int64),
        np.array([file.take for file in files], np.int64),
    )
    dataset = tf.data.Dataset.from_tensor_slices(parts)
    dataset = dataset.flat_map(lambda file, skip, take: tf.data.TFRecordDataset(file).skip(skip).take(take))
    dataset = dataset.batch(int(np.clip(BATCH_BYTES // image_bytes, 1, 1000)))
    decode = records.decoder(builder, image_size)
    return dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2).as_numpy_iterator()


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
