"""What was found in a folder of images, and the sentences that say so."""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simnb import __version__, _table, page, widgets
from simnb._text import shown
from simnb._threads import in_threads, processors
from simnb._types import AnyPath
from simnb.calibration.guarantees import fewest
from simnb.collection import Leaks, Mislabelled, NearDuplicates
from simnb.data import Examples, LazyImages
from simnb.data.image_file import thumbnail
from simnb.data.reading import name_from
from simnb.index import UNKNOWN
from simnb.metrics import Interval
from simnb.page import write_page
from simnb.search import SimilaritySearch

_NAMED = 3  # files or classes that a sentence names
#: Up to how many images thumbnails are read with how many pixels a side: a page has room for no more.
_SIDES, _LEAST_SIDE = ((600, 256), (2_400, 128)), 64
#: What a promise says of new images.
_MEANING = {
    "precision": "at least {share:.4g}% of the names that new images get are right",
    "accuracy": "at least {share:.4g}% of new images are answered right",
    "recall": "at least {share:.4g}% of new images get their right name",
    "coverage": "at least {share:.4g}% of new images get a name",
}


@dataclass(frozen=True, eq=False, repr=False)
class FolderSearch:
    """A folder of images that can be searched, and what was found in it; it shows itself in sentences.

    Attributes:
        search: The ``SimilaritySearch``: embedder, index and calibration. Each row of its index has the name
            of its file below the folder in its metadata, as ``file``. ``search.calibration`` is None where
            there is nothing to calibrate with; where its promise is not met, its first cutpoint is the one of
            best F1.
        folder: The folder.
        examples: ``Examples`` of all images that could be read, of the size that the embedder takes.
        embeddings: Theirs, shape [num_examples, dim].
        files: Their files, in the same order.
        asked: Ids of the images that are not indexed: R@1 and the threshold are of these.
        duplicates: The ``NearDuplicates`` among all images.
        leaks: The ``Leaks`` between what was drawn to be indexed and to be asked, before near-duplicates were
            all indexed; None where nothing is asked.
        mislabelled: The ``Mislabelled`` candidates; None where classes are too few or too small.
        recall: R@1 of the images that were asked, with an exact binomial interval; None where there are none.
        let_in: Share of them that would be given a name if their own class were not indexed; None where
            there are none.
        left_out: ``(file, reason)`` of each file that was not read.
        empty_classes: Names of the class folders without an image.
    """

    search: SimilaritySearch
    folder: Path
    examples: Examples
    embeddings: NDArray[np.float32]
    files: tuple[Path, ...]
    asked: NDArray[np.int64]
    duplicates: NearDuplicates
    leaks: Leaks | None
    mislabelled: Mislabelled | None
    recall: Interval | None
    let_in: float | None
    left_out: tuple[tuple[str, str], ...]
    empty_classes: tuple[str, ...]

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What was found, and what could not be told and why: pairs of a word or two and a sentence."""
        facts = {
            "Images": self._images(),
            "Not read": self._not_read(),
            "Near-duplicates": self._duplicates(),
            "Leaks": self._leaks(),
            "Right at first": self._right(),
            "Threshold": self._threshold(),
            "Promise": self._promise(),
            "Other classes": self._let_in(),
            "Labels": self._labels(),
        }
        return tuple((label, sentence) for label, sentence in facts.items() if sentence)

    def write_page(self, path: AnyPath, *, title: str | None = None) -> Path:
        """Write a page that shows all of this and works offline, as ``simnb.page.write_page`` does.

        A page that is there and shows the very same is left as it is.

        Args:
            path: The file to write, ``.html``.
            title: Title of the page; by default the folder and how many images there are.

        Raises:
            ValueError: If there are more images than a page holds.
            OSError: If an image or the page cannot be read or written.
        """
        path = Path(path).expanduser()
        images = _count(len(self.examples), "image")
        title = title or f"{shown(self.folder.resolve().name)}: {images} and what they are like"
        fingerprint = self._fingerprint(title)
        if fingerprint and path.is_file() and fingerprint.encode() in path.read_bytes():
            return path
        made_by = f"simnb {__version__}" + (
            f", of files with the fingerprint {fingerprint}." if fingerprint else "."
        )
        return write_page(
            path,
            replace(self.examples, images=self._thumbnails()),
            self.embeddings,
            calibration=self.search.calibration,
            duplicates=self.duplicates,
            leaks=self.leaks,
            mislabelled=self.mislabelled,
            facts=(*self.facts, ("Made by", made_by)),
            names=[name_from(self.folder, file) for file in self.files],
            title=title,
        )

    def _fingerprint(self, title):
        """A digest of all that a page shows and of what draws it; None where files may still change."""
        stamps = self.examples.images.stamps()
        if None in stamps:
            return None
        calibration = None if self.search.calibration is None else self.search.calibration.to_json()
        names = [shown(file.as_posix()) for file in self.files]
        words = (title, self.facts, names, stamps, self.examples.class_names, calibration)
        digest = hashlib.sha256(repr(words).encode())
        for array in (self.embeddings, self.examples.labels, self.asked):
            digest.update(np.ascontiguousarray(array).tobytes())
        for package in (page, widgets):
            for file in sorted(Path(package.__file__).parent.glob("*.*")):
                digest.update(file.read_bytes())
        return digest.hexdigest()[:32]

    def _thumbnails(self):
        """The images as they are shown: in their proportions, read when they are needed."""
        files, workers = self.files, processors()
        side = next((side for most, side in _SIDES if len(files) <= most), _LEAST_SIDE)

        def read(rows):
            done = in_threads(lambda at: thumbnail(files[rows[at]], side), len(rows), workers)
            with contextlib.closing(done):
                return np.stack(list(done))

        return LazyImages(read, len(files), (side, side, 3))

    def __repr__(self) -> str:
        return "\n".join(f"{label}: {sentence}" for label, sentence in self.facts)

    def _repr_html_(self) -> str:
        return _table.as_html(["", "what was found"], self.facts, left=("", "what was found"))

    def _images(self):
        labels, counts = np.unique(self.examples.labels, return_counts=True)
        known = labels != UNKNOWN
        total = _count(len(self.examples), "image")
        if not known.any():
            return f"{total}, without labels."
        order = np.argsort(-counts[known], kind="stable")
        names = [self.examples.class_names[label] for label in labels[known][order]]
        sizes = [f"{name} ({n:,})" for name, n in zip(names, counts[known][order], strict=True)]
        empty = f" No image in {_first(self.empty_classes)}." if self.empty_classes else ""
        return f"{total} of {_count(len(names), 'class')}: {_first(sizes)}.{empty}"

    def _not_read(self):
        if not self.left_out:
            return ""
        named = _first([f"{file} ({why})" for file, why in self.left_out])
        return f"{_count(len(self.left_out), 'file')}: {named}."

    def _duplicates(self):
        found = self.duplicates
        if found.chance is None:
            why = "in so few images, or such small classes, nothing tells what is near by chance"
            return f"{_count(len(found.ids), 'image')} with an exact copy. More was not looked for: {why}."
        within = f"within {found.distance} distance {found.threshold:.3g}"
        if not len(found):
            return f"None {within}."
        groups = f"{_count(len(found.ids), 'image')} in {_count(len(found), 'group')} {within}"
        first = _first(self._names_of(found.groups[0]))
        by_chance = f"pairs of different images expected to be that near by chance: {found.chance_pairs:.2g}"
        return f"{groups}, such as {first} ({by_chance})."

    def _leaks(self):
        if self.leaks is None:
            return ""
        drawn = f"of {self.leaks.sizes['asked']:,} images drawn to be asked"
        one = len(self.leaks) == 1
        they = ("it is", "it flatters") if one else ("they are", "they flatter")
        mended = f"; {they[0]} indexed instead, so that {they[1]} nothing" if len(self.leaks) else ""
        were = "was" if one else "were"
        return f"{len(self.leaks):,} {drawn} {were} nearly the same as one to be indexed{mended}."

    def _right(self):
        if self.recall is None:
            return self._why_nothing_is_asked()
        value, low, high = (100 * one for one in (self.recall.value, self.recall.low, self.recall.high))
        return (
            f"{value:.1f}% of {_count(len(self.asked), 'image')} that were asked have one of their own "
            f"class nearest among the {len(self.search.index):,} indexed (R@1; "
            f"{100 * self.recall.confidence:g}% interval {low:.1f} to {high:.1f})."
        )

    def _why_nothing_is_asked(self):
        labels, counts = np.unique(self.examples.labels, return_counts=True)
        counts = counts[labels != UNKNOWN]
        needs = "R@1, a threshold and its promise need"
        if len(counts) < 2:
            what = "labels: one sub-folder for each class" if not len(counts) else "two classes or more"
            return f"Cannot be told: {needs} {what}. All images are indexed, and the nearest can be searched."
        if counts.max() < 2:
            return f"Cannot be told: {needs} classes of two images or more, one to index and one to ask."
        return f"Cannot be told: {needs} images to ask that are no near-duplicates of others."

    def _threshold(self):
        calibration = self.search.calibration
        if calibration is None:
            return ""
        chosen = calibration.cutpoint
        if not np.isfinite(chosen.threshold):
            return "None: no image that was asked finds its own class nearest, so that all are Unknown."
        answered, precision = 100 * chosen.rates["coverage"], 100 * chosen.rates["precision"]
        return (
            f"{chosen.threshold:.3g} {calibration.distance} distance. Up to there an image gets the name of "
            f"the nearest one, beyond it is Unknown. {answered:.0f}% of those asked get a name, and "
            f"{precision:.1f}% of these names are right."
        )

    def _promise(self):
        calibration = self.search.calibration
        if calibration is None:
            return ""
        chosen = calibration["promise"]
        if chosen.met:
            meaning = _MEANING[chosen.goal.metric].format(share=100 * chosen.goal.target)
            return (
                f"{chosen}: {meaning}, as long as they are like those here, and of these classes. At most "
                f"{100 * (1 - chosen.confidence):.3g} of 100 thresholds that are chosen so miss it."
            )
        return (
            f"None. No threshold keeps {chosen}: {fewest(chosen.goal, chosen.confidence)}, and here "
            f"{_count(calibration.num_known, 'image')} were asked. So the threshold is the one of best F1. "
            "More images, a better embedder or a smaller promise would help."
        )

    def _let_in(self):
        if self.let_in is None:
            return ""
        return (
            f"No promise covers images of other classes. {100 * self.let_in:.0f}% of those asked would "
            "get a wrong name if their own class were not indexed."
        )

    def _labels(self):
        found = self.mislabelled
        if found is None or not len(found):
            return ""
        files, names = self._names_of(found.ids), self.examples.class_names
        rather = [f"{file} (rather {names[one]})" for file, one in zip(files, found.suggested, strict=True)]
        return (
            f"{_count(len(found), 'image')} with mostly images of another class around: {_first(rather)}. "
            "Look at them: the label is wrong, or the embedder cannot tell."
        )

    def _names_of(self, ids):
        row = {one: at for at, one in enumerate(self.examples.ids.tolist())}
        return [name_from(self.folder, self.files[row[one]]) for one in ids.tolist()]


def _count(number: int, one: str) -> str:
    several = f"{one}es" if one.endswith("s") else f"{one}s"
    return f"{number:,} {one if number == 1 else several}"


def _first(names: Sequence[str] | Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
