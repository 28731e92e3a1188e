"""The steps from a folder of images to a search of it."""

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from simnb import data
from simnb._text import shown
from simnb._threads import processors
from simnb._types import AnyPath, KerasObject
from simnb.calibration import calibrate
from simnb.collection import leaks, mislabelled, near_duplicates
from simnb.data import Examples, LazyImages
from simnb.data.reading import name_from, read_lazily
from simnb.distances import pairwise
from simnb.folder_search.result import FolderSearch
from simnb.index import UNKNOWN, Neighbors, open_index
from simnb.metrics import Interval
from simnb.models import embed
from simnb.search import SimilaritySearch

#: What is promised of a threshold where nothing else is asked for.
PROMISE = "precision >= 0.9"
#: How surely that is promised.
CONFIDENCE = 0.95
#: Share of each class that is indexed; the others are asked.
_GALLERY = 0.6
#: Height and width for an embedder that takes images of any size.
_SIZE = (224, 224)
_VOTES = 10  # neighbors, at most, that say whether a label may be wrong
_AT_ONCE = 1_000  # queries that are compared with all rows
_MOST_PIXELS = 50_000_000  # of an image, as where thumbnails are made


def search_folder(
    folder: AnyPath,
    model: KerasObject,
    *,
    labelled: bool = True,
    promise: str = PROMISE,
    confidence: float = CONFIDENCE,
    kept: AnyPath | None = None,
    known_as: str | None = None,
    batch_size: int = 64,
    seed: int = 0,
    progress: bool = True,
) -> FolderSearch:
    """Make a search of a folder of images, without training, and say what is in the folder.

    Of each class three fifths of the images are indexed, drawn at random, and the others are asked: how many
    of these find their class is R@1, and their distances choose a threshold that keeps the promise. Images
    that are nearly the same as another are all indexed and none of them is asked, which would flatter both.
    Files that cannot be read are left out and counted.

    Args:
        folder: A folder that holds one sub-folder of images for each class, or images without a label.
        model: The embedder: a Keras model, or any function from images to vectors. Images are resized to what
            it takes, without keeping their proportions; to 224 x 224 where it takes any size.
        labelled: False where sub-folders are no classes, as in ``simnb.data.from_folder``.
        promise: A target, such as ``precision >= 0.95``, that the threshold is to keep on new images, as in
            ``simnb.calibration.calibrate``. Where none keeps it, the threshold is the one of best F1.
        confidence: Of the promise and of the interval of R@1, above 0 and below 1.
        kept: Name of a file, ``.sqlite``, that keeps the embeddings: another run embeds only what is new.
        known_as: Name of the embedder in that file, as in ``simnb.models.embed``.
        batch_size: How many images are embedded at a time.
        seed: Seed of the draw.
        progress: Show bars where something takes more than five seconds.

    Returns:
        A ``FolderSearch``. A folder without classes, of one class or of one image gives what can be given;
        its facts say what cannot, and why.

    Raises:
        ValueError: If the folder holds no image that can be read, the promise is malformed or cannot be made,
            or ``kept`` is of another embedder.
        OSError: If there is no such folder, or ``kept`` cannot be written.

    Example:
        Images of one's own::

            found = search_folder("my_images", models.pretrained("cifar10"), kept="features.sqlite")
            print(found)
            found.search.match(data.read_image("photo.jpg", image_size=(32, 32))[None]).names
    """
    _check_promise(promise, confidence)
    root = Path(folder).expanduser()
    listed = data.list_images(root, labelled=labelled)
    options = {"kept": kept, "known_as": known_as, "batch_size": batch_size, "progress": progress}
    examples, embeddings, left_out = _embedded(model, listed, options)
    left_out = tuple((name_from(root, file), why) for file, why in left_out)
    if not len(examples):
        first, why = left_out[0]
        raise ValueError(f"{shown(str(root))} holds no image that can be read: {first} ({why})")
    files = tuple(listed.files[one] for one in examples.ids)
    everything = _index(examples, embeddings)
    duplicates = near_duplicates(everything)
    rows, asked, leaking = _divided(examples, embeddings, duplicates, seed)
    index = _index(examples[rows], embeddings[rows], [name_from(root, files[row]) for row in rows])
    search, recall, let_in = SimilaritySearch(model, index=index, batch_size=batch_size), None, None
    if len(asked):
        neighbors, labels = index.search(embeddings[asked], k=1), examples.labels[asked]
        recall = _recall(neighbors, labels, confidence)
        search.calibration = _calibrated(neighbors, labels, index, promise, confidence, seed)
        gallery = embeddings[rows], examples.labels[rows]
        let_in = _let_in(search.calibration.threshold, embeddings[asked], labels, *gallery)
    return FolderSearch(
        search,
        root,
        examples,
        embeddings,
        files,
        examples.ids[asked],
        duplicates,
        leaking,
        _mislabelled(everything, examples.labels),
        recall,
        let_in,
        left_out,
        _empty(listed, examples),
    )


def image_size(model: KerasObject) -> tuple[int, int]:
    """Height and width of the images that an embedder takes; 224 x 224 where it takes any."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        return _SIZE
    return shape[1] or _SIZE[0], shape[2] or _SIZE[1]


def _check_promise(promise, confidence):
    """Complain of a promise before the work that it would be made of, not after."""
    one = Neighbors(np.zeros((1, 1)), np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64))
    calibrate(one, [0], targets={"promise": promise}, confidence=confidence)


def _embedded(model, listed, options):
    """Examples of the files that can be read whole, their embeddings, and ``(file, why)`` of the others."""
    progress = options["progress"]
    images, reasons = read_lazily(listed.files, image_size(model), _MOST_PIXELS, processors(), progress)
    rows = np.flatnonzero([why is None for why in reasons])

    def read(at):
        try:
            return images[at]
        except OSError:
            for one in at.tolist():  # which of them it is, and whether others are, too
                try:
                    images[one]
                except OSError as error:
                    reasons[rows[one]] = str(error.__cause__ or error)
            raise

    def stamps(at):
        return images.select(at).stamps()

    watched = LazyImages(read, len(images), images.shape[1:], images.dtype, stamps=stamps)
    whole, embeddings = np.arange(len(images)), None
    with _somewhere(options) as options:
        while len(whole) and embeddings is None:
            try:
                embeddings = embed(model, watched.select(whole), **options)
            except OSError:
                if all(reasons[row] is None for row in rows[whole]):  # it is no image: a full disk, or such
                    raise
                whole = np.array([at for at, row in enumerate(rows) if reasons[row] is None], np.int64)
    rows = rows[whole]
    examples = Examples(images.select(whole), listed.labels[rows], listed.class_names, rows)
    unread = [(file, why) for file, why in zip(listed.files, reasons, strict=True) if why is not None]
    return examples, embeddings, [*listed.skipped, *unread]


@contextlib.contextmanager
def _somewhere(options):
    """Options that keep embeddings, be it for now: a damaged file then costs no other a second time."""
    if options["kept"] is not None or options["known_as"] is not None:
        yield options
        return
    with tempfile.TemporaryDirectory() as folder:
        yield {**options, "kept": Path(folder) / "features.sqlite", "known_as": "the embedder"}


def _empty(listed, examples):
    """Names of the class folders of which there is no example."""
    filled = {examples.class_names[label] for label in np.unique(examples.labels) if label != UNKNOWN}
    return tuple(name for name in listed.folders if name not in filled)


def _index(examples, embeddings, files=()):
    index = open_index(distance="cosine", class_names=examples.class_names or None)
    index.add(embeddings, examples.labels, [{"file": file} for file in files] or None, ids=examples.ids)
    return index


def _divided(examples, embeddings, duplicates, seed):
    """Rows to index, rows to ask, and the ``Leaks`` there were between them before these were mended."""
    labels, counts = np.unique(examples.labels[examples.labels != UNKNOWN], return_counts=True)
    several = labels[counts > 1]  # one to index and one to ask
    every = np.arange(len(examples))
    if len(labels) < 2 or not len(several):
        return every, every[:0], None
    parts = examples.only(several).split(
        train=0, gallery=_GALLERY, calibration=1 - _GALLERY, query=0, seed=seed
    )
    drawn = np.isin(examples.ids, parts.calibration.ids)
    sides = {"indexed": ~drawn, "asked": drawn}
    sides = {name: _index(examples[side], embeddings[side]) for name, side in sides.items()}
    found = leaks(sides, duplicates.threshold)
    asked = drawn & ~np.isin(examples.ids, duplicates.ids)
    return every[~asked], every[asked], found


def _recall(neighbors, labels, confidence):
    """R@1. Its interval is exact, since a bootstrap of a few queries that are all right has no width."""
    right = int((neighbors.labels[:, 0] == labels).sum())
    ends = binomtest(right, len(labels)).proportion_ci(confidence, method="exact")
    return Interval(right / len(labels), float(ends.low), float(ends.high), confidence)


def _calibrated(neighbors, labels, index, promise, confidence, seed):
    """The ``Calibration`` whose first cutpoint is the promise, or best F1 where none keeps that."""
    known = np.unique(index.labels)
    found = calibrate(
        neighbors,
        labels,
        known_labels=known[known != UNKNOWN],
        maximize="f1",
        targets={"promise": promise},
        confidence=confidence,
        gallery=index,
        seed=seed,
    )
    if found["promise"].met:
        found = replace(found, cutpoints=dict(reversed(found.cutpoints.items())))
    return found


def _let_in(threshold, asked, labels, gallery, of_gallery):
    """Share of the queries that would be given a name if their own class were not in the gallery."""
    given = 0
    for start in range(0, len(asked), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        distances = pairwise(asked[some], gallery, "cosine")
        distances[labels[some, None] == of_gallery] = np.inf
        given += int((distances.min(axis=1) <= np.float32(threshold)).sum())
    return given / len(asked)


def _mislabelled(everything, labels):
    """Candidates for a wrong label, by so few neighbors that a class of the usual size is not outvoted."""
    counts = np.unique(labels[labels != UNKNOWN], return_counts=True)[1]
    if len(counts) < 2 or np.median(counts) < 2:
        return None
    return mislabelled(everything, int(min(2 * (np.median(counts) - 1), _VOTES)))
