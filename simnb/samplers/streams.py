"""Balanced batches out of a stream of examples."""

import itertools
from typing import Any

import numpy as np

from simnb import _checks

# After so many times the buffer's size without a batch, none is to be expected: an endless stream must not
# be read for ever.
_MOST_LEFT_OUT = 100


def balance(
    dataset: Any, *, classes_per_batch: int, examples_per_class: int, buffer_size: int = 1000, seed: int = 0
) -> Any:
    """Balanced batches out of a ``tf.data.Dataset``, read once from front to back in each pass.

    Up to ``buffer_size`` examples are held, as by ``Dataset.shuffle``. Whenever it is full, classes are
    drawn at random among those with enough examples, and examples at random among theirs. Every batch is
    exact. No example comes twice in a pass, but not every one comes: where a class is more frequent than
    others, some of its examples are left out, and so are those left over in the end. ``BalancedBatches``
    uses all, and needs random access for it.

    Args:
        dataset: A ``tf.data.Dataset`` of (image, label), one example at a time, labels being integers of
            0 or above and images all of one shape. Examples that follow one another should not be of one
            class: where files are sorted, read them interleaved.
        classes_per_batch: C, how many classes a batch holds.
        examples_per_class: K, how many examples of each.
        buffer_size: Examples that are held, C * K or more. The more classes there are, the more it takes
            until C of them have K examples.
        seed: The same seed gives the same batches, and other ones in each pass.

    Returns:
        A ``tf.data.Dataset`` of images [C * K, ...], class by class, and labels [C * K] int64, made ahead.
        Its examples go through a Python generator, one by one. How many batches a pass gives is not known
        before it ends: ``fit`` says so once, unless it is given ``batches.repeat()`` and ``steps_per_epoch``.

    Raises:
        ValueError: If an argument is out of range or the data set has other elements. When a whole pass
            gives no batch, TensorFlow raises its own error around the ``ValueError`` that says so.

    Example:
        >>> import tensorflow as tf
        >>> from simnb.samplers import balance
        >>> examples = tf.data.Dataset.range(40).map(lambda i: (tf.fill((8, 8, 1), i), i % 4))
        >>> batches = balance(examples, classes_per_batch=2, examples_per_class=3, buffer_size=20)
        >>> batches.element_spec[0].shape
        TensorShape([6, 8, 8, 1])
    """
    import tensorflow as tf

    C = _checks.positive_int(classes_per_batch, name="classes_per_batch")
    K = _checks.positive_int(examples_per_class, name="examples_per_class")
    buffer_size = _checks.positive_int(buffer_size, name="buffer_size")
    if buffer_size < C * K:
        raise ValueError(f"buffer_size must be at least a batch, {C} x {K}, got {buffer_size}")
    seed = _checks.seed(seed)
    image = _image_spec(dataset)
    passes = itertools.count()

    def one_pass():
        rng = np.random.default_rng([seed, next(passes)])
        yield from balanced_batches(dataset.as_numpy_iterator(), C, K, buffer_size, rng)

    signature = (tf.TensorSpec([C * K, *image.shape], image.dtype), tf.TensorSpec([C * K], tf.int64))
    return tf.data.Dataset.from_generator(one_pass, output_signature=signature).prefetch(tf.data.AUTOTUNE)


def balanced_batches(examples, classes_per_batch, examples_per_class, buffer_size, rng):
    """Yield images [C * K, ...] and labels [C * K] out of an iterable of (image, label)."""
    held, left_out, found = _Held(examples_per_class, rng), 0, False
    for image, label in examples:
        held.add(image, np.reshape(label, ()))
        if held.count < buffer_size:
            continue
        if len(held.ready()) >= classes_per_batch:
            yield held.batch(classes_per_batch)
            left_out, found = 0, True
            continue
        held.leave_one_out()
        left_out += 1
        if left_out == _MOST_LEFT_OUT * buffer_size:
            found = False
            break
    while len(held.ready()) >= classes_per_batch:
        yield held.batch(classes_per_batch)
        found = True
    if not found:
        raise ValueError(
            f"dataset must bring {examples_per_class} examples of each of {classes_per_batch} classes into "
            f"the buffer, but with buffer_size={buffer_size} they have not come together; make it larger, or "
            "mix the classes better"
        )


class _Held:
    """Examples that are held until their batch comes, by class."""

    def __init__(self, examples_per_class, rng):
        self._images, self.count = {}, 0
        self._enough, self._rng = examples_per_class, rng

    def add(self, image, label):
        if label < 0:
            raise ValueError(f"labels must be 0 or above, got {label}; filter the others out")
        self._images.setdefault(int(label), []).append(image)
        self.count += 1

    def ready(self):
        """Classes with enough examples for a batch."""
        return [label for label, images in self._images.items() if len(images) >= self._enough]

    def batch(self, classes_per_batch):
        """Images and labels of some of the classes that are ready, drawn at random."""
        chosen = self._rng.choice(self.ready(), classes_per_batch, replace=False)
        labels = np.repeat(chosen.astype(np.int64), self._enough)
        return np.stack([self._draw(label) for label in labels.tolist()]), labels

    def leave_one_out(self):
        """Drop an example: of the largest class if it has some to spare, else of the farthest from enough."""
        sizes = {label: len(images) for label, images in self._images.items()}
        largest = max(sizes, key=sizes.get)
        self._draw(largest if sizes[largest] > self._enough else min(sizes, key=sizes.get))

    def _draw(self, label):
        images = self._images[label]
        at = self._rng.integers(len(images))
        images[at], images[-1] = images[-1], images[at]
        image = images.pop()
        if not images:
            del self._images[label]
        self.count -= 1
        return image


def _image_spec(dataset):
    """Shape and dtype of the images of a data set whose elements are right."""
    spec = getattr(dataset, "element_spec", None)
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise ValueError(f"dataset must be a tf.data.Dataset of (image, label), got {spec or type(dataset)}")
    image, label = spec
    if tuple(label.shape) not in ((), (1,)):
        raise ValueError(
            f"dataset must have one label an element, got labels of shape {label.shape}; "
            "pass dataset.unbatch(), or where labels are one-hot, tf.argmax(label)"
        )
    if not label.dtype.is_integer:
        raise ValueError(f"labels must be integers, got {label.dtype.name}")
    if not image.shape.is_fully_defined():
        raise ValueError(
            f"images must all have one shape, got {image.shape}; resize them with dataset.map(...)"
        )
    return image
