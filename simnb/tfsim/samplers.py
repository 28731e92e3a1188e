"""Samplers by their old names, over ``simnb.samplers``."""

import contextlib
import warnings

import numpy as np

from simnb import _checks, data
from simnb.samplers import BalancedBatches
from simnb.samplers._batches import Batches, Decks
from simnb.tfsim._left_out import missing
from simnb.tfsim._streams import TFDataSampler, TFRecordDatasetSampler

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


def select_examples(x, y, class_list=None, num_examples_per_class=None, *, seed=0):
    """Draw at most so many examples of each class.

    Args:
        x: Examples, shape [num_examples, ...].
        y: Integer class of each, shape [num_examples].
        class_list: Classes to keep; all when left out.
        num_examples_per_class: How many of each at most; all when left out.
        seed: Of the draw.

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


class _Sampler:
    """What all of them have: a slice of the data, batches by number, an augmenter that knows of warm-up."""

    def _say(self, classes, examples, views=0):
        print(
            f"The initial batch size is {classes * examples} ({classes} classes * {examples} examples per "
            f"class) with {views} augmentations"
        )

    def _warm_up(self, augmenter, warmup):
        self.augmenter, self.warmup = augmenter, warmup
        self.num_augmentations_per_example = 1
        self.is_warmup = warmup > 0

    def __getitem__(self, batch_id):
        """Batch ``batch_id`` of the epoch, x and y, augmented."""
        x, y = super().__getitem__(batch_id)
        return self._augmented(x, y)

    def _augmented(self, x, y):
        if self.augmenter is None:
            return x, y
        augment = getattr(self.augmenter, "augment", self.augmenter)
        return augment(x, y, self.num_augmentations_per_example, self.is_warmup)

    def generate_batch(self, batch_id):
        """Batch ``batch_id`` of the epoch, x and y, augmented; after the last comes the first again."""
        return self._augmented(*self.batch(batch_id % len(self)))

    def on_epoch_end(self):
        """Go on to the next epoch, and end the warm-up where it is over."""
        super().on_epoch_end()
        if self.is_warmup and self.epoch >= self.warmup:
            self.is_warmup = False

    @property
    def steps_per_epoch(self):
        """Batches in an epoch."""
        return len(self)

    @property
    def num_examples(self):
        """How many examples are drawn from."""
        return len(self._images)

    @property
    def example_shape(self):
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
    """``simnb.samplers.BalancedBatches``: so many examples of so many classes in every batch.

    Args:
        x: Examples, shape [num_examples, ...].
        y: Integer class of each, shape [num_examples].
        load_example_fn: Called with an element of x when it is needed; returns the example.
        classes_per_batch: Classes in a batch.
        examples_per_class_per_batch: Examples of each.
        steps_per_epoch: Batches in an epoch.
        class_list: Classes to draw from; all when left out.
        total_examples_per_class: Examples of each class that are used at all; all when left out.
        augmenter: ``augmenter(x, y, num_views, is_warmup) -> (x, y)``, or an object with such an ``augment``.
        warmup: Epochs for which ``is_warmup`` is true; 0 or below for none.
        seed: Of everything random here.

    Raises:
        ValueError: If lengths differ or there are fewer classes than ``classes_per_batch``.

    Warns:
        UserWarning: If a class has fewer than ``examples_per_class_per_batch`` examples, which then repeat.
    """

    def __init__(
        self,
        x,
        y,
        load_example_fn=None,
        classes_per_batch=2,
        examples_per_class_per_batch=2,
        steps_per_epoch=1000,
        class_list=None,
        total_examples_per_class=None,
        augmenter=None,
        warmup=0,
        *,
        seed=0,
    ):
        """Choose the examples, in random order."""
        x, y = select_examples(x, y, class_list or None, total_examples_per_class, seed=seed)
        self._warm_up(augmenter, warmup)
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

    def get_slice(self, begin=0, size=-1):
        """Examples and labels as arrays, ``size`` of them from ``begin``; with -1 to the end."""
        positions = self._positions(begin, size)
        return np.asarray(self._images[positions]), self._labels[positions]


class SingleShotMemorySampler(_Sampler, Batches):
    """Every example is a class of its own, and the augmenter makes its views.

    Args:
        x: Examples, shape [num_examples, ...].
        augmenter: ``augmenter(x, y, num_views, is_warmup) -> (x, y)``, or an object with such an ``augment``.
        examples_per_batch: Examples in a batch, before they are augmented.
        num_augmentations_per_example: Views of each.
        steps_per_epoch: Batches in an epoch.
        warmup: Epochs for which ``is_warmup`` is true; 0 or below for none.
        seed: Of the order.

    Raises:
        ValueError: If there are fewer examples than ``examples_per_batch``.
    """

    def __init__(
        self,
        x,
        augmenter,
        examples_per_batch,
        num_augmentations_per_example=2,
        steps_per_epoch=1000,
        warmup=0,
        *,
        seed=0,
    ):
        """Shuffle the positions."""
        super().__init__(_array(x), augment=None, prefetch=2, seed=seed)
        self._warm_up(augmenter, warmup)
        self.num_augmentations_per_example = num_augmentations_per_example
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

    def get_slice(self, begin=0, size=-1):
        """Views and labels, of ``size`` examples from ``begin``; with -1 up to the last, included."""
        positions = self._positions(begin, size)
        return self._augmented(self._images[positions], positions)


def load_image(path, target_size=None):
    """Read an image file: shape [height, width, 3] float32, 0 to 1.

    Args:
        path: Name of the file.
        target_size: (height, width) to resize to.
    """
    return data.read_image(path, image_size=target_size).astype(np.float32) / 255


class MultiShotFileSampler(MultiShotMemorySampler):
    """``MultiShotMemorySampler`` over names of files, read when they are needed.

    Args:
        x: Names of files, shape [num_examples].
        y: Integer class of each.
        load_example_fn: Reads one; ``load_image`` unless given. All must come out in one shape.
        **options: As of ``MultiShotMemorySampler``.
    """

    def __init__(self, x, y, load_example_fn=load_image, *args, **options):
        """Choose the files; none is read yet."""
        super().__init__(np.asarray([str(path) for path in x], object), y, load_example_fn, *args, **options)


class TFDatasetMultiShotMemorySampler(MultiShotMemorySampler):
    """``MultiShotMemorySampler`` over a data set by name: ``digits``, or any of TensorFlow Datasets.

    Args:
        dataset_name: Such as ``cifar10``.
        classes_per_batch: Classes in a batch.
        x_key: Of the examples.
        y_key: Of the labels.
        splits: One or several.
        examples_per_class_per_batch: Examples of each class.
        steps_per_epoch: Batches in an epoch.
        class_list: Classes to draw from; all when left out.
        total_examples_per_class: Examples of each class that are used at all; all when left out.
        preprocess_fn: ``preprocess_fn(x, y) -> (x, y)`` for one example, such as a resize.
        augmenter: As of ``MultiShotMemorySampler``.
        warmup: As of ``MultiShotMemorySampler``.
        seed: Of everything random here.

    Raises:
        ValueError: As ``simnb.data.load``, or if a key is not there.
    """

    def __init__(
        self,
        dataset_name,
        classes_per_batch,
        x_key="image",
        y_key="label",
        splits=("train", "test"),
        examples_per_class_per_batch=2,
        steps_per_epoch=1000,
        class_list=None,
        total_examples_per_class=None,
        preprocess_fn=None,
        augmenter=None,
        warmup=0,
        *,
        seed=0,
    ):
        """Read the data set."""
        splits = [splits] if isinstance(splits, str) else splits
        parts = [_read(dataset_name, split, x_key, y_key) for split in splits]
        x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
        if preprocess_fn is not None:
            done = [preprocess_fn(*example) for example in zip(x, y, strict=True)]
            x, y = (_array(list(column)) for column in zip(*done, strict=True))
        super().__init__(
            x,
            y,
            classes_per_batch=classes_per_batch,
            examples_per_class_per_batch=examples_per_class_per_batch,
            steps_per_epoch=steps_per_epoch,
            class_list=class_list,
            total_examples_per_class=total_examples_per_class,
            augmenter=augmenter,
            warmup=warmup,
            seed=seed,
        )


def _read(dataset_name, split, x_key, y_key):
    if (x_key, y_key) == ("image", "label"):
        examples = data.load(dataset_name, split=split)
    else:
        import tensorflow_datasets as tfds

        with contextlib.ExitStack() as stack:
            stack.callback(tfds.disable_progress_bar)
            source = tfds.load(dataset_name, split=split)
        examples = data.from_source(source, image_key=x_key, label_key=y_key)
    return examples.images, examples.labels
