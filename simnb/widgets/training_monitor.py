"""Watch a training: loss, R@1 and a small map, while it runs."""

import time
from typing import Any

import ipywidgets
import numpy as np
from IPython import get_ipython
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from scipy.linalg import orthogonal_procrustes

from simnb import _checks
from simnb.data import Examples
from simnb.plots import styling
from simnb.projection import in_unit_square, project
from simnb.training import RetrievalMonitor
from simnb.widgets import _html
from simnb.widgets._html import named

_EVERY = 0.25  # seconds between two updates, at least
_MOST_LOSSES = 2_000
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 300, 170, 54, 34, 20, 10
_MAP = 170
_MOST_POINTS = 300
_WAITING = "Loss, R@1 and a small map appear here while it trains."
# Around (0, 0), about 3 pixels wide.
_MARKS = (
    "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0",
    "M-2.7,-2.7h5.4v5.4h-5.4z",
    "M0,-3.4L3.2,2.4H-3.2z",
    "M0,-3.6L3.6,0L0,3.6L-3.6,0z",
)


class TrainingMonitor(RetrievalMonitor):
    """A ``RetrievalMonitor`` that shows what it measures: loss, R@1 and a small map, live.

    Pass it as ``monitor=`` of ``simnb.training.fit``, or among the ``callbacks`` of any ``fit``. Display it
    in a cell before the training, or let the training do so. Outside of notebooks it only measures.

    Args:
        queries: ``Examples`` to search with, whose embeddings are on the map.
        gallery: ``Examples`` to search in.
        map_size: How many queries are on the map.
        distance: One of ``simnb.distances.DISTANCES``.
        batch_size: How many images are embedded at a time.

    Attributes:
        view: The widget.
        losses: A list of pairs: the epochs so far, and Keras's loss, which is the mean of the epoch so far.
        recalls: R@1 after each epoch.

    Raises:
        ValueError: As ``RetrievalMonitor``, or if ``map_size`` is no positive integer.
    """

    async_safe = True  # losses are read now and then, and not at every step, which would wait for it

    def __init__(
        self,
        queries: Examples,
        gallery: Examples,
        *,
        map_size: int = 300,
        distance: str = "cosine",
        batch_size: int = 64,
    ) -> None:
        super().__init__(queries, gallery, distance=distance, batch_size=batch_size)
        self._shown = slice(0, _checks.positive_int(map_size, name="map_size"))
        values, self._positions = np.unique(queries.labels[self._shown], return_inverse=True)
        self._class_names = [queries.class_names[value] for value in values]
        self.losses: list[tuple[float, float]] = []
        self.recalls: list[float] = []
        self._points = None
        self._displayed = False
        self._shown_by_training: DisplayHandle | None = None
        self._epoch, self._step, self._first = 1, 0, (1, None)
        self._before: int | None = None  # epochs of the training that this one goes on with
        self._progress, self._loss, self._recall, self._map = (
            named(ipywidgets.HTML(), f"training-{name}") for name in ("progress", "loss", "recall", "map")
        )
        row = ipywidgets.Layout(flex_flow="row wrap")
        curves = ipywidgets.Box([self._loss, self._recall, self._map], layout=row)
        view = ipywidgets.VBox([ipywidgets.HTML(_html.STYLE), self._progress, curves])
        self.view = named(view, "training")
        self._progress.value = f'<div class="simnb muted">{_WAITING}</div>'

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin anew, and show the view where nobody has."""
        self.losses, self.recalls, self._points = [], [], None
        self._epoch, self._step, self._drawn = 1, 0, 0.0
        self._first = self.params.get("epochs", 1), self.params.get("steps")
        self._begun = time.perf_counter()
        self._before = None
        for part in (self._loss, self._recall, self._map):
            part.value = ""
        if not self._displayed and getattr(get_ipython(), "kernel", None) is not None:
            self._shown_by_training = display(self, display_id=True)
            self._displayed = False  # in the next training again

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember which epoch it is."""
        self._epoch, self._step = epoch + 1, 0
        if self._before is None:  # a training that goes on begins later
            self._before = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the loss, a few times a second at most."""
        self._step = batch + 1
        now = time.perf_counter()
        if now - self._drawn >= _EVERY:
            self._drawn = now
            self._take_loss(logs)
            self._show_progress()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure, and show R@1 and the map."""
        super().on_epoch_end(epoch, logs)
        self._take_loss(logs)
        if logs and "recall_at_1" in logs:
            self.recalls.append(float(logs["recall_at_1"]))
        self._show_recall()
        self._show_map()
        self._show_progress()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Say that it has ended, and let what is kept of it in a saved notebook show all of it."""
        self._show_progress("done")
        if self._shown_by_training is not None:
            displayed = self._displayed
            self._shown_by_training.update(self)
            self._shown_by_training, self._displayed = None, displayed

    def _done(self):
        """Epochs that are done, and parts of one."""
        return self._epoch - 1 + self._step / (self._first[1] or max(self._step, 1))

    def _take_loss(self, logs):
        if logs and "loss" in logs:
            self.losses.append((self._done(), float(logs["loss"])))
        if len(self.losses) > _MOST_LOSSES:
            self.losses = self.losses[::2]

    def _show_progress(self, words=""):
        before = self._before or 0
        (epochs, steps), done = self._first, self._done() - before
        left = ""
        if done > 0 and not words:
            seconds = (time.perf_counter() - self._begun) / done * (epochs - before - done)
            left = f", {_duration(seconds)} left"
        if self.losses and not np.isfinite(self.losses[-1][1]):
            words = f"the loss is {self.losses[-1][1]}"
        value = (self._epoch - 1) * steps + self._step if steps else self._epoch
        of = f" of {steps:,}" if steps else ""
        self._progress.value = (
            f'<div class="simnb"><progress value="{value}" max="{epochs * (steps or 1)}" style="width:220px">'
            f"</progress> epoch {self._epoch} of {epochs}, step {self._step:,}{of}{left} "
            f"<b>{_html.text(words)}</b></div>"
        )
        if self.losses:
            at, values = zip(*self.losses, strict=True)
            self._loss.value = _curve(at, values, "epoch", "loss", styling.WRONG)

    def _show_recall(self):
        epochs = np.arange(len(self.recalls)) + 1 + (self._before or 0)
        self._recall.value = _curve(epochs, self.recalls, "epoch", "R@1", styling.RIGHT, whole=True)

    def _show_map(self):
        points = project(self.query_embeddings[self._shown])
        if self._points is not None:
            points = _turned(points, self._points)
        self._points = points
        self._map.value = _small_map(in_unit_square(points), self._positions, self._class_names)

    def __repr__(self) -> str:
        queries, gallery = len(self.queries), styling.count(len(self.gallery), "gallery image")
        return f"TrainingMonitor({styling.count(queries, 'query')}, {gallery})"

    def _repr_mimebundle_(self, **kwargs):
        self._displayed = True
        return _html.with_still(self.view._repr_mimebundle_(**kwargs), self)

    def _still(self):
        """A figure of what the widget shows: how far it is, the curves and the map."""
        if not self.losses:
            figure = Figure(figsize=(9, 0.5), dpi=75)
            figure.text(0.01, 0.4, _WAITING, fontsize=10, color=styling.MUTED)
            return figure
        figure = Figure(figsize=(9, 2.7), dpi=80, layout="constrained")
        steps = f", step {self._step:,} of {self._first[1]:,}" if self._first[1] else ""
        progress = f"epoch {self._epoch} of {self._first[0]}{steps}"
        figure.suptitle(progress, x=0.01, ha="left", fontsize=10, fontweight="normal")
        loss, recall, small = figure.subplots(1, 3, width_ratios=(1.3, 1.3, 1.25))
        epochs = np.arange(len(self.recalls)) + 1 + (self._before or 0)
        for ax, x, y, name, color in (
            (loss, *zip(*self.losses, strict=True), "loss", styling.WRONG),
            (recall, epochs, self.recalls, "R@1", styling.RIGHT),
        ):
            styling.plain_axes(ax).set(xlabel="epoch")
            ax.set_title(name, fontsize=9, fontweight="normal")
            ax.plot(x, y, color=color)
            ax.plot(x[-1:], y[-1:], "o", color=color)
            ax.set_title(f"{y[-1]:.3f}" if len(y) else "", loc="right", fontsize=9, fontweight="normal")
        recall.set_ylim(0, 1)
        small.axis("off")
        for position, name in enumerate(self._class_names if self._points is not None else ()):
            look = {"color": styling.CLASS_COLORS[position % len(styling.CLASS_COLORS)], "s": 11}
            look |= {"marker": "os^D"[position % 4], "linewidths": 0}
            label = styling.shorten(styling.plain(name), 0.8, 8) if position < 10 else None
            small.scatter(*self._points[self._positions == position].T, label=label, **look)
        if self._points is not None:
            small.legend(
                fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0, frameon=False
            )
        return figure


def _turned(points, before):
    """The points, turned and mirrored so that they lie as near as they can to where they were."""
    return points @ orthogonal_procrustes(points, before)[0].astype(points.dtype)


def _duration(seconds):
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _curve(x, y, xlabel, ylabel, color, *, whole=False):
    """A line over x as SVG, with its last value; of many points only some."""
    finite = np.isfinite(y)
    x, y = np.asarray(x, float)[finite], np.asarray(y, float)[finite]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts = [
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f'<text x="4" y="12">{_html.text(ylabel)}</text>',
        f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{_html.text(xlabel)}</text>',
        *(_curve_parts(x, y, color, whole) if len(x) else ()),
    ]
    return f'<div class="simnb">{"".join(parts)}</svg></div>'


def _curve_parts(x, y, color, whole):
    keep = np.unique(np.linspace(0, len(x) - 1, _MOST_POINTS).round().astype(int))
    low, high = (0.0, 1.0) if whole else (float(y.min()), float(y.max()))
    high = high if high > low else low + (abs(low) or 1.0)
    first, last = float(x[0]), float(x[-1]) if x[-1] > x[0] else float(x[0]) + 1
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    across = _LEFT + (x - first) / (last - first) * (right - _LEFT)
    up = bottom - (y - low) / (high - low) * (bottom - _TOP)
    points = " ".join(f"{across[i]:.1f},{up[i]:.1f}" for i in keep)
    for value, height in ((low, bottom), (high, _TOP)):
        yield f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{height}" y2="{height}"/>'
        yield f'<text x="{_LEFT - 5}" y="{height + 4}" text-anchor="end">{value:.3g}</text>'
    for value, anchor, at in ((first, "start", _LEFT), (last, "end", right)):
        yield f'<text x="{at}" y="{bottom + 14}" text-anchor="{anchor}">{value:.3g}</text>'
    yield f'<polyline points="{points}" style="stroke:{color};fill:none;stroke-width:1.8"/>'
    yield f'<circle cx="{across[-1]:.1f}" cy="{up[-1]:.1f}" r="3" style="fill:{color}"/>'
    yield f'<text x="{right}" y="12" text-anchor="end">{y[-1]:.3f}</text>'


def _small_map(points, positions, names):
    """Points in the unit square as SVG, with a colour and a mark for each class, and a legend."""
    colors = [styling.CLASS_COLORS[p % len(styling.CLASS_COLORS)] for p in range(len(names))]
    marks = "".join(
        f'<path d="{_MARKS[p % 4]}" transform="translate({_MAP * (0.04 + 0.92 * x):.0f},'
        f'{_MAP * (0.96 - 0.92 * y):.0f})" style="fill:{colors[p]}"/>'
        for (x, y), p in zip(points, positions, strict=True)
    )
    legend = "".join(
        '<span style="white-space:nowrap"><svg width="9" height="9" viewBox="-4.5 -4.5 9 9">'
        f'<path d="{_MARKS[p % 4]}" style="fill:{colors[p]}"/></svg> {_html.text(name)}</span>'
        for p, name in enumerate(names[:10])
    )
    more = f"<span>and {len(names) - 10} more</span>" if len(names) > 10 else ""
    # The colours are those of light figures: on a ground of their own they are seen in the dark too.
    return (
        '<div class="simnb" style="display:flex;gap:8px">'
        f'<svg width="{_MAP}" height="{_MAP}" style="background:#fafafa;border-radius:4px" role="img" '
        f'aria-label="map of the queries">{marks}</svg>'
        '<div style="display:flex;flex-direction:column;font-size:11px;line-height:1.4;background:#fafafa;'
        f'color:#222;padding:4px 6px;border-radius:4px">{legend}{more}</div></div>'
    )
