"""Batches of two augmented views of each image."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simnb import _checks
from simnb._types import KerasObject
from simnb.samplers._batches import Batches, Decks


class TwoViewBatches(Batches):
    """Two views of each of ``batch_size`` images, each image being a class of its own, for ``model.fit``.

    It is what contrastive learning without labels takes. Images are dealt like cards: each comes once, in
    random order, before any comes again.

    Args:
        images: Shape [num_examples, height, width, channels], as in ``BalancedBatches``.
        batch_size: N, how many images are in a batch, which then holds 2 N views.
        augment: As in ``BalancedBatches``, such as ``simnb.augmentation.Augment(color=0.4)``. It is called
            once for each of the two views, with a generator of its own.
        steps_per_epoch: Batches in an epoch; None for as many as fit without using an image twice.
        prefetch: Batches that are made, in threads, while one is trained on.
        seed: The same seed gives the same batches, whatever is made ahead.

    Raises:
        ValueError: If there are fewer images than ``batch_size``, or ``augment`` is None: two views would
            be the same.

    Note:
        Pass ``shuffle=False`` to ``fit``, as for ``BalancedBatches``.

    References:
        Chen et al., SimCLR, 2020. https://arxiv.org/abs/2002.05709

    Example:
        >>> import numpy as np
        >>> from simnb.augmentation import Augment
        >>> from simnb.samplers import TwoViewBatches
        >>> images = np.zeros((9, 32, 32, 3), np.uint8)
        >>> views, labels = TwoViewBatches(images, batch_size=4, augment=Augment()).batch(0)
        >>> views.shape, bool((labels[::2] == labels[1::2]).all())
        ((8, 32, 32, 3), True)
    """

    def __init__(
        self,
        images: Any,
        *,
        batch_size: int,
        augment: Callable[..., Any] | Sequence[KerasObject],
        steps_per_epoch: int | None = None,
        prefetch: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(images, augment=augment, prefetch=prefetch, seed=seed)
        if self._augment is None:
            raise ValueError("augment must be given: without it the two views of an image are the same")
        batch_size = _checks.positive_int(batch_size, name="batch_size")
        count = len(_checks.not_empty(self._images, name="images"))
        if batch_size > count:
            raise ValueError(f"batch_size must be at most the number of images, {count}, got {batch_size}")
        self._shuffle()
        self._plan_for(batch_size, count, steps_per_epoch)

    @property
    def rows(self) -> int:
        """Rows of a batch as ``fit`` gets it: two views of each image."""
        return 2 * self.batch_size

    def _shuffle(self):
        self._rng = np.random.default_rng(self._seed)
        count = len(self._images)
        self._deck = Decks(self._rng.permutation(count), [count])

    def _deal(self):
        return self._deck.deal(0, self.batch_size, self._rng)

    def _make(self, epoch, i, positions):
        images = np.asarray(self._images[positions])
        # Each view gets images of its own, in case augment changes them in place.
        views = [
            self._augment(images.copy(), np.random.default_rng([self._seed, epoch, i, view]))
            for view in range(2)
        ]
        # The views of an image lie side by side, so that replicas that share a batch get whole pairs.
        return np.stack(views, axis=1).reshape(-1, *views[0].shape[1:]), np.repeat(positions, 2)
