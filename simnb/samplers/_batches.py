"""What the samplers share: epochs, decks to deal from, batches made ahead, layers as ``augment``."""

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb._keras import keras, ops
from simnb.samplers import _digest


class Batches(keras.utils.PyDataset):
    """Batches of examples, dealt in an order that depends on the seed alone, for ``model.fit``.

    A sampler calls ``_plan_for`` at the end of its ``__init__``, and has three methods: ``_shuffle()`` makes
    ``_rng`` and what is dealt with it, as they are before the very first batch; ``_deal()`` returns positions
    of the examples of the next batch; ``_make(epoch, i, positions)``, called in several threads, returns the
    images and labels of a batch.
    """

    def __new__(cls, *args, **options):
        given = [name for name in ("workers", "use_multiprocessing", "max_queue_size") if name in options]
        if given:
            raise ValueError(
                f"{cls.__name__} takes prefetch=2 in place of {', '.join(given)}: that many batches are "
                "made ahead, in threads, in the order that the seed gives; 0 makes none ahead"
            )
        return super().__new__(cls)

    def __init__(self, images, *, augment, prefetch, seed):
        # Keras's own workers stay off: with JAX and PyTorch they deliver batches it only looked at, late.
        super().__init__()
        # Anything with fancy indexing stays what it is; lists and tensors have none.
        plain = isinstance(images, list | tuple) or keras.ops.is_tensor(images)
        self._images = np.asarray(images) if plain else images
        if not hasattr(self._images, "__len__"):
            raise ValueError(f"images must have a length and be indexable, got {type(images).__name__}")
        self._augment = as_augment(augment)
        self._prefetch = _checks.not_negative_int(prefetch, name="prefetch")
        self._seed = _checks.seed(seed)
        self._lock = threading.Lock()
        self._ahead = Ahead(self._make, self._prefetch)
        self.epoch = 0

    def _plan_for(self, batch_size, num_examples, steps_per_epoch):
        """Make room for the plan of an epoch: examples of each batch, shape [steps, batch_size]."""
        if steps_per_epoch is None:
            steps_per_epoch = max(1, num_examples // batch_size)
        self._steps = _checks.positive_int(steps_per_epoch, name="steps_per_epoch")
        self._plan = np.empty((self._steps, batch_size), np.int64)
        self._dealt = 0
        self._begun, self._asked, self._last = False, np.zeros(self._steps, bool), -1

    @property
    def batch_size(self) -> int:
        """Different examples in a batch; ``TwoViewBatches`` has two views of each."""
        return self._plan.shape[1]

    @property
    def rows(self) -> int:
        """Rows of a batch as ``fit`` gets it."""
        return self.batch_size

    def settings(self) -> dict[str, Any]:
        """What tells these batches from others: a dict of plain values, which a checkpoint holds."""
        augment = self._augment.layers if isinstance(self._augment, LayerAugment) else self._augment
        return {
            "sampler": type(self).__name__,
            "seed": self._seed,
            "batch_size": self.batch_size,
            "num_examples": len(self._images),
            **_digest.of_images(self._images),
            "augmentation": _digest.of_augment(augment),
        }

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, i: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Batch ``i`` of the epoch that is under way, as ``batch`` gives it.

        Where batches are asked for in their order, the next ones are being made as this returns.
        """
        with self._lock:
            in_order = i in (0, self._last + 1)
            ahead = min(self._prefetch, self._steps - 1 - i) if in_order else 0
            orders = [self._order(j) for j in range(i, i + 1 + ahead)]
            self._asked[i], self._last = True, i
        return self._ahead.get(orders[0], orders[1:])

    def batch(self, i: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Images [batch, ...] and labels [batch] of batch ``i``, from 0, of the epoch that is under way.

        Asking for it has no effect on others.

        Raises:
            IndexError: If there is no such batch.
        """
        with self._lock:
            order = self._order(i)
        return self._make(*order)

    def positions(self, i: int) -> NDArray[np.int64]:
        """Positions, in the data, of the examples of batch ``i`` of the epoch that is under way."""
        with self._lock:
            return self._order(i)[2]

    def next_epoch(self) -> None:
        """Go on to the next epoch, as ``fit`` does by itself; for loops of your own."""
        with self._lock:
            self._go_on()

    def go_to_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, from 0, forward or back: its batches are the same either way.

        Raises:
            ValueError: If it is no integer of at least 0.
        """
        epoch = _checks.not_negative_int(epoch, name="epoch")
        with self._lock:
            if epoch < self.epoch:
                self._shuffle()
                self.epoch = self._dealt = 0
            while self.epoch < epoch:
                self._go_on()
            self._begun, self._asked[:], self._last = False, False, -1

    def on_epoch_begin(self) -> None:
        """Keras calls this as an epoch begins."""
        self._begun = True

    def on_epoch_end(self) -> None:
        """Keras calls this as an epoch ends, and where it has only looked at the data or was interrupted.

        An epoch is over when each of its batches has been asked for; any other begins again.
        """
        if self._begun and self._asked.all():
            self.next_epoch()
        elif not self._begun:  # batches were looked at before the first epoch: of a short one, all of them
            self._asked[:] = False
        self._begun = False

    def to_tf_dataset(self) -> Any:
        """The batches as a ``tf.data.Dataset`` of (images, labels), where nothing else is taken.

        Each pass over it is an epoch, and goes on where the last whole pass has ended; a pass that is
        broken off begins again. The batches go through a Python generator: nothing of it runs on another
        machine, and it cannot be saved.
        """
        import tensorflow as tf

        signature = tuple(tf.TensorSpec(part.shape, part.dtype) for part in self.batch(0))
        dataset = tf.data.Dataset.from_generator(self._one_epoch, output_signature=signature)
        counted = tf.data.experimental.assert_cardinality(self._steps)
        return dataset.apply(counted).prefetch(tf.data.AUTOTUNE)

    def _one_epoch(self):
        """The batches of the epoch under way, whatever else is asked for or begun meanwhile."""
        with self._lock:
            orders = [self._order(i) for i in range(self._steps)]
        ahead = Ahead(self._make, self._prefetch)
        for i, order in enumerate(orders):
            yield ahead.get(order, orders[i + 1 : i + 1 + self._prefetch])
        with self._lock:
            if self.epoch == orders[0][0]:
                self._go_on()

    def _order(self, i):
        """What ``_make`` is given for batch ``i``."""
        if not 0 <= i < self._steps:
            raise IndexError(f"batch must be 0 to {self._steps - 1}, got {i}")
        self._deal_up_to(i)
        return self.epoch, int(i), self._plan[i].copy()

    def _deal_up_to(self, i):
        # Batches are dealt in their order, whoever asks first: so threads do not change them.
        while self._dealt <= i:
            self._plan[self._dealt] = self._deal()
            self._dealt += 1

    def _go_on(self):
        self._deal_up_to(self._steps - 1)
        self._dealt = 0
        self._asked[:] = False
        self.epoch += 1

    def __getstate__(self):
        # Locks and threads stay behind: a copy has its own.
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_ahead")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._ahead = Ahead(self._make, self._prefetch)


class Decks:
    """Decks of ``sizes`` cards, dealt so that every card of a deck comes once before any comes again.

    ``cards`` are shuffled already, deck after deck.
    """

    def __init__(self, cards, sizes):
        self.cards = cards
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._next = np.zeros(len(self._ends), np.int64)

    def deal(self, deck, count, rng):
        """Deal ``count`` different cards of a deck; it is shuffled again as it runs out.

        Of a deck with fewer cards every card is dealt as often as it fits, and then some.
        """
        cards = self.cards[self._starts[deck] : self._ends[deck]]
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


class Ahead:
    """The results of ``make(*order)``, some of them made ahead; an order is known by its first two values.

    A thread lives as long as one of them is made, so that none is left over when nothing is asked for any
    more; ``threads`` of them run at a time.
    """

    def __init__(self, make, threads):
        self._make = make
        self._free = threading.Semaphore(threads)
        self._lock = threading.Lock()
        self._jobs = {}

    def get(self, order, later):
        """Have the orders in ``later`` made, forget all others, and return the result of ``order``."""
        with self._lock:
            before = self._jobs
            job = before.pop(order[:2], None)
            self._jobs = {o[:2]: before.pop(o[:2], None) or self._begin(o) for o in later}
            for forgotten in filter(None, before.values()):
                forgotten.cancel()
        return self._make(*order) if job is None else job.result()

    def _begin(self, order):
        job = Future()
        # No daemon, even where TensorFlow's threads ask: the process ends after the thread, not in it.
        thread = threading.Thread(target=self._work, args=(order, job), name="simnb batches", daemon=False)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had: it is made when it is asked for
            return None
        return job

    def _work(self, order, job):
        with self._free:
            if job.set_running_or_notify_cancel():
                try:
                    job.set_result(self._make(*order))
                except BaseException as error:  # whoever waits for the result must not wait for ever
                    job.set_exception(error)


def as_augment(augment):
    """Return ``augment(images, rng) -> images``, given one, a Keras layer, a list of layers, or None."""
    layers = list(augment) if isinstance(augment, list | tuple) else [augment]
    if layers and all(isinstance(layer, keras.layers.Layer) for layer in layers):
        return LayerAugment(layers)
    if augment is None or (callable(augment) and not isinstance(augment, type)):
        return augment
    raise ValueError(
        "augment must be a function (images, rng) -> images, a Keras layer or a list of Keras layers, "
        f"got {augment!r}"
    )


class LayerAugment:
    """Keras layers, one after the other, whose own generators are set for each batch.

    So neither the order of the batches nor the threads matter.
    """

    def __init__(self, layers):
        self.layers = list(layers)
        self._layers = keras.layers.Pipeline(layers)
        self._lock = threading.Lock()

    def __call__(self, images, rng):
        with self._lock:
            for state in self._layers.variables:
                if state.path.endswith("seed_generator_state"):
                    # Below 2**31, because the backends differ in the dtype of the state.
                    state.assign(ops.cast(rng.integers(0, 2**31, 2), state.dtype))
            return ops.convert_to_numpy(self._layers(images, training=True))

    def __reduce__(self):  # a copy has a lock of its own
        return LayerAugment, (self.layers,)
