"""Search with an image file, or with a query, and see the answer and what it rests on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import ipywidgets
import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb._text import visible
from simnb._types import AnyPath
from simnb.data import Examples, read_image
from simnb.data.image_file import has_more_frames
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import match
from simnb.plots import grids, styling
from simnb.widgets import _html
from simnb.widgets.image_drop import ImageDrop

if TYPE_CHECKING:  # which needs Keras
    from simnb.search import SimilaritySearch

_PAGE = 12  # queries to pick from at a time
_NO_THRESHOLD = "nearest neighbor, no threshold"
_CELL = 1.1  # inches that an image and its caption have


@dataclass(frozen=True, eq=False)
class Result:
    """What a search gave.

    Attributes:
        name: Name of the file, or ``query 17``.
        image: What was embedded, shape [height, width, channels].
        neighbors: ``Neighbors`` of this one query.
        label: Label of the match, ``UNKNOWN`` where there is none.
        distance: Distance of the neighbor that decided; ``inf`` where there was none.
        accepted: Whether there is a match.
        threshold: Largest distance that matches; ``inf`` where the search is not calibrated.
        probability: How probably the answer is right, or would be if it were accepted; None where the search
            has no ``MatchProbability``.
        true_label: Class of the query, None where it is not known.
        class_names: Names by label.
    """

    name: str
    image: NDArray[np.generic]
    neighbors: Neighbors
    label: int
    distance: float
    accepted: bool
    threshold: float
    probability: float | None
    true_label: int | None
    class_names: Sequence[str]

    def places(self, most: int) -> NDArray[np.intp]:
        """Places of the first neighbors, ``most`` of them or fewer."""
        return np.flatnonzero(self.neighbors.ids[0] >= 0)[:most]

    def beyond(self, place: int) -> bool:
        """Whether a neighbor lies beyond the threshold, in the dtype that its distance has."""
        distance = self.neighbors.distances[0, place]
        return bool(distance > np.asarray(self.threshold).astype(distance.dtype))

    def verdict(self, place: int) -> str | None:
        """``unknown`` beyond the threshold, else ``right`` or ``wrong``; None without the query's class."""
        if self.beyond(place):
            return "unknown"
        if self.true_label is None:
            return None
        return styling.verdict(int(self.neighbors.labels[0, place]) == self.true_label)

    def class_of(self, place: int) -> str:
        """Name of a neighbor's class."""
        return self.name_of(int(self.neighbors.labels[0, place]))

    def name_of(self, label: int) -> str:
        """Name of a class."""
        return "unknown" if label == UNKNOWN else str(self.class_names[label])

    @property
    def answer(self) -> str:
        """Name of the class that was matched, or Unknown."""
        return self.name_of(self.label) if self.accepted else "Unknown"


class SearchBox(ipywidgets.VBox):
    """Drop an image file, or pick a query: its neighbors, the answer, and how probably it is right.

    A file that is no image, too large or damaged is refused with a sentence, and the last result stays.

    Args:
        search: A ``SimilaritySearch``. Its calibration, if it has one, decides between a match and Unknown;
            its ``probability``, if it has one, says how probably an answer is right.
        gallery: ``Examples`` that were indexed, for their images; rows that are not among them are named
            only.
        queries: ``Examples`` to pick from; the first is searched at once.
        cutpoint: Name of the cutpoint to begin with; the calibration's first one that is met by
            default.
        k: How many neighbors to show.
        max_bytes: Size of the largest file that is accepted, in bytes.
        max_pixels: The largest image, in pixels, that is decoded.

    Attributes:
        result: The last ``Result``, or None.

    Raises:
        ValueError: If the index is empty, the cutpoint is not there or not met, or a number is out of range.
    """

    def __init__(
        self,
        search: "SimilaritySearch",
        gallery: Examples,
        *,
        queries: Examples | None = None,
        cutpoint: str | None = None,
        k: int = 8,
        max_bytes: int = 20_000_000,
        max_pixels: int = 50_000_000,
    ) -> None:
        if len(search.index) == 0:
            raise ValueError("SearchBox needs indexed images, but the index is empty: call add(...) first")
        self.search, self._gallery, self._queries = search, gallery, queries
        self._k = _checks.positive_int(k, name="k")
        self._max_pixels = _checks.positive_int(max_pixels, name="max_pixels")
        max_bytes = _checks.positive_int(max_bytes, name="max_bytes")
        ids = np.asarray(gallery.ids)
        self._place = dict(zip(ids.tolist(), range(len(ids)), strict=True))
        self._names = search.index.class_names or gallery.class_names
        self.result: Result | None = None
        self._page = 0
        self.drop = ImageDrop(self._dropped, self._too_large, max_bytes=max_bytes)
        self.cutpoints = self._choose_cutpoint(cutpoint)
        self.message, self.verdict, self.shown = (ipywidgets.HTML() for _ in range(3))
        self.picks = ipywidgets.HBox(layout=ipywidgets.Layout(flex_flow="row wrap"))
        super().__init__(self._parts())
        self.add_class("simnb-search")
        if queries is not None and len(queries):
            self._fill_picks()
            self.search_query(0)

    def _choose_cutpoint(self, wanted):
        calibration = self.search.calibration
        names = [] if calibration is None else [n for n, c in calibration.cutpoints.items() if c.met]
        if wanted is not None:
            _checks.one_of(wanted, names, name="cutpoint")
        options = [*names, *([] if names else [_NO_THRESHOLD])]
        options = [(visible(name), name) for name in options]
        chosen = ipywidgets.Dropdown(options=options, value=wanted or options[0][1], description="answer at")
        chosen.observe(lambda change: self._again(), "value")
        return chosen

    def _parts(self):
        for part, name in (
            (self.cutpoints, "cutpoint"),
            (self.message, "message"),
            (self.verdict, "verdict"),
            (self.shown, "neighbors"),
            (self.picks, "query-picks"),
        ):
            part.add_class(f"simnb-{name}")
        calibration = self.search.calibration
        unmet = [] if calibration is None else [n for n, c in calibration.cutpoints.items() if not c.met]
        note = f"Not met, and so not offered: {', '.join(unmet)}." if unmet else ""
        note = ipywidgets.HTML(f'<span class="simnb muted">{_html.text(note)}</span>')
        style = ipywidgets.HTML(_html.STYLE)
        parts = [style, self.drop, self.picks, self.cutpoints, note, self.message, self.verdict, self.shown]
        return [part for part in parts if part is not note or unmet]

    def _fill_picks(self):
        """Buttons with the thumbnails of some queries, and one for the next of them."""
        start = self._page * _PAGE
        numbers = range(start, min(start + _PAGE, len(self._queries)))
        self.picks.children = [self._pick(number) for number in numbers]
        if len(self._queries) > _PAGE:
            more = ipywidgets.Button(
                description="more", layout=ipywidgets.Layout(width="60px", height="44px")
            )
            more.on_click(lambda _: self._turn_page())
            self.picks.children = [*self.picks.children, more]

    def _pick(self, number):
        picture = ipywidgets.HTML(
            f'<div class="simnb simnb-thumb">{_html.image(self._queries.images[number])}</div>'
        )
        side = {"width": "44px", "height": "44px"}
        picture.layout = ipywidgets.Layout(**side, margin="0", overflow="hidden")
        button = ipywidgets.Button(tooltip=f"query {number}", layout=ipywidgets.Layout(**side, margin="0"))
        button.on_click(lambda _: self.search_query(number))
        return _Pick([picture, button], layout=ipywidgets.Layout(**side, margin="2px"))

    def _turn_page(self):
        self._page = (self._page + 1) % -(-len(self._queries) // _PAGE)
        self._fill_picks()

    def _dropped(self, name, content):
        try:
            self.search_file(content, name=name)
        except Exception as error:  # whatever a model or an index raises is shown, and the box stays
            self._say(f"{name}: {error or type(error).__name__}", problem=True)

    def _too_large(self, name, size):
        most = self.drop.max_bytes
        self._say(
            f"{name}: {size / 1e6:,.1f} MB are more than the {most / 1e6:,.1f} MB that are accepted",
            problem=True,
        )

    def _say(self, words, *, problem=False):
        sign = "✗ " if problem else ""
        kind = ' class="wrong"' if problem else ""
        self.message.value = f'<div class="simnb" role="status"><b{kind}>{sign}</b>{_html.text(words)}</div>'

    def search_file(self, source: AnyPath | bytes | BinaryIO, *, name: str | None = None) -> Result:
        """Search with an image file.

        Args:
            source: Bytes of the file, its path, or a binary file object.
            name: What to call it; the name of the path by default.

        Returns:
            The ``Result``, which is shown too.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no image, damaged or too large; the last result is then kept.
        """
        if isinstance(source, str | os.PathLike):
            name, source = name or Path(source).name, Path(source).expanduser().read_bytes()
        elif hasattr(source, "read"):
            source = source.read()
        if len(source) > self.drop.max_bytes:
            raise ValueError(f"{len(source):,} bytes are more than max_bytes={self.drop.max_bytes}")
        image = read_image(source, image_size=self._input_size(), max_pixels=self._max_pixels)
        result = self._search(name or "a file", self._channels(image), None)
        self._say("the first of several frames or pages" if has_more_frames(source) else "")
        return result

    def search_query(self, position: int) -> Result:
        """Search with one of the queries.

        Args:
            position: Which of the queries, from 0.

        Returns:
            The ``Result``, which is shown too.

        Raises:
            ValueError: If there are no queries, or not so many.
        """
        if self._queries is None:
            raise ValueError("there are no queries to pick from: SearchBox(search, gallery, queries=...)")
        position = _checks.not_negative_int(position, name="position")
        if position >= len(self._queries):
            raise ValueError(f"position must be below the {len(self._queries)} queries, got {position}")
        label = int(self._queries.labels[position])
        result = self._search(f"query {position}", np.asarray(self._queries.images[position]), label)
        self._say("")
        return result

    def _input_size(self):
        """Height and width that the embedder takes, or else those of the gallery's images."""
        shape = getattr(self.search.model, "input_shape", None)
        if isinstance(shape, tuple) and len(shape) == 4 and None not in shape[1:3]:
            return shape[1:3]
        return tuple(self._gallery.images.shape[1:3])

    def _channels(self, image):
        """The image with as many channels as those of the gallery."""
        if self._gallery.images.shape[-1] != 1:
            return image
        return np.rint(image @ [0.299, 0.587, 0.114])[..., None].astype(np.uint8)

    def _search(self, name, image, true_label):
        neighbors = self.search.lookup(image[None], k=max(self._k, self._needed()))
        self.result = self._answer(name, image, neighbors, true_label)
        self._show()
        return self.result

    def _needed(self):
        return 1 if self.search.calibration is None else self.search.calibration.k

    def _answer(self, name, image, neighbors, true_label):
        calibration, probability = self.search.calibration, self.search.probability
        if calibration is None:
            everything = match(neighbors)
        else:
            needed = neighbors if neighbors.k == calibration.k else neighbors.first(calibration.k)
            everything = match(needed, matcher=calibration.matcher)
        limit = self._limit(everything.labels[0])
        distance = everything.distances[0]
        accepted = bool(everything.accepted[0] and distance <= np.asarray(limit).astype(distance.dtype))
        return Result(
            name=name,
            image=image,
            neighbors=neighbors,
            label=int(everything.labels[0]) if accepted else UNKNOWN,
            distance=float(distance),
            accepted=accepted,
            threshold=float(limit),
            probability=None if probability is None else float(probability(distance)),
            true_label=true_label,
            class_names=self._names,
        )

    def _limit(self, label):
        """The threshold of the chosen cutpoint, for an answer with this label; inf without one."""
        if self.search.calibration is None or self.cutpoints.value == _NO_THRESHOLD:
            return np.inf
        limits = self.search.calibration.limits(self.cutpoints.value)
        return limits.get(int(label), -np.inf) if isinstance(limits, dict) else limits

    def _again(self):
        """Answer once more, at another cutpoint; nothing is embedded anew."""
        if self.result is not None:
            last = self.result
            self.result = self._answer(last.name, last.image, last.neighbors, last.true_label)
            self._show()

    def _show(self):
        calibrated = self.cutpoints.value != _NO_THRESHOLD
        self.verdict.value = _answer_html(self.result, calibrated=calibrated)
        self.shown.value = _cards_html(self.result, self._picture_of, self._k)

    def _picture_of(self, place):
        """Image of a neighbor of the last result, None for a row that the gallery does not have."""
        at = self._place.get(int(self.result.neighbors.ids[0, place]))
        return None if at is None else self._gallery.images[at]

    def __repr__(self) -> str:
        return f"SearchBox({styling.count(len(self.search.index), 'image')}, k={self._k})"

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and a still picture for where none can run."""
        data = super()._repr_mimebundle_(**kwargs)
        title = f"{self!r}: run the cell to search with an image of your own"
        picture = _still(self.result, self._picture_of, self._k, title)
        return {**(data or {}), "text/plain": repr(self), "image/png": picture}


class _Pick(ipywidgets.Box):
    """A thumbnail below a button that cannot be seen."""

    def __init__(self, children, **options):
        super().__init__(children, **options)
        self.add_class("simnb-pick")


def _answer_html(result, *, calibrated):
    """The match or Unknown, with its probability, its distance and the threshold."""
    words = []
    if result.probability is not None:
        likely = f"right with probability {result.probability:.0%}"
        words.append(likely if result.accepted else f"an answer would be {likely}")
    distance = (
        f"distance {styling.number(result.distance)}" if np.isfinite(result.distance) else "no neighbor"
    )
    if np.isfinite(result.threshold):
        side = "within" if result.accepted else "beyond"
        distance += f", {side} the threshold {styling.number(result.threshold)}"
    elif not calibrated:
        distance += "; the search is not calibrated, so every query gets an answer"
    words.append(distance)
    if result.true_label is not None:
        words.append(f"it is {result.name_of(result.true_label)}")
    return (
        f'<div class="simnb" style="font-size:15px"><b>{_html.text(result.answer)}</b> '
        f'<span class="muted">{_html.text("; ".join(words))}</span></div>'
    )


def _cards_html(result, picture_of, most):
    """The query, then its neighbors, each with its class, its distance and whether it is right.

    Args:
        result: A ``Result``.
        picture_of: Gives the image at a place of the neighbors, or None where there is none.
        most: How many neighbors to show.
    """
    asked = (
        f'<figure><span class="frame">{_html.image(result.image, alt=result.name)}</span><figcaption>'
        f'<b>{_html.text(result.name)}</b><br><span class="muted">as embedded</span></figcaption></figure>'
    )
    found = "".join(_card(result, place, picture_of(place)) for place in result.places(most))
    return f'<div class="simnb"><div class="cards">{asked}{found}</div></div>'


def _card(result, place, picture):
    verdict, name = result.verdict(place), result.class_of(place)
    shown = '<span class="muted">no image</span>' if picture is None else _html.image(picture, alt=name)
    distance = styling.number(float(result.neighbors.distances[0, place]))
    return (
        f'<figure><span class="frame {verdict or ""}">{shown}</span><figcaption>'
        f'<b class="{verdict or ""}">{styling.symbol(verdict) if verdict else ""}</b> {_html.text(name)}<br>'
        f'<span class="muted">{distance}{" beyond" if result.beyond(place) else ""}</span>'
        "</figcaption></figure>"
    )


def _still(result, picture_of, most, title):
    """PNG of the query and its neighbors.

    Args:
        result: A ``Result``, None where nothing was searched.
        picture_of: Gives the image at a place of the neighbors, or None where there is none.
        most: How many neighbors to show.
        title: Above the picture.
    """
    from matplotlib.figure import Figure

    places = [] if result is None else list(result.places(most))
    figure = Figure(figsize=(_CELL * (max(len(places), 4) + 1), 2.2), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    first, *others = figure.subplots(1, len(places) + 1, squeeze=False)[0]
    if result is None:
        first.text(0, 0.5, "nothing was searched yet", fontsize=9)
        first.axis("off")
    else:
        _draw_image(first, result.image, f"{result.name}\n→ {result.answer}", styling.INK)
    for place, ax in zip(places, others, strict=True):
        verdict = result.verdict(place)
        sign = styling.symbol(verdict) if verdict else ""
        distance = styling.number(float(result.neighbors.distances[0, place]))
        caption = f"{sign} {result.class_of(place)}\n{distance}"
        _draw_image(ax, picture_of(place), caption, styling.verdict_color(verdict or "unknown"))
    return _html.png(figure, dpi=80)


def _draw_image(ax, image, caption, color):
    ax.axis("off")
    if image is not None:
        pixels = grids.displayable(np.asarray(image)[None])[0]
        pixels = pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels
        ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    look = {"fontsize": 8, "color": color, "parse_math": False, "family": styling.SYMBOL_FONT}
    lines = [styling.shorten(visible(line), 0.85 * _CELL, 8) for line in caption.split("\n")]
    ax.set_title("\n".join(lines), **look)
