"""A map of embeddings to click through, in a notebook or as a page of its own."""

from collections.abc import Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from numpy.typing import ArrayLike

from simnb import _checks
from simnb._terminal import progress_bar
from simnb._text import visible
from simnb._types import AnyPath
from simnb.index import open_index
from simnb.plots import styling
from simnb.projection import METHODS, check_points, in_unit_square, project
from simnb.widgets import _html, _map_still, _page, map_state
from simnb.widgets.sprites import SIZE, across, sprite_sheets

COLORS = ("label", "right", "distance", "accepted")
#: Neighbors of no more points than these are looked for at once; of more, when they are asked for.
EAGER = 12_000
MOST_THUMBNAILS = 20_000
_IN_STILL = 3_000
_BLOCK = 4096  # points whose neighbors are looked for at a time


def _array_to_json(value, widget):
    return memoryview(np.ascontiguousarray(value, np.int32)).cast("B")


def _array_from_json(value, widget):
    return np.frombuffer(value, np.int32).astype(np.int64)


def _threshold_to_json(value, widget):
    # JSON knows no infinity, at which everything is accepted or, where it is negative, rejected. Rounded to
    # float32, as the browser does, this is one.
    return None if value is None else float(np.clip(value, -1e308, 1e308))


class Projector(anywidget.AnyWidget):
    """A map of embeddings: thumbnails, classes, neighbors, mistakes, and a selection that Python sees.

    A point's neighbors are the nearest points of the gallery, itself left out, in the embedding and not on
    the map. Points whose class the gallery lacks can have no right neighbor, and count as unknown.

    Args:
        embeddings: Shape [num_points, dim].
        labels: Class of each point, shape [num_points]; ``UNKNOWN`` for none. One class by default.
        images: Images of the points, shape [num_points, height, width, channels]; 20,000 at most are shown.
        class_names: Name of each class; the labels themselves by default.
        is_query: Which points are queries, and not the gallery, shape [num_points] bool; none by default.
        details: A line of text for each point, such as a file name.
        threshold: Largest distance that matches, for the colours of accepted and rejected; None for none.
        points: Positions from ``simnb.projection.project``, shape [num_points, 2]; made here by default.
        method: How the positions are made, or were: ``pca``, ``tsne`` or ``umap``.
        distance: Distance between embeddings, one of ``simnb.distances.DISTANCES``.
        k: How many neighbors a click shows.
        color: What colours mean at first: ``label``, ``right`` (or wrong), ``distance`` (to the nearest
            neighbor) or ``accepted`` (or rejected).
        height: Height of the map, in pixels.
        seed: Seed of the map, and of the choice of points at which trust is measured.

    Attributes:
        selection: Positions of the selected points, ascending, shape [num_selected] int64. May be set, and
            observed: ``projector.observe(function, "selection")``.
        threshold: As above; may be set. Without one, nothing is coloured by accepted or rejected.
        color: As above; may be set.
        points: Positions on the map, shape [num_points, 2].
        trust: What the map keeps of the neighborhoods, a ``MapTrust``; None for fewer than 5 points.

    Raises:
        ValueError: If lengths differ, a label has no name, or a name or number is out of range.
    """

    _esm = _page.script(*_page.MAP, "projector_widget.js")
    _css = _page.FOLDER / "projector.css"

    _points = traitlets.Bytes().tag(sync=True)
    _labels = traitlets.Bytes().tag(sync=True)
    _is_query = traitlets.Bytes().tag(sync=True)
    _classes: traitlets.List[dict[str, object]] = traitlets.List().tag(sync=True)
    _details: traitlets.List[str] = traitlets.List().tag(sync=True)
    _sheets: traitlets.List[bytes] = traitlets.List().tag(sync=True)
    _sprite = traitlets.Dict({"size": SIZE, "across": across(SIZE)}).tag(sync=True)
    _neighbors = traitlets.Bytes().tag(sync=True)
    _neighbor_distances = traitlets.Bytes().tag(sync=True)
    _verdicts = traitlets.Bytes().tag(sync=True)
    _trust = traitlets.Unicode().tag(sync=True)
    selection = traitlets.Any().tag(sync=True, to_json=_array_to_json, from_json=_array_from_json)
    threshold = traitlets.Any(None).tag(sync=True, to_json=_threshold_to_json)
    color = traitlets.Enum(COLORS, "label").tag(sync=True)
    height = traitlets.Int(480).tag(sync=True)

    def __init__(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        images: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        is_query: ArrayLike | None = None,
        details: Sequence[str] | None = None,
        threshold: float | None = None,
        points: ArrayLike | None = None,
        method: str = "pca",
        distance: str = "cosine",
        k: int = 8,
        color: str = "label",
        height: int = 480,
        seed: int = 0,
    ) -> None:
        embeddings = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings")
        count = len(embeddings)
        labels = np.zeros(count, np.int64) if labels is None else _checks.labels(labels, count=count)
        queries = _mask(is_query, count)
        _checks.one_of(method, METHODS, name="method")
        _checks.one_of(color, COLORS, name="color")
        if color == "accepted" and threshold is None:
            raise ValueError('color="accepted" needs a threshold, got None')
        if details is not None:
            _checks.same_length(details, embeddings, "details and embeddings")
        images = None if images is None else _checks.images(images)
        if points is None:
            points = project(embeddings, method, seed=seed)
        self.points, self.method, self.num_queries = check_points(points, embeddings), method, queries.sum()
        self._embeddings, self._class_labels, self._class_names = embeddings, labels, class_names
        self._images, self._in_gallery, self._k = images, ~queries, _checks.positive_int(k, name="k")
        self._index, gallery = open_index(distance=distance), np.flatnonzero(~queries)
        self._index.add(embeddings[gallery], labels[gallery], ids=gallery)
        self.trust = map_state.measured_trust(embeddings, self.points, distance=distance, seed=seed)
        classes, positions = map_state.classes_of(labels, class_names)
        super().__init__(
            _points=in_unit_square(self.points).astype(np.float32).tobytes(),
            _labels=positions.astype(np.int32).tobytes(),
            _is_query=queries.astype(np.uint8).tobytes() if queries.any() else b"",
            _classes=classes,
            _details=[visible(str(line)) for line in (() if details is None else details)],
            _sheets=_thumbnails(images, count),
            _trust=map_state.in_words(self.trust, method),
            selection=np.empty(0, np.int64),
            threshold=threshold,
            color=color,
            height=_checks.positive_int(height, name="height"),
        )
        if count <= EAGER:
            self._find_nearest()
        self.on_msg(self._answer)

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal):
        value = proposal["value"]
        if value is None:
            return None
        number = np.asarray(value)
        if number.ndim or number.dtype.kind not in "iuf" or np.isnan(number):
            raise ValueError(f"threshold must be one number or None, got {value!r}")
        return float(number)

    @traitlets.observe("threshold")
    def _leave_accepted(self, change):
        if change["new"] is None and self.color == "accepted":
            self.color = "label"

    @traitlets.validate("color")
    def _check_color(self, proposal):
        if proposal["value"] == "accepted" and self.threshold is None:
            raise ValueError('color="accepted" needs a threshold, got None')
        return proposal["value"]

    @traitlets.validate("height")
    def _check_height(self, proposal):
        return _checks.positive_int(proposal["value"], name="height")

    @traitlets.validate("selection")
    def _check_selection(self, proposal):
        chosen, count = np.asarray(proposal["value"]), len(self.points)
        if chosen.size == 0:
            return np.empty(0, np.int64)
        if chosen.dtype == bool and chosen.shape == (count,):
            return np.flatnonzero(chosen)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ValueError(
                f"selection must be positions, or booleans of shape ({count},), "
                f"got {chosen.dtype} of shape {chosen.shape}"
            )
        if chosen.min() < 0 or chosen.max() >= count:
            bad = chosen[(chosen < 0) | (chosen >= count)][0]
            raise ValueError(f"selection must be positions from 0 to {count - 1}, got {bad}")
        return np.unique(chosen).astype(np.int64)

    def _nearest(self, points):
        """Positions and distances of their neighbors, shape [num_points, k]; -1 and inf where none is."""
        found = self._index.search(self._embeddings[points], k=self._k + 1).without(points)
        return found.ids, found.distances.astype(np.float32)

    def _find_nearest(self, progress=False):
        """Give the browser the neighbors of every point, which it needs for the colours of mistakes."""
        if self._neighbors:
            return
        count = len(self.points)
        starts = progress_bar(range(0, count, _BLOCK), shown=progress, desc="Looking for neighbors")
        found = [self._nearest(np.arange(start, min(start + _BLOCK, count))) for start in starts]
        ids, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
        with self.hold_sync():
            nearest = ids[:, 0]
            self._verdicts = map_state.verdicts(self._class_labels, self._in_gallery, nearest).tobytes()
            self._neighbor_distances = distances.tobytes()
            self._neighbors = ids.astype(np.int32).tobytes()

    def _answer(self, widget, message, buffers):
        """Answer the browser: the neighbors of one point, or of all of them."""
        if message.get("kind") == "nearest":
            self._find_nearest()
        elif message.get("kind") == "neighbors":
            point = _checks.not_negative_int(message["point"], name="point")
            ids, distances = (found[0] for found in self._nearest([point]))
            answer = {"neighbors": ids[ids >= 0].tolist(), "distances": distances[ids >= 0].tolist()}
            self.send({"kind": "neighbors", "point": point, **answer})

    def to_html(self, path: AnyPath, *, title: str = "Map of embeddings") -> Path:
        """Write the map as one page that needs neither Python nor a network.

        Args:
            path: The file to write. Its folder is made where it is missing, and a file that is there is
                replaced once the new one is whole.
            title: Title of the page.

        Returns:
            The ``Path``.
        """
        self._find_nearest(progress=True)
        names = [name for name in self.trait_names(sync=True) if not name.startswith(("_model", "_view"))]
        page_has = {"layout", "tabbable", "tooltip", "_esm", "_css", "_anywidget_id", "_dom_classes"}
        state = self.get_state([name for name in names if name not in page_has])
        own = {"esm": str(self._esm), "css": str(self._css)}
        return _page.write(Path(path), lambda: _page.text_of(state, title=title, **own))

    def __repr__(self) -> str:
        parts = [styling.count(len(self.points), "point"), styling.count(len(self._classes), "class")]
        queries = [styling.count(int(self.num_queries), "query")] if self.num_queries else []
        return f"Projector({', '.join([*parts, self.method, *queries])})"

    def _repr_mimebundle_(self, **kwargs):
        return _html.with_still(super()._repr_mimebundle_(**kwargs), self)

    def _still(self):
        """A figure of the map as the widget shows it, of some thousand points at most."""
        chosen = np.arange(len(self.points))
        if len(chosen) > _IN_STILL:
            chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:_IN_STILL])
        selected = np.zeros(len(self.points), bool)
        selected[self.selection] = True
        verdicts = distances = None
        if self._neighbors:
            nearest = np.frombuffer(self._neighbor_distances, np.float32).reshape(len(self.points), -1)
            verdicts, distances = np.frombuffer(self._verdicts, np.uint8)[chosen], nearest[chosen, 0]
        return _map_still.draw(
            in_unit_square(self.points)[chosen],
            np.frombuffer(self._labels, np.int32)[chosen].astype(np.int64),
            self._classes,
            ~self._in_gallery[chosen],
            selected[chosen],
            color=self.color,
            verdicts=verdicts,
            distances=distances,
            threshold=self.threshold,
            words=self._trust,
        )


def _mask(is_query, count):
    if is_query is None:
        return np.zeros(count, bool)
    mask = np.asarray(is_query)
    if mask.dtype != bool or mask.shape != (count,):
        raise ValueError(
            f"is_query must be booleans of shape ({count},) like the embeddings, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    if mask.all():
        raise ValueError(f"is_query must leave points for the gallery, got all {count} of them")
    return mask


def _thumbnails(images, count):
    if images is None:
        return []
    _checks.same_length(images, range(count), "images and embeddings")
    if count > MOST_THUMBNAILS:
        _checks.warn(
            f"thumbnails are shown of the first {MOST_THUMBNAILS:,} points, not of all {count:,}, since each "
            "takes 300 bytes; choose some points to see all of their images",
            UserWarning,
        )
    return sprite_sheets(images[:MOST_THUMBNAILS])
