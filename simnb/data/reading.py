"""Many image files: read now or when they are indexed, and what is said of those that cannot be."""

import contextlib
import functools
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb._terminal import progress_bar
from simnb._text import shown
from simnb._threads import in_threads, processors
from simnb._types import UNKNOWN
from simnb.data.examples import Examples
from simnb.data.image_file import decoded, opened, reason, stamp
from simnb.data.lazy import LazyImages


class SkippedFiles(UserWarning):
    """Something in a folder or a table of images is left out.

    Attributes:
        files: ``(path, reason)`` of each file, or folder, that was not read.
        empty_classes: Names of the classes without an image that could be read.

    Example:
        >>> import tempfile, warnings
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from simnb import data
        >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     Image.new("RGB", (40, 30)).save(Path(folder, "1.png"))
        ...     Path(folder, "2.png").touch()
        ...     examples = data.from_folder(folder)
        >>> isinstance(caught[0].message, data.SkippedFiles)
        True
        >>> [(path.name, reason) for path, reason in caught[0].message.files]
        [('2.png', 'an empty file')]
    """

    def __init__(
        self, root: Path, files: Sequence[tuple[Path, str]], empty_classes: tuple[str, ...], candidates: int
    ) -> None:
        self.files, self.empty_classes = files, empty_classes
        messages = []
        if files:
            messages.append(f"{len(files)} of {candidates} files were not read: {_first_of(root, files)}")
        if empty_classes:
            messages.append(f"no image of the classes {', '.join(empty_classes)}")
        super().__init__("; ".join(messages))


def read_examples(
    root: Path,
    files: Sequence[Path],
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    ids: NDArray[np.int64],
    *,
    holder: str,
    classes: Iterable[str],
    left_out: Sequence[tuple[Path, str]] = (),
    image_size: tuple[int, int],
    max_pixels: int,
    lazy: bool,
    workers: int | None,
    progress: bool,
) -> Examples:
    """Examples of the files that can be read; a warning, ``SkippedFiles``, tells of the others.

    Args:
        root: The folder that files are named from.
        files, labels, ids: Of each example there would be.
        class_names: Name of each label.
        holder: What holds the files, as a message names it.
        classes: Names of the classes that ought to have an image.
        left_out: ``(path, reason)`` of what else is not read.
        image_size, max_pixels, lazy, workers, progress: As in ``from_folder``.

    Raises:
        ValueError: If an option is malformed or no file can be read.
    """
    size = _checks.image_size(image_size)
    max_pixels = _checks.positive_int(max_pixels, name="max_pixels")
    workers = processors() if workers is None else _checks.positive_int(workers, name="workers")
    read_all = read_lazily if lazy else _read_all
    images, reasons = read_all(files, size, max_pixels, workers, progress)
    unread = [(file, why) for file, why in zip(files, reasons, strict=True) if why is not None]
    skipped = [*left_out, *unread]
    kept = np.flatnonzero([why is None for why in reasons])
    if len(kept) == 0:
        raise ValueError(f"{holder} holds no image that can be read: {_first_of(root, skipped)}")
    labels = labels[kept]
    filled = {class_names[label] for label in np.unique(labels[labels != UNKNOWN])}
    empty = tuple(name for name in classes if name not in filled)
    if skipped or empty:
        _checks.warn(SkippedFiles(root, skipped, empty, len(kept) + len(skipped)))
    return Examples(images, labels, class_names, ids[kept])


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


def read_lazily(
    files: Sequence[Path], size: tuple[int, int], max_pixels: int, workers: int, progress: bool
) -> tuple[LazyImages, list[str | None]]:
    """Lazy images of the files whose head can be read, and why each file cannot be, or None."""

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


def name_from(root: Path, file: Path) -> str:
    """The path of a file as a message names it: from ``root`` where it lies below."""
    return shown((file.relative_to(root) if file.is_relative_to(root) else file).as_posix())


def _first_of(root, files, count=3):
    named = [f"{name_from(root, file)} ({why})" for file, why in files[:count]]
    more = len(files) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
