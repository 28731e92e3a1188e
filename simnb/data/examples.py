"""Images with their labels, and disjoint parts of them."""

import hashlib
import math
import numbers
import operator
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._text import shown
from simnb._types import UNKNOWN
from simnb.data import dealing
from simnb.data.lazy import LazyImages, part_of

# Bytes of images hashed at a time by ``fingerprint``: lazy ones are not all read at once.
_HASHED_AT_ONCE = 1 << 26


@dataclass(frozen=True, eq=False, repr=False)
class Examples:
    """Images, what they show, and a number that tells them apart.

    ``examples[:10]``, ``examples[mask]``, ``examples[[3, 1]]`` and ``examples[3]`` are ``Examples`` again.

    Attributes:
        images: Shape [num_examples, height, width, channels], usually uint8. Kept as it is: a memory map
            is read when it is indexed, not before. Parts of ``LazyImages`` are lazy too; those of a memory
            map are views where they are slices, else copies.
        labels: Shape [num_examples] int64, from 0 to ``len(class_names) - 1``; ``UNKNOWN``, -1, where an
            example has no label. ``examples.only(examples.class_names)`` are those that have one.
        class_names: ``class_names[label]`` is the name of a class. Parts keep all of them. Bytes that are
            not UTF-8, as in some file names, are escaped: ``caf\\xe9``.
        ids: Unique, shape [num_examples] int64. Parts keep theirs.
        class_metadata: What else is known of the classes: a name and, for each class, one value, as in
            ``{"script": ("Latin", "Greek")}`` for two classes; None where it is not known. Parts keep all of
            it. ``dataclasses.replace(examples, class_metadata=...)`` adds some to examples there are.

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
    class_metadata: Mapping[str, Sequence[Any]] = field(default_factory=dict)

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
        outside = (labels < UNKNOWN) | (labels >= len(class_names))
        if outside.any():
            raise ValueError(
                f"labels must be from 0 to {len(class_names) - 1} for {len(class_names)} class_names, or "
                f"{UNKNOWN} for none, got {labels[outside][0]} in row {outside.argmax()}"
            )
        values, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"ids must be unique, got id {values[counts > 1][0]} more than once")
        checked = {"images": images, "labels": labels, "class_names": class_names, "ids": ids}
        checked["class_metadata"] = _class_metadata(self.class_metadata, len(class_names))
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
        images, labels, ids = part_of(self.images, rows), self.labels[rows], self.ids[rows]
        return Examples(images, labels, self.class_names, ids, self.class_metadata)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        labelled = self.labels != UNKNOWN
        classes, unlabelled = len(np.unique(self.labels[labelled])), np.sum(~labelled)
        shows = [f"{classes} class{'es' * (classes != 1)}"] if classes or not unlabelled else []
        shows += [f"{unlabelled if classes else 'all'} without a label"] if unlabelled else []
        return (
            f"Examples({len(self)} image{'s' * (len(self) != 1)} {size} {self.images.dtype}, "
            f"{', '.join(shows)})"
        )

    @property
    def metadata(self) -> dict[str, list[Any]]:
        """``class_metadata`` by example: for each name one value for each example, None without a label.

        It is what an index takes: ``index.add(embeddings, examples.labels, examples.metadata)``.
        """
        return {
            name: [None if label == UNKNOWN else values[label] for label in self.labels.tolist()]
            for name, values in self.class_metadata.items()
        }

    def fingerprint(self) -> str:
        """Say in a few letters which examples these are.

        Returns:
            A count and a digest, such as ``60,000 examples, 0123456789abcdef``; equal where images, labels,
            ids and class names are, in the same order. All images are read.
        """
        dtype = np.asarray(self.images[:0]).dtype
        described = (tuple(self.images.shape), dtype.name, self.class_names)
        digest = hashlib.sha256(repr(described).encode())
        digest.update(np.stack([self.labels, self.ids]).astype("<i8").tobytes())
        size = max(1, _HASHED_AT_ONCE // max(1, dtype.itemsize * math.prod(self.images.shape[1:])))
        for start in range(0, len(self), size):
            images = np.asarray(self.images[start : start + size])
            digest.update(images.astype(images.dtype.newbyteorder("<"), copy=False).tobytes())
        return f"{len(self):,} example{'s' * (len(self) != 1)}, {digest.hexdigest()[:16]}"

    def take_per_class(self, n: int, *, seed: int = 0) -> "Examples":
        """Draw ``n`` examples of each class, without replacement.

        Args:
            n: How many to draw of each class that has examples.
            seed: The same seed draws the same examples.

        Returns:
            The examples drawn, in the order they have here.

        Raises:
            ValueError: If a class has examples, but fewer than ``n``, or an example has no label.
        """
        _checks.labelled(self.labels, "take_per_class")
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

    def with_rotations(self) -> "Examples":
        """Add further classes to train on: each class turned by 90, 180 and 270 degrees.

        A character that is turned is mostly another character. So an embedder learns from four times as many
        classes, which helps it with classes that it never saw. Those that look the same when they are turned,
        such as O, become classes that nobody can tell apart. Not for photographs that are taken any way up.

        Returns:
            These examples, then all of them turned by 90, 180 and 270 degrees, against the clock. Labels of
            the first are as here; class names of the others say how they are turned. Images are turned when
            they are read. Ids are new: four for each here.

        Raises:
            ValueError: If the images are not square.

        References:
            Santoro et al., Meta-Learning with Memory-Augmented Neural Networks, 2016: of Omniglot.
            https://arxiv.org/abs/1605.06065
        """
        height, width = self.images.shape[1:3]
        if height != width:
            raise ValueError(
                f"images must be square to be turned by 90 degrees, got {height} x {width}; "
                "load(..., image_size=(32, 32)) and from_folder(..., image_size=(32, 32)) resize them"
            )
        count, turns, labels = len(self), np.repeat(np.arange(4), len(self)), np.tile(self.labels, 4)

        def read(rows):
            images = np.array(self.images[rows % count])
            for turn in (1, 2, 3):
                turned = rows // count == turn
                images[turned] = np.rot90(images[turned], turn, axes=(1, 2))
            return images

        dtype = np.asarray(self.images[:0]).dtype
        endings = ["", *(f", turned by {degrees}°" for degrees in (90, 180, 270))]
        return Examples(
            LazyImages(read, 4 * count, tuple(self.images.shape[1:]), dtype),
            np.where(labels == UNKNOWN, UNKNOWN, labels + turns * len(self.class_names)),
            tuple(name + ending for ending in endings for name in self.class_names),
            np.tile(self.ids, 4) * 4 + turns,
            {name: tuple(values) * 4 for name, values in self.class_metadata.items()},
        )

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

        Each part but for unknown classes has every class; ``split_classes`` makes parts that share none.
        Examples without a label are cut by the same fractions.

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
        ends = np.cumsum(dealing.shares(fractions))
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
                        f"{part}={fractions[part]} leaves no example of {self._named(label)}, which has "
                        f"{len(positions)}; pass {dealing.would_do(fractions, by_class)}, or leave "
                        "the class out with only()"
                    )
                parts[part].append(cut)
        shuffled = {name: self[rng.permutation(np.concatenate(cuts))] for name, cuts in parts.items()}
        return Splits(**shuffled, unknown=tuple(held_out))

    def split_classes(
        self,
        *,
        train: float = 0.6,
        validation: float = 0.0,
        test: float | None = None,
        by: str | None = None,
        whole: bool = False,
        seed: int = 0,
    ) -> "ClassSplits":
        """Cut into parts that share no class: what is learned on some classes is measured on others.

        Args:
            train: Fraction of the classes to train on.
            validation: Fraction of the classes to make choices with, such as a threshold or when to stop.
            test: Fraction of the classes to measure on in the end; by default all the others.
            by: A name of ``class_metadata``: the classes of each of its values are divided by about the same
                fractions. None is a value, too.
            whole: Keep the classes of each value of ``by`` together, so that test holds groups, such as
                scripts, of which training sees nothing. The fractions are met about, as far as whole groups
                allow. With ``by="looks_like"`` letters of glyphs that look the same stay together.
            seed: The same seed gives the same parts.

        Returns:
            ``ClassSplits(train, validation, test)``, each with all examples of its classes, in the order
            they have here; labels, class names and metadata keep their numbering. Only classes that have
            examples count.

        Raises:
            ValueError: If the fractions are not fractions, an example has no label, a class has a single
                example, which leaves it without a pair, a part that was asked for would get no class, or
                there is no such ``by``.

        Example:
            >>> from simnb import data
            >>> parts = data.load("digits").split_classes(train=0.7)
            >>> parts.train, parts.test
            (Examples(1008 images 32x32x3 uint8, 7 classes), Examples(430 images 32x32x3 uint8, 3 classes))
        """
        fractions = {"train": train, "validation": validation}
        learned = sum(
            _checks.number(value, name=name, at_least=0, at_most=1) for name, value in fractions.items()
        )
        # Rounded, because 1 - 0.7 - 0.3 is more than nothing in floats.
        fractions["test"] = max(0.0, round(1 - learned, 9)) if test is None else test
        dealing.shares(fractions)
        _checks.not_empty(self, name="examples to split")
        _checks.labelled(self.labels, "split_classes")
        self._check_pairs()
        classes = np.unique(self.labels)
        groups = self._groups(classes, by, whole)
        rng = np.random.default_rng(_checks.seed(seed))
        deal = dealing.whole_groups if whole else dealing.every_group
        parts = dict(zip(fractions, deal(groups, np.array(list(fractions.values())), rng), strict=True))
        for name, chosen in parts.items():
            if fractions[name] > 0 and len(chosen) == 0:
                what = f"{len(np.unique(groups))} groups" if whole else f"{len(classes)} classes"
                raise ValueError(
                    f"{name}={fractions[name]:.3g} leaves no class for {name} of {what}; pass a larger "
                    f"fraction, or {name}=0"
                )
        return ClassSplits(**{name: self.only(classes[chosen]) for name, chosen in parts.items()})

    def _named(self, label):
        return "the part without a label" if label == UNKNOWN else f"class {self.class_names[label]!r}"

    def _check_pairs(self):
        labels, counts = np.unique(self.labels, return_counts=True)
        single = labels[counts == 1]
        if len(single):
            names = _checks.listed(self.class_names[label] for label in single)
            raise ValueError(
                f"each class must have two examples or more, which make a pair, got one of {names}; leave "
                "such classes out: examples.only(np.flatnonzero(np.bincount(examples.labels) > 1))"
            )

    def _groups(self, classes, by, whole):
        """The group of each of some classes, as integers in the order of their first class."""
        if by is None:
            if whole:
                raise ValueError(
                    "whole=True keeps groups together: pass by, the name of what groups the classes"
                )
            return np.zeros(len(classes), np.int64)
        if not isinstance(by, str) or by not in self.class_metadata:
            known = _checks.listed(self.class_metadata) or "none here"
            raise ValueError(f"by must be a name of class_metadata, which are {known}; got {by!r}")
        values = [self.class_metadata[by][label] for label in classes]
        odd = [value for value in values if not isinstance(value, Hashable)]
        if odd:
            raise ValueError(
                f"by must name values such as strings, which group classes, got {odd[0]!r} in {by!r}"
            )
        numbers_of = {value: number for number, value in enumerate(dict.fromkeys(values))}
        return np.array([numbers_of[value] for value in values])

    def _positions_by_class(self):
        order = np.argsort(self.labels, kind="stable")
        labels, starts = np.unique(self.labels[order], return_index=True)
        return list(zip(labels.tolist(), np.split(order, starts[1:]), strict=True)) if len(labels) else []

    def _labels_of(self, classes, name):
        single = isinstance(classes, str | numbers.Integral)
        label_of = {name: label for label, name in enumerate(self.class_names)}
        found = set()
        for wanted in [classes] if single else list(classes):
            if isinstance(wanted, str) and shown(wanted) in label_of:
                found.add(label_of[shown(wanted)])
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


@dataclass(frozen=True, eq=False)
class ClassSplits:
    """Disjoint parts: no class is in two of them.

    ``train, validation, test = splits`` unpacks the parts.

    Attributes:
        train: What the embedder learns from.
        validation: What choices are made with; empty unless it was asked for.
        test: What is measured on in the end, classes that nothing was learned or chosen with.
    """

    train: Examples
    validation: Examples
    test: Examples

    def __iter__(self) -> Iterator[Examples]:
        return iter((self.train, self.validation, self.test))


def _class_metadata(metadata, count):
    """Metadata of classes as a dict of tuples, or ValueError."""
    if not isinstance(metadata, Mapping):
        raise ValueError(
            "class_metadata must be a dict of one value for each class, such as "
            f'{{"script": ("Latin", "Greek")}}, got {metadata!r}'
        )
    checked = {}
    for name, values in metadata.items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"names of class_metadata must be strings, got {name!r}")
        values = values.tolist() if hasattr(values, "tolist") else values
        if isinstance(values, str | bytes | Mapping | Set) or not hasattr(values, "__len__"):
            raise ValueError(f"class_metadata {name!r} must be a list of {count} values, got {values!r}")
        if len(values) != count:
            raise ValueError(
                f"class_metadata {name!r} must have one value for each of the {count} class_names, "
                f"got {len(values)}"
            )
        checked[name] = tuple(values)
    return checked


def _positions(key, count):
    array = np.asarray(key)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if isinstance(key, tuple) or array.ndim != 1 or array.dtype.kind not in "iub":
        raise IndexError(f"examples take an int, a slice, a mask or an array of positions, got {key!r}")
    if array.dtype.kind == "b" and len(array) != count:
        raise IndexError(f"a mask must have one value for each of the {count} examples, got {len(array)}")
    return array


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an integer of Python or NumPy; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
