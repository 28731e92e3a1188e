"""Folders of images, one sub-folder for each class or none."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simnb import _checks
from simnb._text import shown
from simnb._types import UNKNOWN, AnyPath
from simnb.data.examples import Examples
from simnb.data.layout import list_images
from simnb.data.reading import read_examples


def from_folder(
    path: AnyPath,
    *,
    split: str | None = None,
    image_size: tuple[int, int] = (32, 32),
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
    first_id: int = 0,
    max_pixels: int = 50_000_000,
    lazy: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Examples:
    """Read a folder that holds one sub-folder of images for each class, or images without a label.

    JPEG, PNG, WebP, BMP, GIF and TIFF files are read, and AVIF where Pillow reads it, as ``read_image`` reads
    them, at any depth below a class folder; hidden files are not. Images that cannot be read are skipped with
    a warning, and so are images of other kinds, images outside the class folders, and a folder that a link
    leads to again.

    Where no sub-folder holds an image, of whatever kind, the images of the folder itself are read, and none
    has a label. They can be embedded, added to a search and looked up; whatever needs labels says so.

    Args:
        path: The folder.
        split: The name of the part to read, where the folder holds parts, such as ``train`` and ``test``, and
            these hold the class folders. Labels mean the same in all parts, and no id is in two of them.
        image_size: ``(height, width)`` to resize to, without keeping the proportions.
        class_names: Name of each class, in the order of their labels; by default the names of the
            sub-folders, sorted, of all parts. Pass the class names of another folder to give labels the same
            meaning in both.
        labelled: False where sub-folders, such as years or albums, are no classes: the images at any depth
            are read, and none has a label.
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
        ``caf\\xe9``. Labels are ``UNKNOWN`` where there are none, and class names then those given, or none.
        Ids are ``first_id`` plus positions among all image files, sorted, of all parts, so that a file that
        cannot be read changes no other id.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is a file, holds a class folder that is not among ``class_names``, or no image that
            can be read; if its sub-folders look like parts, or like a folder around the class folders, and
            neither ``split`` nor ``class_names`` says what they are.

    Warns:
        SkippedFiles: If files or folders were not read or a class has no image; its ``files`` say why.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from simnb import data
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("cat", "dog"):
        ...         Path(folder, name).mkdir()
        ...         Image.new("RGB", (40, 30)).save(Path(folder, name, "1.png"))
        ...     files = data.list_images(folder).files
        ...     shape = data.read_image(files[0]).shape
        ...     some = data.from_table(files[1:], ["dog"])
        ...     data.from_folder(folder), len(some), shape
        (Examples(2 images 32x32x3 uint8, 2 classes), 1, (30, 40, 3))
    """
    root = Path(path).expanduser()
    first_id = _checks.not_negative_int(first_id, name="first_id")
    found = list_images(root, split=split, class_names=class_names, labelled=labelled)
    folders = found.folders
    if len(found) and folders and (found.labels == UNKNOWN).all():
        folders = ()  # of what are no classes, none lacks an image
        _checks.warn(
            f"no sub-folder of {shown(str(root))} holds an image, so that its own images are read, and none "
            "has a label; labelled=False says that this is meant"
        )
    return read_examples(
        root,
        found.files,
        found.labels,
        found.class_names,
        first_id + found.first_id + np.arange(len(found)),
        holder=shown(str(root)),
        classes=folders,
        left_out=found.skipped,
        image_size=image_size,
        max_pixels=max_pixels,
        lazy=lazy,
        workers=workers,
        progress=progress,
    )
