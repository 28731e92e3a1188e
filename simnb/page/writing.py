"""Writing a page: what the browser gets, from examples, embeddings and what was found among them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._text import visible
from simnb._types import AnyPath
from simnb.calibration import Calibration
from simnb.collection import Leaks, Mislabelled, NearDuplicates
from simnb.data import Examples
from simnb.distances import DISTANCES
from simnb.index import UNKNOWN
from simnb.index.exact import ExactSearch
from simnb.index.in_blocks import nearest
from simnb.page import findings, threshold
from simnb.page.thumbnails import fitting_sheets
from simnb.projection import in_unit_square, project
from simnb.widgets import _page, map_state
from simnb.widgets.sprites import SIZE, across

#: Images that a page can hold.
MOST_IMAGES = 20_000
_K = 20  # neighbors of each image
_MOST_BYTES = 10_000_000  # of a page
_HEIGHT = 560  # of the map, in pixels
_FOLDER = Path(__file__).parent
_OURS = ("answers.js", "tiles.js", "threshold_bar.js", "panel.js", "lists.js", "page_view.js")


def write_page(
    path: AnyPath,
    examples: Examples,
    embeddings: ArrayLike,
    *,
    distance: str = "cosine",
    calibration: Calibration | None = None,
    duplicates: NearDuplicates | None = None,
    leaks: Leaks | None = None,
    mislabelled: Mislabelled | None = None,
    facts: Iterable[tuple[str, str]] = (),
    names: Sequence[str] | None = None,
    title: str = "Images and what they are like",
) -> Path:
    """Write one page that shows a collection, and needs neither Python nor a network.

    It has a map of all images; the 20 nearest others of an image that is clicked, searched exactly; a
    threshold to move, beyond which neighbors are drawn as rejected; the images whose nearest neighbor is of
    another class; and what was found in the collection, to look through.

    Thumbnails are as large as a page of 10 MB has room for, of 32 to 256 pixels; only where the smallest ones
    of the lowest quality do not fit, with very many images or very long names, the page is larger.

    Args:
        path: The file to write. Its folder is made where it is missing, and a file that is there is replaced
            once the new one is whole.
        examples: The images, 1 to 20,000, of any size, with 1, 3 or 4 channels; lazy ones are read twice in
            part. Of images without labels there are no classes, and no mistakes.
        embeddings: Embedding of each image, shape [num_examples, dim].
        distance: Distance between them, one of ``simnb.distances.DISTANCES``.
        calibration: Where the threshold starts, and what it does on the calibration queries; without one it
            starts where nothing is rejected.
        duplicates: From ``simnb.collection.near_duplicates`` of an index of these examples, with their ids.
        leaks: From ``simnb.collection.leaks`` of indexes of parts of these examples, with their ids.
        mislabelled: From ``simnb.collection.mislabelled`` of an index of these examples, with their ids.
        facts: What to say at the top: pairs of a label and a sentence.
        names: A line for each image, such as the name of its file; its id by default.
        title: Title of the page.

    Returns:
        The ``Path``.

    Raises:
        ValueError: If there is no image or too many, lengths differ, embeddings are not finite, the distance
            is not that of the calibration, or something was found among other images.
        IsADirectoryError: If the path is that of a folder.
        OSError: If the file cannot be written; before the work begins.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from simnb import data
        >>> from simnb.page import write_page
        >>> rng = np.random.default_rng(0)
        >>> images = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
        >>> examples = data.from_arrays(images, ["cat", "dog"] * 3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_page(f"{folder}/page.html", examples, rng.normal(size=(6, 4)))
        ...     path.read_text(encoding="utf-8")[:15]
        '<!doctype html>'
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"path must be that of a file to write, got the folder {path}")
    embeddings = _checked(examples, embeddings, distance)
    state = _words(examples, names, facts) | {"distance": distance}
    state["found"] = findings.found(examples, embeddings, duplicates, leaks, mislabelled)
    limit = None if calibration is None else threshold.calibrated_steps(calibration, distance)
    return _page.write(path, lambda: _page_of(state, limit, examples, embeddings, title))


def _page_of(state, limit, examples, embeddings, title):
    """The page, from what it says in words, the threshold of the calibration, and what is worked out here."""
    distance = state["distance"]
    distances, neighbors = _neighborhoods(embeddings, distance)
    state["limit"] = threshold.steps_of(distances) if limit is None else limit
    state |= _map(examples.labels, embeddings, distances, neighbors, distance)
    esm = _page.script(*_page.MAP, *(_FOLDER / name for name in _OURS))
    css = (_page.FOLDER / "projector.css", _FOLDER / "page.css")
    styles = "\n".join(file.read_text(encoding="utf-8") for file in css)

    def with_thumbnails(sheets, size):
        sprite = {"size": size, "across": across(size)}
        return _page.text_of(state | {"_sheets": sheets, "_sprite": sprite}, title=title, esm=esm, css=styles)

    room = _MOST_BYTES - len(with_thumbnails([], SIZE).encode())
    # As text the sheets are a third larger.
    return with_thumbnails(*fitting_sheets(examples.images, int(0.74 * room)))


def _checked(examples: Examples, embeddings: ArrayLike, distance: str) -> NDArray[np.float32]:
    """The embeddings, once it is known that these and the examples can be shown."""
    if not isinstance(examples, Examples):
        kind = type(examples).__name__
        raise ValueError(f"examples must be Examples, as simnb.data makes them, got {kind}")
    _checks.not_empty(examples, name="examples")
    if len(examples) > MOST_IMAGES:
        raise ValueError(
            f"a page holds {MOST_IMAGES:,} images at most, got {len(examples):,}; choose some of them: "
            "examples[rows] and embeddings[rows]"
        )
    if examples.images.shape[-1] not in (1, 3, 4):
        raise ValueError(f"images must have 1, 3 or 4 channels, got {examples.images.shape[-1]}")
    _checks.one_of(distance, DISTANCES, name="distance")
    embeddings = _checks.embeddings(embeddings, nonzero=distance == "cosine")
    _checks.same_length(embeddings, examples, "embeddings and examples")
    return embeddings


def _words(examples, names, facts):
    """Classes, names of the images and facts."""
    if names is None:
        names = [f"image {number}" for number in examples.ids.tolist()]
    _checks.same_length(names, examples, "names and examples")
    classes, positions = map_state.classes_of(examples.labels, examples.class_names)
    return {
        "_classes": classes,
        "_labels": positions.astype(np.int32).tobytes(),
        "_details": [visible(str(name)) for name in names],
        "facts": [_pair(fact) for fact in facts],
    }


def _pair(fact):
    pair = isinstance(fact, tuple | list) and len(fact) == 2
    if not pair or not all(isinstance(part, str) for part in fact):
        raise ValueError(f"facts must be pairs of a label and a sentence, got {fact!r}")
    return [visible(part) for part in fact]


def _neighborhoods(embeddings, distance):
    """Distances and positions of the nearest others of each image, nearest first; -1 where there is none."""
    count = len(embeddings)
    if count == 1:
        return np.full((1, 1), np.inf, np.float32), np.full((1, 1), -1, np.int64)
    search, k = ExactSearch(embeddings, distance), min(_K, count - 1)
    return nearest(search, embeddings, k, among=True, doing="Looking for neighbors")


def _map(labels, embeddings, distances, neighbors, distance):
    """What ``projector.js`` draws: where each image lies, its neighbors, and how the map looks at first."""
    points = project(embeddings, "pca")
    trusted = map_state.measured_trust(embeddings, points, distance=distance)
    right = map_state.verdicts(labels, np.ones(len(labels), bool), neighbors[:, 0])
    return {
        "_points": in_unit_square(points).astype(np.float32).tobytes(),
        "_neighbors": neighbors.astype(np.int32).tobytes(),
        "_neighbor_distances": distances.tobytes(),
        "_verdicts": right.tobytes(),
        "_trust": map_state.in_words(trusted, "pca"),
        "_is_query": b"",
        "selection": b"",
        "threshold": None,
        "color": "label" if (labels != UNKNOWN).any() else "distance",
        "height": _HEIGHT,
    }
