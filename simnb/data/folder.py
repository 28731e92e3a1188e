"""Folders of images, one sub-folder for each class."""

import contextlib
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simnb import _checks
from simnb._terminal import progress_bar
from simnb._text import shown
from simnb._threads import in_threads, processors
from simnb._types import AnyPath
from simnb.data.examples import Examples
from simnb.data.image_file import decoded, opened, reason, stamp
from simnb.data.layout import list_images
from simnb.data.lazy import LazyImages


class SkippedFiles(UserWarning):
    """Something in a folder of images is left out.

    Attributes:
        files: ``(path, reason)`` of each file, or folder, that was not read.
        empty_classes: Names of the class folders without an image that could be read.

    To have the lists, catch the warning::

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            examples = data.from_folder("photos")
        for path, reason in caught[0].message.files:
            print(path, reason)
    """

    def __init__(
        self, root: Path, files: Sequence[tuple[Path, str]], empty_classes: tuple[str, ...], candidates: int
    ) -> None:
        self.files, self.empty_classes = files, empty_classes
        messages = []
        if files:
            messages.append(f"{len(files)} of {candidates} files were not read: {_first_of(root, files)}")
        if empty_classes:
            messages.append(f"no image in the class folders {', '.join(empty_classes)}")
        super().__init__("; ".join(messages))


def from_folder(
    path: AnyPath,
    *,
    split: str | None = None,
    image_size: tuple[int, int] = (32, 32),
    class_names: Sequence[str] | None = None,
    first_id: int = 0,
    max_pixels: int = 50_000_000,
    lazy: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Examples:
    """Read a folder that holds one sub-folder of images for each class.

    JPEG, PNG, WebP, BMP, GIF and TIFF files are read, and AVIF where Pillow reads it, as ``read_image`` reads
    them, at any depth below a class folder; hidden files are not. Images that cannot be read are skipped with
    a warning, and so are images of other kinds, images outside the class folders, and a folder that a link
    leads to again.

    Args:
        path: The folder.
        split: The name of the part to read, where the folder holds parts, such as ``train`` and ``test``, and
            these hold the class folders. Labels mean the same in all parts, and no id is in two of them.
        image_size: ``(height, width)`` to resize to, without keeping the proportions.
        class_names: Name of each class, in the order of their labels; by default the names of the
            sub-folders, sorted, of all parts. Pass the class names of another folder to give labels the same
            meaning in both.
        first_id: Id of the first image file. Images of two folders that are used together need ids that
            differ, such as ``first_id=1_000_000`` for the second.
        max_pixels: Larger images are skipped before they are decoded: a small file can claim a size that
            would fill the memory. Pillow's own limit holds too.
        lazy: Keep no image in memory: ``examples.images`` is ``LazyImages``. Only the head of each file is
            read now. A file that turns out to be damaged behind it, or has gone, raises an OSError that names
            it when it is indexed.
        workers: How many threads decode; by default one for each processor.
        progress: Show a bar when it takes more than five seconds.

    Returns:
        ``Examples`` with uint8 images, shape [num_examples, height, width, 3]. Class names include those of
        sub-folders without a readable image; bytes of a name that are not UTF-8 are escaped, as in
        ``caf\\xe9``. Ids are ``first_id`` plus positions among all image files, sorted, of all parts, so that
        a file that cannot be read changes no other id.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is a file, has no class folders, one that is not among ``class_names``, or holds
            no image that can be read; if its sub-folders look like parts, or like a folder around the class
            folders, and neither ``split`` nor ``class_names`` says what they are.

    Warns:
        SkippedFiles: If files or folders were not read or a class has no image; its ``files`` say why.
    """
    root = Path(path).expanduser()
    size = _checks.image_size(image_size)
    first_id = _checks.not_negative_int(first_id, name="first_id")
    max_pixels = _checks.positive_int(max_pixels, name="max_pixels")
    workers = processors() if workers is None else _checks.positive_int(workers, name="workers")
    found = list_images(root, split=split, class_names=class_names)
    read_all = _read_lazily if lazy else _read_all
    images, reasons = read_all(found.files, size, max_pixels, workers, progress)
    unread = [(file, why) for file, why in zip(found.files, reasons, strict=True) if why is not None]
    skipped = [*found.skipped, *unread]
    kept = np.flatnonzero([why is None for why in reasons])
    if len(kept) == 0:
        raise ValueError(f"{shown(str(root))} holds no image that can be read: {_first_of(root, skipped)}")

    labels = found.labels[kept]
    filled = {found.class_names[label] for label in np.unique(labels)}
    empty = tuple(name for name in found.folders if name not in filled)
    if skipped or empty:
        _checks.warn(SkippedFiles(root, skipped, empty, len(kept) + len(skipped)))
    return Examples(images, labels, found.class_names, first_id + found.first_id + kept)


def _read_all(files, size, max_pixels, workers, progress):
    """Return the images that can be read, and why each file could not be, or None."""
    images = np.empty((len(files), *size, 3), np.uint8)

    def read(row):
        images[row] = decoded(files[row], size, max_pixels)

    reasons = _reasons(read, files, workers, progress)
    kept = np.flatnonzero([reason is None for reason in reasons])
    for row in range(len(kept)):  # in place: a copy of what is kept could need twice the memory
        if kept[row] != row:
            images[row] = images[kept[row]]
    return images[: len(kept)], reasons


def _read_lazily(files, size, max_pixels, workers, progress):
    """Return lazy images of the files whose head can be read, and why each of the others could not be."""

    def check(row):
        with opened(files[row], max_pixels):
            pass

    reasons = _reasons(check, files, workers, progress)
    kept = [file for file, reason in zip(files, reasons, strict=True) if reason is None]
    read_rows = functools.partial(_read_rows, kept, size, max_pixels, workers)
    stamps = functools.partial(_stamps, kept, size)
    return LazyImages(read_rows, len(kept), (*size, 3), stamps=stamps), reasons


def _read_rows(files, size, max_pixels, workers, rows):
    """The images of some of the files."""
    images = np.empty((len(rows), *size, 3), np.uint8)

    def read(i):
        file = files[rows[i]]
        try:
            images[i] = decoded(file, size, max_pixels)
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            raise OSError(f"{shown(str(file))} could not be read: {reason(error, file)}") from error

    with contextlib.closing(in_threads(read, len(rows), workers)) as done:
        list(done)
    return images


def _stamps(files, size, rows):
    """What each of some of the files, read at a size, is known by without being read."""
    return [stamp(files[row], size) for row in rows.tolist()]


def _reasons(read, files, workers, progress):
    """Why ``read(row)`` failed, or None, for each file."""

    def why_not(row):
        try:
            read(row)
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            return reason(error, files[row])
        return None

    with warnings.catch_warnings(), contextlib.closing(in_threads(why_not, len(files), workers)) as rows:
        # Pillow warns of damaged EXIF data, odd palettes and of large images before they are refused.
        warnings.filterwarnings("ignore", module="PIL")
        return list(progress_bar(rows, desc="Reading images", total=len(files), unit="image", shown=progress))


def _first_of(root, files, count=3):
    named = [f"{shown(file.relative_to(root).as_posix())} ({why})" for file, why in files[:count]]
    more = len(files) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
