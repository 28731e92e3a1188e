"""Records of TFDS: how a batch of them is decoded, and how one is found again."""

import numpy as np

from simnb._terminal import progress_bar, quiet_stderr
from simnb.data.lazy import LazyImages

# Records read at a time where only their labels are wanted.
LABELS_AT_ONCE = 1000
# A TFRecord: length (8 bytes) and its checksum (4), then the record, then its checksum (4).
_BEFORE, _AFTER = 12, 4


def image_shape(builder, image_size):
    """Height, width and channels of the images, resized where ``image_size`` is not None."""
    feature = builder.info.features["image"]
    return (*(image_size or feature.shape[:2]), feature.shape[2])


def decoder(builder, image_size):
    """``decode(serialized) -> images, labels``, which parses and decodes a batch of records in TensorFlow."""
    import tensorflow as tf

    feature = builder.info.features["image"]
    signature = tf.TensorSpec(image_shape(builder, image_size), feature.np_dtype)
    columns = {"image": tf.io.FixedLenFeature((), tf.string), "label": tf.io.FixedLenFeature((), tf.int64)}

    def decode(encoded):
        image = feature.decode_example(encoded)
        if image_size is not None:
            image = tf.image.resize(image, image_size, method="bicubic", antialias=True)
            image = image if signature.dtype.is_floating else tf.round(image)
            image = tf.saturate_cast(image, signature.dtype)
        return tf.ensure_shape(image, signature.shape)

    def decode_batch(serialized):
        parsed = tf.io.parse_example(serialized, columns)
        return tf.map_fn(decode, parsed["image"], fn_output_signature=signature), parsed["label"]

    return decode_batch


def read_lazily(builder, split, image_size, progress):
    """Return lazy images of a split and its labels, which one pass over the records finds out."""
    file_format = builder.info.file_format.value
    kinds = {"tfrecord": _TFRecords, "array_record": _ArrayRecords}
    if file_format not in kinds:
        raise ValueError(
            f"{builder.name!r} must be prepared as tfrecord or array_record to be read lazily, "
            f"got {file_format}"
        )
    with quiet_stderr():
        import tensorflow  # noqa: F401  starts here, where its log is kept from the terminal
    records = kinds[file_format](builder, split)
    labels = []
    bar = progress_bar(desc=f"Reading labels of {builder.name}", unit="label", shown=progress)
    with bar:
        for part in records.scan():
            labels.append(part)
            bar.update(len(part))
    labels = np.concatenate(labels)
    feature = builder.info.features["image"]
    read = _Images(records, decoder(builder, image_size))
    return LazyImages(read, len(labels), image_shape(builder, image_size), feature.np_dtype), labels


class _Images:
    """Reads images by the positions of their records."""

    def __init__(self, records, decode):
        import tensorflow as tf

        self._records = records
        self._decode = tf.function(decode, input_signature=[tf.TensorSpec([None], tf.string)])

    def __call__(self, rows):
        return self._decode(self._records.at(rows))[0].numpy()


def _label_of(serialized):
    import tensorflow as tf

    return tf.io.parse_example(serialized, {"label": tf.io.FixedLenFeature((), tf.int64)})["label"]


class _TFRecords:
    """Records in tfrecord files, whose places are noted as ``scan`` goes through them."""

    def __init__(self, builder, split):
        self._parts = builder.info.splits[split].file_instructions
        self._files = [str(part.filename) for part in self._parts]

    def scan(self):
        """Iterate over labels, some at a time."""
        places = []
        for number, part in enumerate(self._parts):
            end = 0
            skipped = part.skip
            for lengths, labels in self._read(part):
                ends = end + np.cumsum(lengths + _BEFORE + _AFTER)
                end = ends[-1]
                starts = ends - lengths - _AFTER
                places.append(np.stack([np.full(len(starts), number), starts, lengths], axis=1)[skipped:])
                yield labels[skipped:]
                skipped = max(0, skipped - len(labels))
        self._places = np.concatenate(places)

    def _read(self, part):
        """Lengths and labels of the records of a file, up to the last one wanted."""
        import tensorflow as tf

        dataset = tf.data.TFRecordDataset(str(part.filename))
        dataset = dataset.take(part.skip + part.take) if part.take >= 0 else dataset
        dataset = dataset.batch(LABELS_AT_ONCE).map(
            lambda records: (tf.strings.length(records), _label_of(records)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        for lengths, labels in dataset.prefetch(2).as_numpy_iterator():
            yield lengths.astype(np.int64), labels

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
        self._source = builder.as_data_source(split, deserialize_method=raw)

    def scan(self):
        """Iterate over labels, some at a time."""
        for start in range(0, len(self._source), LABELS_AT_ONCE):
            rows = np.arange(start, min(start + LABELS_AT_ONCE, len(self._source)))
            yield _label_of(self.at(rows)).numpy()

    def at(self, rows):
        """The records at some positions, as bytes."""
        return self._source.__getitems__(rows.tolist())
