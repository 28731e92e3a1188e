"""The handwritten digits that come with scikit-learn, in the shape of CIFAR-10."""

import numpy as np
from PIL import Image

from simnb import _checks
from simnb.data.examples import Examples

#: The part of each class, in the order of the set, that is "train"; the rest is "test".
TRAIN_FRACTION = 0.8
SPLITS = ("train", "test", "all")


def load_digits(split, image_size):
    """Return a split of the digits as RGB images; ids are positions among all 1,797 of them."""
    from sklearn.datasets import load_digits as bundled

    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(f"split of digits must be one of {', '.join(SPLITS)}; got {split!r}")
    height, width = _checks.image_size(image_size or (32, 32))
    digits = bundled()
    labels = digits.target.astype(np.int64)
    positions = np.flatnonzero(_in_split(labels, split))
    images = np.empty((len(positions), height, width, 3), np.uint8)
    grays = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    for row, position in enumerate(positions):
        large = Image.fromarray(grays[position]).resize((width, height), Image.Resampling.BICUBIC)
        images[row] = np.asarray(large)[..., None]
    return Examples(images, labels[positions], tuple("0123456789"), positions)


def _in_split(labels, split):
    train = np.zeros(len(labels), bool)
    for label in range(10):
        of_class = np.flatnonzero(labels == label)
        train[of_class[: round(TRAIN_FRACTION * len(of_class))]] = True
    return {"train": train, "test": ~train, "all": np.ones(len(labels), bool)}[split]
