"""Data sets by name, and the choice where none is named."""

import os

import numpy as np
from PIL import Image

from simnb import _checks
from simnb._types import AnyPath
from simnb.data import tfds
from simnb.data.examples import Examples
from simnb.data.glyphs import load_glyphs

# The part of the digits of each class, in the order of the set, that is "train"; the rest is "test".
_TRAIN_FRACTION = 0.8
# The name that is wanted, the one that needs no network, where that comes from, and how a choice begins.
_FEW_CLASSES = ("cifar10", "digits", "bundled with scikit-learn", "Data set")
_MANY_CLASSES = ("omniglot", "glyphs", "drawn with matplotlib's fonts", "Many classes")
# By folder and wanted name, what default_name() has settled on in this process.
_chosen: dict[tuple[str, str], str] = {}


def load(
    name: str | None = None,
    *,
    split: str = "train",
    data_dir: AnyPath | None = None,
    image_size: tuple[int, int] | None = None,
    lazy: bool = False,
    progress: bool = True,
) -> Examples:
    """Load a data set of labeled images.

    Two data sets have many classes and few examples of each, black ink on white, and no class of "train" in
    "test": ``"omniglot"``, 1,623 handwritten characters, and ``"glyphs"``, some 1,400 printed ones, of which
    some look the same, such as the Latin and the Greek A. ``default_name(many_classes=True)`` chooses
    between them. The module ``simnb.data.glyphs`` says which characters these are, and a table in
    ``simnb.data.tfds`` which feature of a data set of TFDS is its class, and which ones say more of classes.

    Args:
        name: ``"digits"``, which comes with scikit-learn (1,797 handwritten digits, here as 32 x 32 x 3),
            ``"glyphs"``, which are drawn in some seconds with fonts that come with matplotlib, or an image
            data set of TFDS, such as ``"cifar10"``, ``"omniglot"`` or ``"name/config"``; it is downloaded
            where it is not prepared. By default what ``default_name`` says.
        split: ``"train"``, ``"test"`` or ``"all"``; of TFDS any split expression, such as
            ``"train[:10%]+test"``.
        data_dir: Folder of TFDS; by default ``TFDS_DATA_DIR``, else TFDS's own.
        image_size: ``(height, width)`` to resize to; needed where images have different sizes. All pixels of
            a larger image count, so that the thin strokes of a drawing become gray and not broken.
        lazy: Decode images when they are indexed, and keep none in memory: ``examples.images`` is
            ``LazyImages`` with the same pixels. Labels are read now, which takes a pass over the files; both
            tfrecord, in which TFDS prepares data sets by default, and array_record will do. Without effect
            on ``"digits"`` and ``"glyphs"``, which are in memory in any case.
        progress: Show a bar when it takes more than five seconds.

    Returns:
        ``Examples``, in the order of the data set; ids are positions in all its splits together, so that no
        two splits share an id. Class names are those of all splits.

    Raises:
        ValueError: If there is no such data set or split, or it does not have one image and one label
            for each example.
        OSError: If it would have to be downloaded to a folder that cannot be written to, or matplotlib's
            fonts are missing; a ConnectionError if it would have to be downloaded and its site does not
            answer.

    References:
        Lake et al., Human-level concept learning through probabilistic program induction, 2015, for omniglot.
        https://doi.org/10.1126/science.aab3050

    Example:
        >>> from simnb import data
        >>> data.load("digits")
        Examples(1438 images 32x32x3 uint8, 10 classes)
    """
    if name is None:
        name = default_name(data_dir, progress=progress)
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be a string such as 'cifar10' or 'digits', got {name!r}")
    if image_size is not None:
        image_size = _checks.image_size(image_size)
    if name == "digits":
        return _load_digits(split, image_size)
    if name == "glyphs":
        return load_glyphs(split, image_size, progress=progress)
    return tfds.load_tfds(name, split, data_dir=data_dir, image_size=image_size, lazy=lazy, progress=progress)


def default_name(
    data_dir: AnyPath | None = None, *, many_classes: bool = False, progress: bool = True
) -> str:
    """Say which data set there is to learn with, and see to it that it is there.

    CIFAR-10 where it is prepared or can be downloaded, which is then done; else the bundled digits. This is
    what ``load()`` uses. With ``many_classes`` omniglot, else the glyphs that are drawn with matplotlib's
    fonts: hundreds of classes to train on, and hundreds of others to search among.

    The first call prints the choice in one line, and it stays the same until the process ends.

    Args:
        data_dir: Folder of TFDS; by default ``TFDS_DATA_DIR``, else TFDS's own.
        many_classes: Whether it is to have hundreds of classes.
        progress: Show a bar while downloading.

    Returns:
        ``"cifar10"`` or ``"digits"``; with ``many_classes`` ``"omniglot"`` or ``"glyphs"``.

    Example:
        >>> from simnb import data
        >>> name = data.default_name(many_classes=True)  # doctest: +SKIP
        Many classes: omniglot (from TFDS)
        >>> seen, unseen = data.load(name), data.load(name, split="test")  # doctest: +SKIP
    """
    folder = str(data_dir or os.environ.get("TFDS_DATA_DIR") or "")
    wanted, bundled, source, kind = _MANY_CLASSES if many_classes else _FEW_CLASSES
    if (folder, wanted) not in _chosen:
        # The line is kept in notebooks: it must not differ between machines that made the same choice.
        try:
            tfds.prepare(wanted, data_dir, progress=progress)
        except Exception as error:
            print(f"{kind}: {bundled} ({source}), because {_why_not(wanted, error)}")
            _chosen[folder, wanted] = bundled
        else:
            print(f"{kind}: {wanted} (from TFDS)")
            _chosen[folder, wanted] = wanted
    return _chosen[folder, wanted]


def _why_not(name, error):
    if isinstance(error, ConnectionError):
        return f"{name} is not prepared and its site did not answer"
    if isinstance(error, PermissionError | NotADirectoryError):
        return f"{name} is not prepared and the TFDS folder cannot be written to"
    return f"{name} could not be prepared ({type(error).__name__})"


def _load_digits(split, image_size):
    """Return a split of the digits as RGB images; ids are positions among all 1,797 of them."""
    from sklearn.datasets import load_digits

    if not isinstance(split, str) or split not in ("train", "test", "all"):
        raise ValueError(f"split of digits must be one of train, test, all; got {split!r}")
    height, width = _checks.image_size(image_size or (32, 32))
    digits = load_digits()
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
        train[of_class[: round(_TRAIN_FRACTION * len(of_class))]] = True
    return {"train": train, "test": ~train, "all": np.ones(len(labels), bool)}[split]
