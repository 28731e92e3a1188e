"""The image files below a folder: which sub-folders are classes or parts, and what is left out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb._text import shown
from simnb._types import UNKNOWN, AnyPath
from simnb.data.image_file import KINDS, is_image, not_read

_EXPECTED = "a folder that holds one sub-folder of images for each class"
_TRAIN, _OTHERS = ("train", "training", "trn"), ("dev", "eval", "evaluation", "holdout")
_PARTS = frozenset((*_TRAIN, *_OTHERS, "val", "valid", "validation", "test", "testing", "tst"))


@dataclass(frozen=True, eq=False, repr=False)
class ImageFiles:
    """The image files of a folder, or of one part of it, by class.

    Attributes:
        files: ``Path`` of each, in an order that is the same everywhere.
        labels: Position of the class of each in ``class_names``, shape [num_files] int64; ``UNKNOWN`` where
            files have no label.
        class_names: Name of each class, of all parts.
        folders: Names of the class folders that are there, also of those without an image.
        first_id: How many files the parts before this one have: the id of the first.
        skipped: ``(path, reason)`` of what is left out.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    folders: tuple[str, ...]
    first_id: int
    skipped: tuple[tuple[Path, str], ...]

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return (
            f"ImageFiles({len(self)} file{'s' * (len(self) != 1)}, {len(self.folders)} class folders, "
            f"{len(self.skipped)} skipped)"
        )


@dataclass
class _Class:
    """A class folder: its name, its image files, and the folders below ``root`` that hold them, as parts."""

    name: str
    files: list[Path]
    holding: set[tuple[str, ...]]


def list_images(
    path: AnyPath,
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
) -> ImageFiles:
    """List the image files of a folder that holds one sub-folder of images for each class; none is opened.

    These are the files that ``from_folder`` would read, in the order of its ids.

    Args:
        path: The folder.
        split: The name of the part to list, as in ``from_folder``.
        class_names: Name of each class, in the order of their labels, as in ``from_folder``.
        labelled: False where sub-folders are no classes, as in ``from_folder``.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is a file, holds a class folder that is not among ``class_names``, or no image
            files; if its sub-folders look like parts, or like a folder around the class folders, and
            neither ``split`` nor ``class_names`` says what they are.
    """
    root, first = Path(path).expanduser(), 0
    if not labelled:
        if split is not None:
            raise ValueError(
                f"split={split!r} chooses among parts that hold class folders, and labelled=False says that "
                f"there are none: read {shown(str(root / str(split)))!r} instead"
            )
        return _unlabelled(root, class_names)
    if split is None:
        folder = root
        classes, skipped = _class_folders(root, _not_to_read(root))
        images = [file for file, _ in skipped if is_image(file.suffix) and file.is_file()]
        if images and all(file.parent == root for file in images) and not any(one.files for one in classes):
            return replace(_unlabelled(root, class_names), folders=tuple(one.name for one in classes))
        if not classes:
            raise ValueError(
                f"path must be {_EXPECTED}, or images without a label, but {shown(str(root))} holds neither"
            )
        names = [one.name for one in classes]
    else:
        parts = _parts(root)
        split = _checks.one_of(shown(split) if isinstance(split, str) else split, parts, name="split")
        folder, classes, skipped = parts[split]
        names = sorted({one.name for _, others, _ in parts.values() for one in others})
        before = [others for name, (_, others, _) in parts.items() if name < split]
        first = sum(len(one.files) for others in before for one in others)
    if class_names is None:
        _check_layout(folder, classes)
    all_names = tuple(names) if class_names is None else _given(class_names, names)
    files = tuple(file for one in classes for file in one.files)
    if not files and not skipped:
        raise ValueError(f"{shown(str(root))} must hold {KINDS} images in its class folders, found none")
    number = {name: label for label, name in enumerate(all_names)}
    labels = np.array([number[one.name] for one in classes for _ in one.files], np.int64)
    folders = tuple(one.name for one in classes)
    return ImageFiles(files, labels, all_names, folders, first, tuple(skipped))


def _unlabelled(root, class_names):
    """The image files of a folder at any depth, none of which has a label."""
    _check_folder(root)
    skipped = []
    files = tuple(_read_class(root, root, {}, skipped).files)
    if not files and not skipped:
        raise ValueError(f"{shown(str(root))} must hold {KINDS} images, found none")
    names = () if class_names is None else _given(class_names, ())
    return ImageFiles(files, np.full(len(files), UNKNOWN), names, (), 0, tuple(skipped))


def _check_layout(root, classes):
    """Refuse a folder whose sub-folders are not classes, but parts of a data set, or hold the classes."""
    meant = _meant(root, set().union(*(one.holding for one in classes)))
    if meant is None:
        return
    folder, part = meant
    instead = f"Read {str(folder / (part or ''))!r} instead"
    if part is not None:
        instead += f", or call data.from_folder({str(folder)!r}, split={part!r})"
    names = [one.name for one in classes]
    deep = next(one for one in classes if one.holding and all(len(parts) > 1 for parts in one.holding))
    inner = _checks.listed(sorted({shown(parts[1]) for parts in deep.holding})[:3])
    raise ValueError(
        f"{shown(str(root))} must hold one sub-folder of images for each class, but {deep.name!r} in it "
        f"holds only folders, such as {inner}: the classes seem to lie below. {instead}; or, if "
        f"{_checks.listed(names)} are the classes, pass class_names={names if len(names) < 20 else '[...]'}"
    )


def _check_folder(root):
    if not root.exists():
        raise FileNotFoundError(f"no folder {shown(str(root))}; expected {_EXPECTED}")
    if not root.is_dir():
        raise ValueError(f"path must be {_EXPECTED}, got the file {shown(str(root))}")


def _not_to_read(root):
    """Real paths of a folder and of those above it, to which a link would lead in a circle."""
    _check_folder(root)
    return dict.fromkeys(map(os.path.realpath, (root, *root.resolve().parents)))


def _parts(root):
    """Each sub-folder in which there is an image, by name: it, its classes, and what is left out there."""
    folders, seen = [], _not_to_read(root)
    for folder in _sub_folders(root):
        real = os.path.realpath(folder)
        if real not in seen:  # else a link to what is read in any case
            seen[real] = None
            folders.append(folder)
    parts = {}
    for folder in sorted(folders):
        classes, skipped = _class_folders(folder, seen)
        if any(one.files for one in classes):
            parts[shown(folder.name)] = folder, classes, skipped
    if not parts:
        raise ValueError(
            f"split must name a sub-folder of {shown(str(root))} that holds one sub-folder of images for "
            "each class, but there is none; leave split out if that folder itself holds the class folders"
        )
    return dict(sorted(parts.items()))


def _class_folders(root, seen):
    """The classes of a folder, by name, and what is left out there.

    ``seen`` maps the real paths of folders that are not read (again) to where they were read, or None; those
    of this folder are added.
    """
    classes, skipped, folder_of = [], [], {}
    for folder in _sub_folders(root):
        one = _read_class(root, folder, seen, skipped)
        if one is None:
            continue
        before = folder_of.setdefault(one.name, folder)
        if before != folder:
            both = f"{before.name!r} and {folder.name!r}"
            raise ValueError(f"class folders must have different names once escaped, got {both}")
        classes.append(one)
    for file in sorted(root.iterdir()):
        if not file.name.startswith(".") and is_image(file.suffix) and file.is_file():
            skipped.append((file, "it is in no class folder"))
    return sorted(classes, key=lambda one: one.name), skipped


def _sub_folders(root):
    """Those that are not hidden: links last, so that what is met twice is read where it lies."""
    folders = [entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(folders, key=lambda folder: (folder.is_symlink(), folder.name))


def _read_class(root, top, seen, skipped):
    """A class folder, in whatever depth its images are; None where it was read before."""
    found, holding = {}, set()

    def leave_out(error):
        skipped.append((Path(error.filename), error.strerror))

    for parent, folders, names in os.walk(top, onerror=leave_out):
        real = os.path.realpath(parent)
        if real in seen:
            why = "a link to a folder that holds class folders, or to one above"
            if seen[real] is not None:
                why = f"the same folder as {shown(os.path.relpath(seen[real], root))}"
            skipped.append((Path(parent), why))
            if parent == str(top):
                return None
            folders.clear()
            continue
        seen[real] = parent
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links = [path for name in folders if os.path.islink(path := os.path.join(parent, name))]
        skipped += [(Path(link), "a link to a folder is not followed here") for link in links]
        at = Path(parent).relative_to(root).parts
        for name in sorted(names):
            path, suffix = os.path.join(parent, name), os.path.splitext(name)[1]
            # A pipe with the name of an image would block for ever; isfile leaves it out.
            if name.startswith(".") or not is_image(suffix) or not os.path.isfile(path):
                continue
            why = not_read(suffix)
            if why is None:
                found[(*at, name)] = Path(path)
                holding.add(at)
            else:
                skipped.append((Path(path), why))
    return _Class(shown(top.name), [found[parts] for parts in sorted(found)], holding)


def _given(class_names, found):
    """The names of the classes, in the order of their labels, where the caller chose them."""
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise ValueError(f"class_names must be a sequence of strings, got {class_names!r}")
    given = tuple(map(shown, class_names))
    strange = [name for name in found if name not in given]
    if strange:
        raise ValueError(f"sub-folders must be among class_names {_checks.listed(given)}; got {strange[0]!r}")
    return given


def _meant(root, holding):
    """The folder, and the name of its part or None, to read where sub-folders of ``root`` are not classes.

    ``holding`` are the folders that hold images themselves, each as the names on the way from ``root``.
    """
    below = {}
    for first, *rest in holding:
        below.setdefault(first, set()).add(tuple(rest))
    deep = [name for name in sorted(below) if () not in below[name]]
    if not deep:
        return None
    first = next((name for name in deep if name.lower() in _TRAIN), deep[0])
    if _are_parts(below):
        return root, first
    inner = [{parts[0] for parts in below[name]} for name in deep]
    if len(below) == 1:  # a folder around the classes, or around another such one
        again = _meant(root / first, below[first])
        several = len(inner[0]) > 1 and not _are_parts(inner[0])
        return again or ((root / first, None) if several else None)
    shared = set.intersection(*inner)
    if len(deep) == len(below) and len(shared) > 1 and not _are_parts(shared):
        return root, first
    return None


def _are_parts(names):
    return all(name.lower() in _PARTS for name in names)
