"""Images with their labels, and disjoint parts of them."""

import numbers
import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._text import shown
from simnb.data.lazy import LazyImages, part_of


@dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """Images, what they show, and a number that tells them apart.

    ``examples[:10]``, ``examples[mask]``, ``examples[[3, 1]]`` and ``examples[3]`` are ``Examples`` again.

    Attributes:
        images: Shape [num_examples, height, width, channels], usually uint8. Kept as it is: a memory map
            is read when it is indexed, not before. Parts of ``LazyImages`` are lazy too; those of a memory
            map are views where they are slices, else copies.
        labels: Shape [num_examples] int64, from 0 to ``len(class_names) - 1``.
        class_names: ``class_names[label]`` is the name of a class. Parts keep all of them. Bytes that are
            not UTF-8, as in some file names, are escaped: ``caf\\xe9``.
        ids: Unique, shape [num_examples] int64. Parts keep theirs.

    Example:
        >>> import numpy as np
        >>> from simnb import data
        >>> examples = data.from_arrays(np.zeros((3, 8, 8, 1), np.uint8), ["cat", "dog", "cat"])
        >>> examples
        Examples(3 images 8x8x1 uint8, 2 classes)
        >>> examples.only("cat").ids
        array([0, 2])
    """

    images: NDArray | LazyImages
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        images = _checks.images(self.images)
        if getattr(images.dtype, "kind", "u") in "OSTU":
            raise ValueError(f"images must be numbers, got dtype {images.dtype}")
        labels = _checks.labels(self.labels, count=len(images), of="images")
        ids = _checks.labels(self.ids, count=len(images), name="ids", of="images")
        if isinstance(self.class_names, str) or not all(isinstance(name, str) for name in self.class_names):
            raise ValueError(f"class_names must be a sequence of strings, got {self.class_names!r}")
        class_names = tuple(map(shown, self.class_names))
        if len(set(class_names)) < len(class_names):
            raise ValueError(f"class_names must be unique, got {_checks.listed(class_names)}")
        outside = (labels < 0) | (labels >= len(class_names))
        if outside.any():
            raise ValueError(
                f"labels must be from 0 to {len(class_names) - 1} for {len(class_names)} class_names, "
                f"got {labels[outside][0]} in row {outside.argmax()}"
            )
        values, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"ids must be unique, got id {values[counts > 1][0]} more than once")
        checked = {"images": images, "labels": labels, "class_names": class_names, "ids": ids}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: int | slice | ArrayLike) -> "Examples":
        """Return the examples at an int, a slice, a mask or an array of positions."""
        if is_integer(key):
            position = operator.index(key)
            if not -len(self) <= position < len(self):
                raise IndexError(f"position {position} is out of range for {len(self)} examples")
            key = [position]
        rows = key if isinstance(key, slice) else _positions(key, len(self))
        return Examples(part_of(self.images, rows), self.labels[rows], self.class_names, self.ids[rows])

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        classes = len(np.unique(self.labels))
        return (
            f"Examples({len(self)} image{'s' * (len(self) != 1)} {size} {self.images.dtype}, "
            f"{classes} class{'es' * (classes != 1)})"
        )

    def take_per_class(self, n: int, *, seed: int = 0) -> "Examples":
        """Draw ``n`` examples of each class, without replacement.

        Args:
            n: How many to draw of each class that has examples.
            seed: The same seed draws the same examples.

        Returns:
            The examples drawn, in the order they have here.

        Raises:
            ValueError: If a class has examples, but fewer than ``n``.
        """
        n = _checks.positive_int(n, name="n")
        rng = np.random.default_rng(_checks.seed(seed))
        drawn = []
        for label, positions in self._positions_by_class():
            if len(positions) < n:
                raise ValueError(
                    f"take_per_class({n}) needs {n} examples of each class, but class "
                    f"{self.class_names[label]!r} has {len(positions)}"
                )
            drawn.append(rng.choice(positions, n, replace=False))
        return self[np.sort(np.concatenate(drawn))] if drawn else self

    def only(self, classes: str | int | Iterable[str | int]) -> "Examples":
        """Keep the examples of some classes.

        Args:
            classes: Names or integer labels, or a single one of them.

        Returns:
            The examples of these classes, in the order they have here; labels and class names keep
            their numbering.

        Raises:
            ValueError: If there is no such class.
        """
        return self[np.isin(self.labels, self._labels_of(classes, "classes"))]

    def split(
        self,
        *,
        train: float = 0.6,
        gallery: float = 0.2,
        calibration: float = 0.1,
        query: float = 0.1,
        unknown: str | int | Iterable[str | int] = (),
        seed: int = 0,
    ) -> "Splits":
        """Cut into disjoint parts, each class by the same fractions.

        Args:
            train: Fraction of each class to train on.
            gallery: Fraction of each class to index.
            calibration: Fraction of each class to choose the threshold with.
            query: Fraction of each class to ask with.
            unknown: Classes, by name or label, held out as unknown: none of their examples is in
                ``train`` or ``gallery``, and ``calibration`` and ``query`` get the same fraction of them
                as of any other class. Their other examples are in no part.
            seed: The same seed gives the same parts, each shuffled. Holding a class out as unknown does
                not change where the examples of the others go.

        Returns:
            ``Splits(train, gallery, calibration, query, unknown)``.

        Raises:
            ValueError: If the fractions are not fractions, or a part that was asked for would get no
                example of a class.
        """
        fractions = {"train": train, "gallery": gallery, "calibration": calibration, "query": query}
        ends = np.cumsum(_fractions(fractions))
        _checks.not_empty(self, name="examples to split")
        held_out = self._labels_of(unknown, "unknown")
        rng = np.random.default_rng(_checks.seed(seed))
        parts = {name: [np.empty(0, np.int64)] for name in fractions}
        by_class = [(label, rng.permutation(positions)) for label, positions in self._positions_by_class()]
        absent = np.setdiff1d(held_out, self.labels)
        if len(absent):
            raise ValueError(f"unknown class {self.class_names[absent[0]]!r} has no examples to hold out")
        if train + gallery > 0 and len(held_out) == len(by_class):
            raise ValueError("unknown must leave at least one class for train and gallery, got all of them")
        for label, positions in by_class:
            # Rounding the ends and not the sizes is what neither loses nor doubles an example.
            cuts = np.rint(ends * len(positions)).astype(int)
            for part, cut in zip(fractions, np.split(positions, cuts)[:4], strict=True):
                if part in ("train", "gallery") and label in held_out:
                    continue
                if len(cut) == 0 and fractions[part] > 0:
                    raise ValueError(
                        f"{part}={fractions[part]} leaves no example of class {self.class_names[label]!r}, "
                        f"which has {len(positions)}; pass {_would_do(fractions, by_class)}, or leave "
                        "the class out with only()"
                    )
                parts[part].append(cut)
        shuffled = {name: self[rng.permutation(np.concatenate(cuts))] for name, cuts in parts.items()}
        return Splits(**shuffled, unknown=tuple(held_out))

    def _positions_by_class(self):
        order = np.argsort(self.labels, kind="stable")
        labels, starts = np.unique(self.labels[order], return_index=True)
        return list(zip(labels.tolist(), np.split(order, starts[1:]), strict=True)) if len(labels) else []

    def _labels_of(self, classes, name):
        single = isinstance(classes, str | numbers.Integral)
        found = set()
        for wanted in [classes] if single else list(classes):
            if isinstance(wanted, str) and shown(wanted) in self.class_names:
                found.add(self.class_names.index(shown(wanted)))
            elif is_integer(wanted) and 0 <= wanted < len(self.class_names):
                found.add(int(wanted))
            else:
                raise ValueError(
                    f"{name} must be among {_checks.listed(self.class_names)}, or their labels 0 to "
                    f"{len(self.class_names) - 1}; got {wanted!r}"
                )
        return sorted(found)


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint parts: no id is in two of them.

    ``train, gallery, calibration, query = splits`` unpacks the parts.

    Attributes:
        train: What the embedder learns from.
        gallery: What is indexed.
        calibration: What the threshold is chosen with.
        query: What is asked in the end.
        unknown: Labels of the classes held out as unknown; only ``calibration`` and ``query`` hold them.
    """

    train: Examples
    gallery: Examples
    calibration: Examples
    query: Examples
    unknown: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[Examples]:
        return iter((self.train, self.gallery, self.calibration, self.query))


def _positions(key, count):
    array = np.asarray(key)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if isinstance(key, tuple) or array.ndim != 1 or array.dtype.kind not in "iub":
        raise IndexError(f"examples take an int, a slice, a mask or an array of positions, got {key!r}")
    if array.dtype.kind == "b" and len(array) != count:
        raise IndexError(f"a mask must have one value for each of the {count} examples, got {len(array)}")
    return array


def _fractions(fractions):
    for name, value in fractions.items():
        _checks.number(value, name=name, at_least=0, at_most=1)
    total = sum(fractions.values())
    if not 0 < total <= 1 + 1e-9:
        asked = ", ".join(f"{name}={value}" for name, value in fractions.items())
        raise ValueError(f"fractions must add up to at most 1 and to more than 0, got {asked}")
    return list(fractions.values())


def _would_do(fractions, by_class):
    """Fractions near the given ones that give each part, or as many as can, an example of each class."""
    fewest = min(len(positions) for _, positions in by_class)
    # Where images are too few for all parts, leave out training first, then calibration.
    kept = [name for name in ("gallery", "query", "calibration", "train") if fractions[name] > 0][:fewest]
    sizes = {name: max(round(fractions[name] * fewest), 1) for name in kept}
    while sum(sizes.values()) > fewest:
        sizes[max(sizes, key=sizes.get)] -= 1
    scale = 10 ** (len(str(fewest)) + 2)
    # Rounded down, so that they add up to no more than 1.
    asked = {name: sizes.get(name, 0) * scale // fewest / scale for name in fractions}
    return ", ".join(f"{name}={f'{value!r}'.removesuffix('.0')}" for name, value in asked.items())


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer of Python or NumPy; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
