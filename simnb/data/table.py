"""Tables of image files: a column of paths, and one of labels."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simnb import _checks
from simnb._text import shown
from simnb._types import UNKNOWN, AnyPath
from simnb.data.arrays import labels_and_names
from simnb.data.examples import Examples
from simnb.data.image_file import not_read
from simnb.data.reading import name_from, read_examples

_FLOATS = (float, np.floating)


def from_table(
    paths: Iterable[AnyPath],
    labels: ArrayLike | None = None,
    *,
    root: AnyPath | None = None,
    class_names: Sequence[str] | None = None,
    ids: ArrayLike | None = None,
    image_size: tuple[int, int] = (32, 32),
    max_pixels: int = 50_000_000,
    lazy: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Examples:
    """Read the image files that a table names, such as two columns of a CSV file or of a DataFrame.

    Files are read as ``from_folder`` reads them. Those that cannot be read are skipped with a warning; one
    that does not exist is an error, since the table and the disk do not belong together then.

    Args:
        paths: Path of each image file: a list, an array or a column of a DataFrame.
        labels: Names of classes, or integers from 0, as many; None, NaN, an empty string or ``UNKNOWN`` for
            an image without a label; None where no image has one. The string ``"-1"`` is a name.
        root: The folder that relative paths begin in; by default the current one.
        class_names: Name of each class, as in ``from_arrays``.
        ids: Unique integers, as many; by default 0, 1, ... A file that cannot be read changes no other id.
        image_size, max_pixels, lazy, workers, progress: As in ``from_folder``.

    Returns:
        ``Examples`` with uint8 images, shape [num_examples, height, width, 3], in the order of the table.

    Raises:
        FileNotFoundError: If files do not exist; it says how many, and which is the first.
        ValueError: If paths, labels and ids differ in length or are malformed, or no file can be read.

    Warns:
        SkippedFiles: If files were not read or a class has no image; its ``files`` say why.

    Example:
        A table of pandas; one of the standard library's ``csv`` has its columns as lists::

            table = pandas.read_csv("products.csv")
            examples = data.from_table(table["file"], table["product"], root="photos")
    """
    folder = Path("" if root is None else root).expanduser()
    files = _files(paths, folder)
    numbers, names = _labels(labels, class_names, len(files))
    # Complains of labels and ids now, and not after the reading.
    no_images = np.broadcast_to(np.uint8(0), (len(files), 1, 1, 3))
    own_ids: Any = np.arange(len(files)) if ids is None else ids
    table = Examples(no_images, numbers, names, own_ids)
    _check_there(files, folder)
    reasons = [not_read(file.suffix) for file in files]
    kept = np.flatnonzero([why is None for why in reasons])
    return read_examples(
        folder,
        [files[row] for row in kept],
        table.labels[kept],
        table.class_names,
        table.ids[kept],
        holder="the table",
        classes=[table.class_names[label] for label in np.unique(numbers) if label != UNKNOWN],
        left_out=[(file, why) for file, why in zip(files, reasons, strict=True) if why is not None],
        image_size=image_size,
        max_pixels=max_pixels,
        lazy=lazy,
        workers=workers,
        progress=progress,
    )


def _files(paths, folder):
    """The files that paths name."""
    alone = isinstance(paths, str | bytes | os.PathLike)
    if alone or not isinstance(paths, Iterable) or len(getattr(paths, "shape", [0])) != 1:
        one = "; a whole folder is read by from_folder" if alone else ""
        raise ValueError(f"paths must be a list of paths or a column of them, got {_described(paths)}{one}")
    paths = _checks.not_empty(list(paths), name="paths")
    for row, path in enumerate(paths):
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise ValueError(f"paths must name a file in every row, got {path!r} in row {row}")
    return [folder / Path(path).expanduser() for path in paths]


def _described(paths):
    return repr(paths) if isinstance(paths, str | bytes | os.PathLike) else type(paths).__name__


def _labels(labels, class_names, count):
    """Integer labels, ``UNKNOWN`` where there is none, and the names of their classes."""
    if class_names is not None and not isinstance(class_names, str):
        class_names = tuple(class_names)
    if isinstance(labels, np.ma.MaskedArray):
        labels = np.where(np.ma.getmaskarray(labels), None, labels.data)
    values = np.asarray([None] * count if labels is None else labels, object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        return labels_and_names(labels, class_names)  # which complains
    _checks.same_length(values, range(count), "labels and paths")
    there = np.array([not _is_missing(value) for value in values], bool)
    # Where some labels of a column are missing, pandas makes whole numbers floats.
    given = [int(v) if isinstance(v, _FLOATS) and v.is_integer() else v for v in values[there].tolist()]
    numbers, names = labels_and_names(given, class_names)
    found = np.full(count, UNKNOWN)
    found[there] = numbers
    return found, names


def _is_missing(value):
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which need not be there
        return True
    if isinstance(value, _FLOATS):
        return np.isnan(value) or value == UNKNOWN
    return isinstance(value, str | bytes | int | np.integer) and value in ("", b"", UNKNOWN)


def _check_there(files, folder):
    absent = [row for row, file in enumerate(files) if not os.path.isfile(file)]
    if absent:
        first = name_from(folder, files[absent[0]])
        raise FileNotFoundError(
            f"{len(absent)} of the {len(files)} paths name no file, first {first!r} in row {absent[0]}; "
            f"relative paths begin in {shown(str(folder.absolute()))!r}: root=... names another folder"
        )
