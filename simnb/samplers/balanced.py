"""Batches of the same number of examples of each of a few classes."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._types import KerasObject
from simnb.samplers import _digest
from simnb.samplers._batches import Batches, Decks


class BalancedBatches(Batches):
    """Batches of exactly ``classes_per_batch`` x ``examples_per_class`` examples, for ``model.fit``.

    Classes and the examples of a class are dealt like cards: all are used once, in random order, before any
    comes again, and no example is twice in a batch.

    Args:
        images: Shape [num_examples, ...]: an array, a memory map, lazy images of ``simnb.data`` or anything
            else with a length that ``images[array_of_positions]`` can index. Only what is in a batch is read.
        labels: Integer class of each, 0 or above, shape [num_examples] or [num_examples, 1].
        classes_per_batch: C, how many classes a batch holds; 2 or more for losses over pairs.
        examples_per_class: K, how many examples of each; 2 or more for losses over pairs.
        steps_per_epoch: Batches in an epoch; None for as many as fit without using an example twice.
        classes: Labels to draw from; None for all of them.
        small_classes: What to do with classes of fewer than K examples: ``"error"``, ``"drop"`` them (a
            warning says which) or ``"repeat"`` their examples within a batch.
        augment: ``augment(images, rng) -> images`` on each batch, such as ``simnb.augmentation.Augment()``,
            ``rng`` being a NumPy generator that depends on the seed, the epoch and the batch alone; or a
            Keras layer or a list of them, such as ``keras.layers.RandomRotation(0.1)``, whose generators are
            set from it (not so Keras's AugMix). It is called in several threads.
        prefetch: Batches that are made, in threads, while one is trained on; 0 makes each when it is
            asked for. It replaces ``workers`` and ``max_queue_size`` of Keras's data sets.
        seed: The same seed gives the same batches, whatever is made ahead.

    Raises:
        ValueError: If lengths differ, a class is too small or missing, or there are too few classes.

    Note:
        Pass ``shuffle=False`` to Keras's ``fit``, as ``simnb.training.fit`` does: else Keras shuffles the
        batches with Python's global generator, and none can be made ahead. A ``fit`` that is interrupted
        begins the epoch again when it goes on. Under several replicas of ``tf.distribute`` Keras reads some
        batches ahead: of an epoch of a few that may be all, and the training starts with the epoch after it.

    Example:
        >>> import numpy as np
        >>> from simnb.samplers import BalancedBatches
        >>> batches = BalancedBatches(np.zeros((6, 4, 4, 3)), [0, 0, 1, 1, 2, 2],
        ...                           classes_per_batch=2, examples_per_class=2, seed=0)
        >>> len(batches), batches.batch(0)[0].shape
        (1, (4, 4, 4, 3))
    """

    def __init__(
        self,
        images: Any,
        labels: ArrayLike,
        *,
        classes_per_batch: int,
        examples_per_class: int,
        steps_per_epoch: int | None = None,
        classes: ArrayLike | None = None,
        small_classes: str = "error",
        augment: Callable[..., Any] | Sequence[KerasObject] | None = None,
        prefetch: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(images, augment=augment, prefetch=prefetch, seed=seed)
        self.classes_per_batch = _checks.positive_int(classes_per_batch, name="classes_per_batch")
        self.examples_per_class = _checks.positive_int(examples_per_class, name="examples_per_class")
        self._labels = _checks.labels(labels, count=len(self._images), of="images")
        _checks.not_empty(self._labels, name="labels")
        # With counts, since NumPy then sorts: its hash table is slower where classes are many.
        present, counts = np.unique(self._labels, return_counts=True)
        self._wanted, sizes = present, counts
        if classes is not None:
            self._wanted = np.unique(_checks.labels(classes, name="classes"))
            places = np.searchsorted(present, self._wanted).clip(max=len(present) - 1)
            sizes = np.where(present[places] == self._wanted, counts[places], 0)
        self._classes = self._checked_classes(sizes, small_classes)
        self._shuffle()
        num_classes = len(self._classes)
        if num_classes < self.classes_per_batch:
            raise ValueError(
                f"classes_per_batch must be at most the number of classes, {num_classes}, "
                f"got {self.classes_per_batch}"
            )
        batch_size = self.classes_per_batch * self.examples_per_class
        self._plan_for(batch_size, len(self._examples.cards), steps_per_epoch)

    @property
    def classes(self) -> NDArray[np.int64]:
        """The labels that batches are drawn from, ascending: shape [num_classes] int64."""
        return self._classes.copy()

    def settings(self) -> dict[str, Any]:
        """What tells these batches from others: a dict of plain values, which a checkpoint holds."""
        return {
            **super().settings(),
            "examples_per_class": self.examples_per_class,
            "labels": _digest.of_array(self._labels),
            # Those that are drawn from: where no class is small, small_classes makes no difference.
            "classes": _digest.of_array(self._classes),
        }

    def _shuffle(self):
        """Decks of positions, one a class, and the deck of the classes."""
        self._rng = np.random.default_rng(self._seed)
        kept = np.flatnonzero(np.isin(self._labels, self._wanted))
        kept = kept[self._rng.permutation(len(kept))]
        kept = kept[np.isin(self._labels[kept], self._classes)]
        kept = kept[np.argsort(self._labels[kept], kind="stable")]
        _, sizes = np.unique(self._labels[kept], return_counts=True)
        self._examples = Decks(kept, sizes)
        self._class_deck = Decks(self._rng.permutation(len(sizes)), [len(sizes)])

    def _deal(self):
        classes = self._class_deck.deal(0, self.classes_per_batch, self._rng)
        hands = [self._examples.deal(c, self.examples_per_class, self._rng) for c in classes]
        return np.concatenate(hands)

    def _make(self, epoch, i, positions):
        images = np.asarray(self._images[positions])
        if self._augment is not None:
            images = self._augment(images, np.random.default_rng([self._seed, epoch, i]))
        return images, self._labels[positions]

    def _checked_classes(self, sizes, small_classes):
        """The wanted classes that have enough examples, or may have fewer."""
        _checks.one_of(small_classes, ("error", "drop", "repeat"), name="small_classes")
        wanted = self._wanted
        if wanted.min(initial=0) < 0:
            raise ValueError(
                f"labels must be 0 or above, got {wanted[0]}; -1 stands for unknown, which is no class: "
                "leave such examples out, or name the others with classes=..."
            )
        if (sizes == 0).any():
            raise ValueError(f"classes must have examples, but class {wanted[sizes == 0][0]} has none")
        small = sizes < self.examples_per_class
        if small_classes == "repeat" or not small.any():
            return wanted
        named = [f"{c} ({n})" for c, n in zip(wanted[small], sizes[small], strict=True)]
        report = (
            f"{len(named)} of {len(wanted)} classes have fewer than examples_per_class="
            f"{self.examples_per_class} examples: {', '.join(named[:5])}{', ...' if len(named) > 5 else ''}"
        )
        if small_classes == "error":
            raise ValueError(f'{report}; pass small_classes="drop" or "repeat"')
        warnings.warn(f"dropped: {report}", stacklevel=3)
        return wanted[~small]
