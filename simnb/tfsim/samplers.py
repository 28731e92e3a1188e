"""Samplers by their old names, over ``simnb.samplers``."""

import glob
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simnb import _checks, data
from simnb._types import AnyPath, Tensor
from simnb.samplers import BalancedBatches, balance
from simnb.samplers._batches import Batches, Decks
from simnb.tfsim._left_out import missing

__all__ = [
    "MultiShotMemorySampler",
    "SingleShotMemorySampler",
    "MultiShotFileSampler",
    "TFDatasetMultiShotMemorySampler",
    "TFRecordDatasetSampler",
    "TFDataSampler",
    "select_examples",
    "load_image",
]

__getattr__ = missing(__name__)

#: ``augmenter(x, y, num_views, is_warmup)``, or an object whose ``augment`` takes these.
Augment: TypeAlias = Any


def select_examples(
    x: Any,
    y: Any,
    class_list: Iterable[int] | None = None,
    num_examples_per_class: int | None = None,
    *,
    seed: int = 0,
) -> tuple[NDArray, NDArray[np.int64]]:
    """Draw a limited number of examples of each class.

    Args:
        x: Examples, shape [num_examples, ...].
        y: Integer class of each, shape [num_examples].
        class_list: Classes to keep; None for all.
        num_examples_per_class: The most examples to keep of each class; None for all.
        seed: Seed of the draw.

    Returns:
        x and y of the examples drawn, in random order, as arrays.

    Raises:
        ValueError: If lengths differ.
    """
    x, y = _array(x), _checks.labels(_array(y), count=len(x), of="x")
    order = np.random.default_rng(_checks.seed(seed)).permutation(len(y))
    if class_list is not None:
        order = order[np.isin(y[order], [int(label) for label in class_list])]
    if num_examples_per_class is not None:
        limit = _checks.positive_int(num_examples_per_class, name="num_examples_per_class")
        kept = [order[y[order] == label][:limit] for label in np.unique(y[order])]
        order = order[np.isin(order, np.concatenate([*kept, []]))]
    return x[order], y[order]


def _array(values):
    """Arrays, tensors or lists of tensors as one array."""
    if hasattr(values, "numpy"):
        return values.numpy()
    if isinstance(values, list | tuple) and values and hasattr(values[0], "numpy"):
        return np.stack([value.numpy() for value in values])
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            "x must be an array of examples of one shape, got examples of several; resize them, or pass "
            "what load_example_fn loads and resizes, such as their paths"
        ) from error


def _function(augmenter):
    return getattr(augmenter, "augment", augmenter)


class _Sampler(Batches):
    """What all samplers have: a slice of the data, batches by number, an augmenter that knows of warm-up."""

    def _augment_with(self, augmenter, warmup, views=1):
        self.augmenter, self.warmup, self.is_warmup = augmenter, warmup, warmup > 0
        self.num_augmentations_per_example = views

    def _say(self, classes, examples, views=0):
        print(
            f"The initial batch size is {classes * examples} ({classes} classes * {examples} examples per "
            f"class) with {views} augmentations"
        )

    def __getitem__(self, batch_id: int) -> Any:
        """Batch ``batch_id`` of the epoch, x and y, augmented."""
        return self._augmented(*super().__getitem__(batch_id))

    def _augmented(self, x, y):
        if self.augmenter is None:
            return x, y
        return _function(self.augmenter)(x, y, self.num_augmentations_per_example, self.is_warmup)

    def generate_batch(self, batch_id: int) -> Any:
        """Batch ``batch_id`` of the epoch, x and y, augmented; after the last comes the first again."""
        return self._augmented(*self.batch(batch_id % len(self)))

    def on_epoch_end(self) -> None:
        """Go on to the next epoch, and end the warm-up where it is over."""
        super().on_epoch_end()
        if self.is_warmup and self.epoch >= self.warmup:
            self.is_warmup = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self)

    @property
    def num_examples(self) -> int:
        """How many examples are drawn from."""
        return len(self._images)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of an example."""
        return np.asarray(self._images[np.arange(1)]).shape[1:]

    def _positions(self, begin, size):
        begin = range(self.num_examples)[begin:].start
        return np.arange(begin, self.num_examples if size < 0 else min(begin + size, self.num_examples))


class _Loaded:
    """Examples that are read by a function when they are asked for."""

    def __init__(self, x, load_example_fn):
        self._x, self._load = x, load_example_fn

    def __len__(self):
        return len(self._x)

    def __getitem__(self, positions):
        return np.stack([_array(self._load(example)) for example in self._x[positions]])


class MultiShotMemorySampler(_Sampler, BalancedBatches):
    """``simnb.samplers.BalancedBatches``: in every batch as many examples of as many classes.

    Args:
        x: Examples, shape [num_examples, ...].
        y: Integer class of each, shape [num_examples].
        load_example_fn: Called with an element of x when it is needed; returns the example.
        classes_per_batch: Classes in a batch.
        examples_per_class_per_batch: Examples of each class in a batch.
        steps_per_epoch: Batches in an epoch.
        class_list: Classes to draw from; None for all.
        total_examples_per_class: The most examples of each class that are used at all; None for all.
        augmenter: ``augmenter(x, y, num_views, is_warmup) -> (x, y)``, or an object with such an ``augment``.
        warmup: Epochs for which ``is_warmup`` is true; 0 or below for none.
        seed: Seed of all that is random here.

    Raises:
        ValueError: If lengths differ or there are fewer classes than ``classes_per_batch``.

    Warns:
        UserWarning: If a class has fewer than ``examples_per_class_per_batch`` examples, which then repeat.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        load_example_fn: Callable[[Any], Any] | None = None,
        classes_per_batch: int = 2,
        examples_per_class_per_batch: int = 2,
        steps_per_epoch: int = 1000,
        class_list: Iterable[int] | None = None,
        total_examples_per_class: int | None = None,
        augmenter: Augment | None = None,
        warmup: int = 0,
        *,
        seed: int = 0,
    ) -> None:
        wanted = None if class_list is None else list(class_list) or None
        x, y = select_examples(x, y, wanted, total_examples_per_class, seed=seed)
        self._augment_with(augmenter, warmup)
        super().__init__(
            x if load_example_fn is None else _Loaded(x, load_example_fn),
            y,
            classes_per_batch=classes_per_batch,
            examples_per_class=examples_per_class_per_batch,
            steps_per_epoch=steps_per_epoch,
            small_classes="repeat",
            seed=seed,
        )
        self.class_list = self.classes.tolist()
        self.examples_per_class_per_batch = examples_per_class_per_batch
        sizes = np.bincount(np.searchsorted(self.classes, y))
        if sizes.min() < examples_per_class_per_batch:
            warnings.warn(
                f"class {self.class_list[sizes.argmin()]} has {sizes.min()} examples, fewer than "
                f"examples_per_class_per_batch={examples_per_class_per_batch}: they repeat within a batch",
                stacklevel=2,
            )
        self._say(classes_per_batch, examples_per_class_per_batch)

    def get_slice(self, begin: int = 0, size: int = -1) -> tuple[NDArray, NDArray[np.int64]]:
        """Examples and labels as arrays, ``size`` of them from ``begin``; with -1 to the end."""
        positions = self._positions(begin, size)
        return np.asarray(self._images[positions]), self._labels[positions]


class SingleShotMemorySampler(_Sampler):
    """Every example is a class of its own, and the augmenter makes its views.

    Args:
        x: Examples, shape [num_examples, ...].
        augmenter: This, ``steps_per_epoch``, ``warmup`` and ``seed`` are as in ``MultiShotMemorySampler``.
        examples_per_batch: Examples in a batch, before they are augmented.
        num_augmentations_per_example: Views of each example.

    Raises:
        ValueError: If there are fewer examples than ``examples_per_batch``.
    """

    def __init__(
        self,
        x: Any,
        augmenter: Augment,
        examples_per_batch: int,
        num_augmentations_per_example: int = 2,
        steps_per_epoch: int = 1000,
        warmup: int = 0,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__(_array(x), augment=None, prefetch=2, seed=seed)
        self._augment_with(augmenter, warmup, num_augmentations_per_example)
        count = len(_checks.not_empty(self._images, name="x"))
        if _checks.positive_int(examples_per_batch, name="examples_per_batch") > count:
            raise ValueError(f"examples_per_batch must be at most {count}, got {examples_per_batch}")
        self._shuffle()
        self._plan_for(examples_per_batch, count, steps_per_epoch)
        self._say(examples_per_batch, 1, num_augmentations_per_example)

    def _shuffle(self):
        self._rng = np.random.default_rng(self._seed)
        self._deck = Decks(self._rng.permutation(len(self._images)), [len(self._images)])

    def _deal(self):
        return self._deck.deal(0, self.batch_size, self._rng)

    def _make(self, epoch, i, positions):
        return np.asarray(self._images[positions]), positions

    def get_slice(self, begin: int = 0, size: int = -1) -> Any:
        """Views and labels of ``size`` examples from ``begin``; with -1 to the end."""
        positions = self._positions(begin, size)
        return self._augmented(self._images[positions], positions)


def load_image(path: AnyPath, target_size: tuple[int, int] | None = None) -> NDArray[np.floating]:
    """Read an image file: shape [height, width, 3] float32, 0 to 1.

    Args:
        path: Name of the file.
        target_size: (height, width) to resize to; None for the size of the file.
    """
    return data.read_image(path, image_size=target_size).astype(np.float32) / 255


class MultiShotFileSampler(MultiShotMemorySampler):
    """``MultiShotMemorySampler`` over names of files, read when they are needed.

    Args:
        x: Names of files, shape [num_examples].
        y: Integer class of each.
        load_example_fn: Reads one file. All must come out in one shape.
        *args: What ``MultiShotMemorySampler`` takes after it.
        **options: The same, by name.
    """

    def __init__(
        self,
        x: Iterable[AnyPath],
        y: Any,
        load_example_fn: Callable[..., Any] = load_image,
        *args: Any,
        **options: Any,
    ) -> None:
        super().__init__(np.asarray([str(path) for path in x], object), y, load_example_fn, *args, **options)


class TFDatasetMultiShotMemorySampler(MultiShotMemorySampler):
    """``MultiShotMemorySampler`` over a data set by name: ``digits``, or any of TensorFlow Datasets.

    Args:
        dataset_name: Such as ``cifar10``.
        classes_per_batch: This and what is not named below are as in ``MultiShotMemorySampler``.
        x_key: Key of the examples in the data set.
        y_key: Key of the labels in the data set.
        splits: Name of the split to read, or of several.
        preprocess_fn: ``preprocess_fn(x, y) -> (x, y)`` for one example, such as a resize.

    Raises:
        ValueError: As ``simnb.data.load``, or if a key is not there.
    """

    def __init__(
        self,
        dataset_name: str,
        classes_per_batch: int,
        x_key: str = "image",
        y_key: str = "label",
        splits: str | Sequence[str] = ("train", "test"),
        examples_per_class_per_batch: int = 2,
        steps_per_epoch: int = 1000,
        class_list: Iterable[int] | None = None,
        total_examples_per_class: int | None = None,
        preprocess_fn: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        augmenter: Augment | None = None,
        warmup: int = 0,
        *,
        seed: int = 0,
    ) -> None:
        splits = [splits] if isinstance(splits, str) else splits
        parts = [_read(dataset_name, split, x_key, y_key) for split in splits]
        x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
        if preprocess_fn is not None:
            done = [preprocess_fn(*example) for example in zip(x, y, strict=True)]
            x, y = (_array(list(column)) for column in zip(*done, strict=True))
        shape = classes_per_batch, examples_per_class_per_batch, steps_per_epoch
        kept = class_list, total_examples_per_class
        super().__init__(x, y, None, *shape, *kept, augmenter, warmup, seed=seed)


def _read(dataset_name, split, x_key, y_key):
    if (x_key, y_key) == ("image", "label"):
        examples = data.load(dataset_name, split=split)
    else:
        import tensorflow_datasets as tfds

        source = tfds.load(dataset_name, split=split)
        examples = data.from_source(source, image_key=x_key, label_key=y_key)
    return examples.images, examples.labels


def TFRecordDatasetSampler(
    shard_path: AnyPath,
    deserialization_fn: Callable[[Tensor], tuple[Tensor, Tensor]],
    example_per_class: int = 2,
    batch_size: int = 32,
    shards_per_cycle: int | None = None,
    compression: str | None = None,
    parallelism: int | None = None,
    async_cycle: bool = False,
    prefetch_size: int | None = None,
    shard_suffix: str = "*.tfrec",
    num_repeat: int = -1,
) -> Any:
    """Batches from TFRecord files that hold one class each, ``example_per_class`` from a file at a time.

    Args:
        shard_path: Folder in which the files lie.
        deserialization_fn: Makes (x, y) of a record.
        example_per_class: Examples that are taken from a file before the next one's turn.
        batch_size: Examples in a batch.
        shards_per_cycle: Files that take turns; None for all.
        compression: None, ``GZIP`` or ``ZLIB``.
        parallelism: Calls at a time; TensorFlow chooses for None.
        async_cycle: Whether files are read side by side, in no fixed order.
        prefetch_size: Batches made ahead; TensorFlow chooses for None.
        shard_suffix: Pattern of the names of the files.
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
    ds: Any,
    classes_per_batch: int = 2,
    examples_per_class_per_batch: int = 2,
    class_list: Iterable[int] | None = None,
    total_examples_per_class: None = None,
    augmenter: Augment | None = None,
    load_fn: Callable[[Tensor], Tensor] | None = None,
    warmup: int = 0,
    label_output: None = None,
    *,
    seed: int = 0,
) -> Any:
    """``simnb.samplers.balance``: balanced batches from a ``tf.data.Dataset`` of single (x, y).

    Args:
        ds: A ``tf.data.Dataset`` of single (x, y).
        classes_per_batch: Classes in a batch.
        examples_per_class_per_batch: Examples of each class in a batch.
        class_list: Classes to draw from; None for all.
        total_examples_per_class: Must stay None, as must ``label_output``, and ``warmup`` 0.
        augmenter: ``augmenter(x, y, num_views, is_warmup) -> (x, y)`` of tensors.
        load_fn: ``load_fn(x) -> x`` on each example.
        seed: Seed of the random order.

    Returns:
        A ``tf.data.Dataset`` of (x, y), without end.

    Raises:
        ValueError: If one of those that must stay as they are is given.
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
        augment = _function(augmenter)
        ds = ds.map(lambda x, y: augment(x, y, examples_per_class_per_batch, False))
    return ds.prefetch(tf.data.AUTOTUNE)
