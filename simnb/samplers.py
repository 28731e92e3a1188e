"""Batches made for metric learning: the same number of examples of each of a few classes."""

import threading
import warnings

import numpy as np

from simnb import _checks
from simnb._keras import keras

__all__ = ["BalancedBatches"]


class BalancedBatches(keras.utils.PyDataset):
    """Batches of exactly ``classes_per_batch`` x ``examples_per_class`` examples, for ``model.fit``.

    A random batch of a data set with many classes holds few pairs of the same class, and the losses of
    this library learn from pairs. Classes and the examples of a class are dealt like cards: all are used
    once, in random order, before any comes again, and no example is twice in a batch.

    Args:
        images: Shape [num_examples, ...]: an array, a memory map or anything else with a length that
            ``images[array_of_positions]`` can index.
        labels: Integer class of each, shape [num_examples].
        classes_per_batch: C, how many classes a batch holds.
        examples_per_class: K, how many examples of each; 2 or more, or no batch has a pair of one class.
        steps_per_epoch: Batches in an epoch; when left out, as many as fit without using an
            example twice. Set it here rather than in ``fit``, which would cut epochs short.
        classes: Labels to draw from; all of them when left out.
        small_classes: What to do with classes of fewer than K examples: ``"error"``, ``"drop"`` them (a
            warning says which) or ``"repeat"`` their examples within a batch.
        augment: ``augment(images, rng) -> images`` on each batch, ``rng`` being a NumPy generator that
            depends on the seed, the epoch and the batch alone.
        seed: The same seed gives the same batches, whatever the number of workers.
        **kwargs: ``workers``, ``use_multiprocessing`` and ``max_queue_size`` of ``keras.utils.PyDataset``.

    Raises:
        ValueError: If lengths differ, a class is too small or missing, or there are too few classes.

    Note:
        Pass ``shuffle=False`` to ``fit``: the batches are random already, and Keras would shuffle
        their order with Python's global generator. ``simnb.training.fit`` does.

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
        images,
        labels,
        *,
        classes_per_batch,
        examples_per_class,
        steps_per_epoch=None,
        classes=None,
        small_classes="error",
        augment=None,
        seed=0,
        **kwargs,
    ):
        """Sort the examples by class; nothing is read from ``images`` yet."""
        super().__init__(**kwargs)
        self.classes_per_batch = _checks.positive_int(classes_per_batch, name="classes_per_batch")
        self.examples_per_class = _checks.positive_int(examples_per_class, name="examples_per_class")
        # Anything with fancy indexing stays what it is; lists and tensors have none.
        plain = isinstance(images, list | tuple) or keras.ops.is_tensor(images)
        self._images = np.asarray(images) if plain else images
        self._labels = _checks.labels(labels, count=len(self._images), of="images")
        _checks.not_empty(self._labels, name="labels")
        self._augment = augment
        self._seed = _checks.seed(seed)
        self._rng = np.random.default_rng(self._seed)
        self._lock = threading.Lock()

        self._examples, num_examples = self._by_class(classes, small_classes)
        num_classes = len(self._examples)
        if num_classes < self.classes_per_batch:
            raise ValueError(
                f"classes_per_batch must be at most the number of classes, {num_classes}, "
                f"got {self.classes_per_batch}"
            )
        self._class_deck = _Decks(self._rng.permutation(num_classes), [num_classes])
        batch_size = self.classes_per_batch * self.examples_per_class
        if steps_per_epoch is None:
            steps_per_epoch = max(1, num_examples // batch_size)
        self._steps = _checks.positive_int(steps_per_epoch, name="steps_per_epoch")
        self.epoch = 0
        self._begun = False
        self._plan = np.empty((self._steps, batch_size), np.int64)
        self._dealt = 0

    def __len__(self):
        """Batches in an epoch."""
        return self._steps

    def __getitem__(self, i):
        """Batch ``i`` of the epoch that is under way, as ``batch`` gives it."""
        return self.batch(i)

    def batch(self, i):
        """Batch ``i`` of the epoch that is under way.

        Args:
            i: 0 to ``len(self) - 1``.

        Returns:
            images [C * K, ...], class by class, and labels [C * K] int64.

        Raises:
            IndexError: If there is no such batch.
        """
        positions = self.positions(i)
        images = np.asarray(self._images[positions])
        if self._augment is not None:
            images = self._augment(images, np.random.default_rng([self._seed, self.epoch, i]))
        return images, self._labels[positions]

    def positions(self, i):
        """Positions, in the data, of the examples of batch ``i``: shape [C * K] int64."""
        if not 0 <= i < self._steps:
            raise IndexError(f"batch must be 0 to {self._steps - 1}, got {i}")
        with self._lock:
            self._deal_up_to(i)
            return self._plan[i].copy()

    def next_epoch(self):
        """Go on to the next epoch, as ``fit`` does by itself; for loops of your own."""
        with self._lock:
            self._deal_up_to(self._steps - 1)
            self._dealt = 0
            self.epoch += 1

    def on_epoch_begin(self):
        """Keras calls this as an epoch begins."""
        self._begun = True

    def on_epoch_end(self):
        """Keras calls this as an epoch ends, and once before the first, having only looked at the data."""
        if self._begun:
            self.next_epoch()
        self._begun = False

    def _deal_up_to(self, i):
        # Batches are dealt in their order, whoever asks first: so workers do not change them.
        while self._dealt <= i:
            classes = self._class_deck.deal(0, self.classes_per_batch, self._rng)
            hands = [self._examples.deal(c, self.examples_per_class, self._rng) for c in classes]
            self._plan[self._dealt] = np.concatenate(hands)
            self._dealt += 1

    def _by_class(self, classes, small_classes):
        """Decks of positions, one a class, and how many examples they hold."""
        _checks.one_of(small_classes, ("error", "drop", "repeat"), name="small_classes")
        kept = np.arange(len(self._labels))
        wanted = np.unique(self._labels if classes is None else _checks.labels(classes, name="classes"))
        if classes is not None:
            kept = kept[np.isin(self._labels, wanted)]
        kept = kept[self._rng.permutation(len(kept))]
        kept = kept[np.argsort(self._labels[kept], kind="stable")]
        sizes = np.bincount(np.searchsorted(wanted, self._labels[kept]), minlength=len(wanted))
        if (sizes == 0).any():
            raise ValueError(f"classes must have examples, but class {wanted[sizes == 0][0]} has none")
        small = sizes < self.examples_per_class
        if small.any():
            names = ", ".join(f"{c} ({n})" for c, n in zip(wanted[small][:5], sizes[small][:5], strict=True))
            report = (
                f"{small.sum()} of {len(wanted)} classes have fewer than examples_per_class="
                f"{self.examples_per_class} examples: {names}{', ...' if small.sum() > 5 else ''}"
            )
            if small_classes == "error":
                raise ValueError(f'{report}; pass small_classes="drop" or "repeat"')
            if small_classes == "drop":
                warnings.warn(f"dropped: {report}", stacklevel=3)
                kept, sizes = kept[np.repeat(~small, sizes)], sizes[~small]
        num_examples = len(kept)
        return _Decks(kept, sizes), num_examples

    def __getstate__(self):
        """Leave the lock behind: worker processes make their own."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state):
        """Restore, with a new lock."""
        self.__dict__.update(state)
        self._lock = threading.Lock()


class _Decks:
    """Decks of cards, dealt so that every card of a deck comes once before any comes again."""

    def __init__(self, cards, sizes):
        """Take shuffled cards, deck after deck, and the size of each deck."""
        self._cards = cards
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._next = np.zeros(len(self._ends), np.int64)

    def __len__(self):
        return len(self._ends)

    def deal(self, deck, count, rng):
        """Deal ``count`` different cards of a deck; it is shuffled again as it runs out.

        Of a deck with fewer cards every card is dealt as often as it fits, and then some.
        """
        cards = self._cards[self._starts[deck] : self._ends[deck]]
        if count > len(cards):
            times, more = divmod(count, len(cards))
            hand = np.tile(cards, times)
            return np.concatenate([hand, self.deal(deck, more, rng)]) if more else hand
        start = self._next[deck]
        end = start + count
        if end <= len(cards):
            self._next[deck] = end
            return cards[start:end].copy()
        left, used = cards[start:].copy(), rng.permutation(cards[:start])
        missing = end - len(cards)
        # What completes this hand must not be in it already: it comes from the used cards alone.
        cards[:missing] = used[:missing]
        cards[missing:] = rng.permutation(np.concatenate([used[missing:], left]))
        self._next[deck] = missing
        return np.concatenate([left, cards[:missing]])
