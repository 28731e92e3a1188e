"""The samplers over ``tf.data`` and over files of records."""

import glob

from simnb.samplers import balance

__all__ = ["TFRecordDatasetSampler", "TFDataSampler"]


def TFRecordDatasetSampler(
    shard_path,
    deserialization_fn,
    example_per_class=2,
    batch_size=32,
    shards_per_cycle=None,
    compression=None,
    parallelism=None,
    async_cycle=False,
    prefetch_size=None,
    shard_suffix="*.tfrec",
    num_repeat=-1,
):
    """Batches from TFRecord files that hold one class each, ``example_per_class`` from a file at a time.

    Args:
        shard_path: Folder of the files.
        deserialization_fn: Makes (x, y) of a record.
        example_per_class: Examples that are taken from a file before the next one's turn.
        batch_size: Examples in a batch.
        shards_per_cycle: Files that take turns; all when left out.
        compression: None, ``GZIP`` or ``ZLIB``.
        parallelism: Calls at a time; TensorFlow chooses when left out.
        async_cycle: Whether files are read side by side, in no fixed order.
        prefetch_size: Batches made ahead; TensorFlow chooses when left out.
        shard_suffix: Pattern of the files.
        num_repeat: Passes over each file, -1 for no end.

    Returns:
        A ``tf.data.Dataset`` of (x, y).

    Raises:
        ValueError: If there is no such file.
    """
    import tensorflow as tf

    pattern = f"{shard_path}/{shard_suffix}"
    shards = sorted(glob.glob(pattern))
    if not shards:
        raise ValueError(f"shard_path must hold files like {shard_suffix}, got none for {pattern}")
    parallelism = parallelism or tf.data.AUTOTUNE
    cycle = min(shards_per_cycle or len(shards), len(shards))
    files = tf.data.Dataset.from_tensor_slices(shards).shuffle(len(shards), seed=0)
    records = files.interleave(
        lambda file: tf.data.TFRecordDataset(file, compression_type=compression or "").repeat(num_repeat),
        cycle_length=cycle,
        block_length=example_per_class,
        num_parallel_calls=parallelism if async_cycle else None,
        deterministic=False if async_cycle else None,
    )
    examples = records.map(deserialization_fn, num_parallel_calls=parallelism)
    return examples.batch(batch_size).prefetch(prefetch_size or tf.data.AUTOTUNE)


def TFDataSampler(
    ds,
    classes_per_batch=2,
    examples_per_class_per_batch=2,
    class_list=None,
    total_examples_per_class=None,
    augmenter=None,
    load_fn=None,
    warmup=0,
    label_output=None,
    *,
    seed=0,
):
    """``simnb.samplers.balance``: balanced batches from a ``tf.data.Dataset`` of single (x, y).

    Args:
        ds: The data set.
        classes_per_batch: Classes in a batch.
        examples_per_class_per_batch: Examples of each.
        class_list: Classes to draw from; all when left out.
        total_examples_per_class: Left out: ``MultiShotMemorySampler`` has it.
        augmenter: ``augmenter(x, y, num_views, is_warmup) -> (x, y)`` of tensors.
        load_fn: ``load_fn(x, *rest)`` on each example.
        warmup: Left out: a data set has no epochs.
        label_output: Left out: make a data set of (x, y).
        seed: Of the order.

    Returns:
        A ``tf.data.Dataset`` of (x, y), without end.

    Raises:
        ValueError: If an argument that was left out is given.
    """
    import tensorflow as tf

    if total_examples_per_class is not None:
        raise ValueError("TFDataSampler has no total_examples_per_class: MultiShotMemorySampler does")
    if warmup > 0:
        raise ValueError("TFDataSampler has no warmup: a data set has no epochs; see MultiShotMemorySampler")
    if label_output is not None:
        raise ValueError("TFDataSampler has no label_output: map the data set to (x, y)")
    if class_list is not None:
        wanted = tf.constant(sorted({int(label) for label in class_list}), tf.int64)
        ds = ds.filter(lambda x, y: tf.reduce_any(tf.cast(y, tf.int64) == wanted))
    if load_fn is not None:
        ds = ds.map(lambda x, y: (load_fn(x), y), num_parallel_calls=tf.data.AUTOTUNE)
    ds = balance(
        ds, classes_per_batch=classes_per_batch, examples_per_class=examples_per_class_per_batch, seed=seed
    )
    if augmenter is not None:
        ds = ds.map(
            lambda x, y: getattr(augmenter, "augment", augmenter)(x, y, examples_per_class_per_batch, False)
        )
    return ds.prefetch(tf.data.AUTOTUNE)
