"""Batches of images, of which the next one is read while one is embedded."""

import contextlib

import numpy as np

from simnb._threads import one_ahead
from simnb.data import LazyImages

__all__ = ["reading"]


@contextlib.contextmanager
def reading(images, keys):
    """An iterator over the images at each key, arrays; of lazy images, one batch is read ahead."""

    def read(i):
        return np.asarray(images[keys[i]])

    if isinstance(images, LazyImages):  # whose reading is made for threads; that of others may not be
        with contextlib.closing(one_ahead(read, len(keys))) as batches:
            yield batches
    else:
        yield map(read, range(len(keys)))
