"""Search with an image file, or with a query, and see the answer and what it rests on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import ipywidgets
import numpy as np
from ipywidgets import Layout
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simnb import _checks
from simnb._text import visible
from simnb._types import AnyPath
from simnb.data import Examples, read_image
from simnb.data.image_file import has_more_frames
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import match
from simnb.plots import styling
from simnb.plots.pictures import displayable
from simnb.widgets import _html
from simnb.widgets._html import named
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
        return "right" if self.neighbors.labels[0, place] == self.true_label else "wrong"

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
        gallery: ``Examples`` that were indexed, for their images; other rows are only named.
        queries: ``Examples`` to pick from; the first is searched at once.
        cutpoint: Name of the cutpoint to begin with; the first that is met by default.
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
        self.drop = ImageDrop(self._dropped, self._too_large, max_bytes=max_bytes)
        calibration = search.calibration
        cutpoints = {} if calibration is None else calibration.cutpoints
        met = [name for name, each in cutpoints.items() if each.met]
        self.cutpoints = self._choose_cutpoint(met, cutpoint)
        self.message, self.verdict, self.shown = (
            named(ipywidgets.HTML(), name) for name in ("message", "verdict", "neighbors")
        )
        self.picks = named(ipywidgets.HBox(layout=Layout(flex_flow="row wrap")), "query-picks")
        parts = [ipywidgets.HTML(_html.STYLE), self.drop, self.picks, self.cutpoints]
        if unmet := ", ".join(name for name in cutpoints if name not in met):
            note = _html.text(f"Not met, and so not offered: {unmet}.")
            parts.append(ipywidgets.HTML(f'<span class="simnb muted">{note}</span>'))
        super().__init__([*parts, self.message, self.verdict, self.shown])
        self.add_class("simnb-search")
        if queries is not None and len(queries):
            self._fill_picks(0)
            self.search_query(0)

    def _choose_cutpoint(self, names, wanted):
        if wanted is not None:
            _checks.one_of(wanted, names, name="cutpoint")
        options = [(visible(name), name) for name in names or [_NO_THRESHOLD]]
        chosen = ipywidgets.Dropdown(options=options, value=wanted or options[0][1], description="answer at")
        chosen.observe(lambda change: self._again(), "value")
        return named(chosen, "cutpoint")

    def _fill_picks(self, start):
        """Buttons with the thumbnails of some queries, and one for the next of them."""
        end = min(start + _PAGE, len(self._queries))
        picks = [self._pick(number) for number in range(start, end)]
        if len(self._queries) > _PAGE:
            side = Layout(width="60px", height="44px")
            picks.append(ipywidgets.Button(description="more", layout=side))
            picks[-1].on_click(lambda _: self._fill_picks(end % len(self._queries)))
        self.picks.children = picks

    def _pick(self, number):
        """A thumbnail below a button that cannot be seen."""
        side, image = {"width": "44px", "height": "44px"}, _html.image(self._queries.images[number])
        layout = Layout(**side, margin="0", overflow="hidden")
        picture = ipywidgets.HTML(f'<div class="simnb simnb-thumb">{image}</div>', layout=layout)
        button = ipywidgets.Button(tooltip=f"query {number}", layout=Layout(**side, margin="0"))
        button.on_click(lambda _: self.search_query(number))
        return named(ipywidgets.Box([picture, button], layout=Layout(**side, margin="2px")), "pick")

    def _dropped(self, name, content):
        try:
            self.search_file(content, name=name)
        except Exception as error:  # whatever a model or an index raises is shown, and the box stays
            self._say(f"{name}: {error or type(error).__name__}", problem=True)

    def _too_large(self, name, size):
        sizes = (
            f"{size / 1e6:,.1f} MB are more than the {self.drop.max_bytes / 1e6:,.1f} MB that are accepted"
        )
        self._say(f"{name}: {sizes}", problem=True)

    def _say(self, words, *, problem=False):
        sign = '<b class="wrong">✗ </b>' if problem else "<b></b>"
        self.message.value = f'<div class="simnb" role="status">{sign}{_html.text(words)}</div>'

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
        # As large as the embedder takes images, or else as those of the gallery.
        shape = getattr(self.search.model, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:3]:
            shape = self._gallery.images.shape
        image = read_image(source, image_size=tuple(shape[1:3]), max_pixels=self._max_pixels)
        if self._gallery.images.shape[-1] == 1:
            image = np.rint(image @ [0.299, 0.587, 0.114])[..., None].astype(np.uint8)
        result = self._search(name or "a file", image, None)
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
        image, known = np.asarray(self._queries.images[position]), label != UNKNOWN
        result = self._search(f"query {position}", image, label if known else None)
        self._say("")
        return result

    def _search(self, name, image, true_label):
        needed = 1 if self.search.calibration is None else self.search.calibration.k
        neighbors = self.search.lookup(image[None], k=max(self._k, needed))
        self.result = self._answer(name, image, neighbors, true_label)
        self._show()
        return self.result

    def _answer(self, name, image, neighbors, true_label):
        calibration, probability = self.search.calibration, self.search.probability
        if calibration is None:
            everything = match(neighbors)
        else:
            everything = match(neighbors.first(calibration.k), matcher=calibration.matcher)
        label, distance = int(everything.labels[0]), everything.distances[0]
        limit = self._limit(label)
        accepted = bool(everything.accepted[0] and distance <= np.asarray(limit).astype(distance.dtype))
        return Result(
            name=name,
            image=image,
            neighbors=neighbors,
            label=label if accepted else UNKNOWN,
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
        return limits.get(label, -np.inf) if isinstance(limits, dict) else limits

    def _again(self):
        """Answer once more, at another cutpoint; nothing is embedded anew."""
        if (last := self.result) is not None:
            self.result = self._answer(last.name, last.image, last.neighbors, last.true_label)
            self._show()

    def _show(self):
        calibrated = self.cutpoints.value != _NO_THRESHOLD
        self.verdict.value = _answer_html(self.result, calibrated=calibrated)
        result = self.result
        cards = _figure(
            _html.image(result.image, alt=result.name), "", f"<b>{_html.text(result.name)}</b>", "as embedded"
        )
        for place in result.places(self._k):
            (verdict, sign, _), name, distance = self._seen(place)
            picture = self._picture_of(place)
            image = (
                '<span class="muted">no image</span>' if picture is None else _html.image(picture, alt=name)
            )
            head = f'<b class="{verdict}">{sign}</b> {_html.text(name)}'
            cards += _figure(image, verdict, head, distance + " beyond" * result.beyond(place))
        self.shown.value = f'<div class="simnb"><div class="cards">{cards}</div></div>'

    def _seen(self, place):
        """Of a neighbor of the last result: the verdict with its symbol and colour, class and distance."""
        verdict = self.result.verdict(place)
        sign, color, _ = styling.VERDICTS[verdict or "unknown"]
        distance = styling.number(float(self.result.neighbors.distances[0, place]))
        return (verdict or "", sign if verdict else "", color), self.result.class_of(place), distance

    def _picture_of(self, place):
        """Image of a neighbor of the last result, None for a row that the gallery does not have."""
        at = self._place.get(int(self.result.neighbors.ids[0, place]))
        return None if at is None else self._gallery.images[at]

    def __repr__(self) -> str:
        return f"SearchBox({styling.count(len(self.search.index), 'image')}, k={self._k})"

    def _repr_mimebundle_(self, **kwargs):
        return _html.with_still(super()._repr_mimebundle_(**kwargs), self)

    def _still(self):
        """A figure of the answer, the query and its neighbors, as the widget shows them."""
        result = self.result
        places = [] if result is None else list(result.places(self._k))
        figure = Figure(figsize=(_CELL * (max(len(places), 4) + 1), 1.9), dpi=80, layout="constrained")
        first, *others = figure.subplots(1, len(places) + 1, squeeze=False)[0]
        if result is None:
            first.text(0, 0.5, "Drop an image file here", fontsize=9)
            first.axis("off")
            return figure
        answer, words = _answer(result, calibrated=self.cutpoints.value != _NO_THRESHOLD)
        line = styling.shorten(visible(f"{answer}: {words}"), figure.get_figwidth() - 0.1, 10)
        figure.suptitle(line, x=0.01, ha="left", fontsize=10, fontweight="normal", parse_math=False)
        _draw_image(first, result.image, f"{result.name}\nas embedded", None)
        for place, ax in zip(places, others, strict=True):
            (_, sign, _), name, distance = self._seen(place)
            below = distance + " beyond" * result.beyond(place)
            _draw_image(ax, self._picture_of(place), f"{sign} {name}\n{below}", result.verdict(place))
        return figure


def _answer(result, *, calibrated):
    """The match or Unknown; and in words its probability, its distance and the threshold."""
    words = []
    if result.probability is not None:
        likely = f"right with probability {result.probability:.0%}"
        words.append(likely if result.accepted else f"an answer would be {likely}")
    there = np.isfinite(result.distance)
    distance = f"distance {styling.number(result.distance)}" if there else "no neighbor"
    if np.isfinite(result.threshold):
        side = "within" if result.accepted else "beyond"
        distance += f", {side} the threshold {styling.number(result.threshold)}"
    elif not calibrated:
        distance += "; the search is not calibrated, so every query gets an answer"
    words.append(distance)
    if result.true_label is not None:
        words.append(f"it is {result.name_of(result.true_label)}")
    return result.answer, "; ".join(words)


def _answer_html(result, *, calibrated):
    """The same as HTML."""
    answer, words = _answer(result, calibrated=calibrated)
    return (
        f'<div class="simnb" style="font-size:15px"><b>{_html.text(answer)}</b> '
        f'<span class="muted">{_html.text(words)}</span></div>'
    )


def _figure(image, verdict, head, below):
    """An image in its frame, and two lines below it."""
    return (
        f'<figure><span class="frame {verdict}">{image}</span><figcaption>{head}<br>'
        f'<span class="muted">{below}</span></figcaption></figure>'
    )


def _draw_image(ax, image, caption, verdict):
    """An image in the frame of its verdict, and the caption below it; no frame without a verdict."""
    _, color, line = styling.VERDICTS[verdict or "unknown"]
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set(visible=verdict is not None, color=color, linestyle=line, linewidth=2.2)
    if image is not None:
        pixels = displayable(np.asarray(image)[None])[0]
        ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    ink = styling.INK if verdict is None else color
    look = {"fontsize": 8, "color": ink, "parse_math": False, "family": styling.SYMBOL_FONT}
    lines = [styling.shorten(visible(line), 0.85 * _CELL, 8) for line in caption.split("\n")]
    ax.set_xlabel("\n".join(lines), **look)
