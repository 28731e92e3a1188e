"""Watch a training: loss, R@1 and a small map, while it runs."""

import io
import time

import ipywidgets
import numpy as np

from simnb import _checks
from simnb.plots import styling
from simnb.projection import project
from simnb.training import RetrievalMonitor
from simnb.widgets import _html, _training_html

_EVERY = 0.25  # seconds between two updates, at least
_MOST_LOSSES = 2_000


class TrainingMonitor(RetrievalMonitor):
    """A ``RetrievalMonitor`` that shows what it measures: loss, R@1 and a small map, live.

    Pass it as ``monitor=`` of ``simnb.training.fit``, or among the ``callbacks`` of any ``fit``. Display it
    in a cell before the training, or let the training display it. Outside of notebooks it measures and shows
    nothing.

    Args:
        queries: ``Examples`` to search with, whose embeddings are on the map.
        gallery: ``Examples`` to search in.
        map_size: How many queries are on the map.
        distance: One of ``simnb.distances.DISTANCES``.
        batch_size: Images embedded at a time.

    Attributes:
        view: The widget.
        losses: Steps and the loss at each of them, a list of pairs; Keras's loss is the mean of the epoch so
            far.
        recalls: R@1 after each epoch.

    Raises:
        ValueError: As ``RetrievalMonitor``, or if ``map_size`` is no positive integer.
    """

    async_safe = True  # losses are read now and then, and not at every step, which would wait for it

    def __init__(self, queries, gallery, *, map_size=300, distance="cosine", batch_size=64):
        """Keep the images, and build an empty view."""
        super().__init__(queries, gallery, distance=distance, batch_size=batch_size)
        self._shown = slice(0, _checks.positive_int(map_size, name="map_size"))
        values, self._positions = np.unique(queries.labels[self._shown], return_inverse=True)
        self._class_names = [queries.class_names[value] for value in values]
        self.losses, self.recalls, self._points = [], [], None
        self._displayed = False
        self._build()

    def _build(self):
        self._progress, self._loss, self._recall, self._map = (ipywidgets.HTML() for _ in range(4))
        for part, name in (
            (self._progress, "progress"),
            (self._loss, "loss"),
            (self._recall, "recall"),
            (self._map, "map"),
        ):
            part.add_class(f"simnb-training-{name}")
        row = ipywidgets.Layout(flex_flow="row wrap")
        curves = ipywidgets.Box([self._loss, self._recall, self._map], layout=row)
        self.view = ipywidgets.VBox([ipywidgets.HTML(_html.STYLE), self._progress, curves])
        self.view.add_class("simnb-training")
        waiting = "Loss, R@1 and a small map appear here while it trains."
        self._progress.value = f'<div class="simnb muted">{waiting}</div>'

    def on_train_begin(self, logs=None):
        """Begin anew, and show the view where nobody has."""
        self.losses, self.recalls, self._points = [], [], None
        self._epoch, self._step, self._drawn = 1, 0, 0.0
        self._first = self.params.get("epochs", 1), self.params.get("steps")
        self._begun, self._before = time.perf_counter(), None
        for part in (self._loss, self._recall, self._map):
            part.value = ""
        if not self._displayed:
            _display(self)

    def on_epoch_begin(self, epoch, logs=None):
        """Remember which epoch it is."""
        self._epoch, self._step = epoch + 1, 0
        if self._before is None:  # a training that goes on begins later
            self._before = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Show the loss, a few times a second at most."""
        self._step = batch + 1
        now = time.perf_counter()
        if now - self._drawn >= _EVERY:
            self._drawn = now
            self._take_loss(logs)
            self._show_progress()

    def on_epoch_end(self, epoch, logs=None):
        """Measure, and show R@1 and the map."""
        super().on_epoch_end(epoch, logs)
        self._take_loss(logs)
        if logs and "recall_at_1" in logs:
            self.recalls.append(float(logs["recall_at_1"]))
        self._show_recall()
        self._show_map()
        self._show_progress()

    def on_train_end(self, logs=None):
        """Say that it has ended."""
        self._show_progress("done")

    def _take_loss(self, logs):
        if logs and "loss" in logs:
            at = self._epoch - 1 + self._step / (self._first[1] or max(self._step, 1))
            self.losses.append((at, float(logs["loss"])))
        if len(self.losses) > _MOST_LOSSES:
            self.losses = self.losses[::2]

    def _show_progress(self, words=""):
        epochs, steps = self._first
        done = self._epoch - 1 + self._step / (steps or max(self._step, 1)) - (self._before or 0)
        spent = time.perf_counter() - self._begun
        left = None if done <= 0 or words else spent / done * (epochs - (self._before or 0) - done)
        if self.losses and not np.isfinite(self.losses[-1][1]):
            words = f"the loss is {self.losses[-1][1]}"
        self._progress.value = _training_html.progress(self._epoch, epochs, self._step, steps, left, words)
        if self.losses:
            at, values = zip(*self.losses, strict=True)
            self._loss.value = _training_html.curve(
                at, values, xlabel="epoch", ylabel="loss", color=styling.WRONG
            )

    def _show_recall(self):
        epochs = np.arange(len(self.recalls)) + 1 + (self._before or 0)
        self._recall.value = _training_html.curve(
            epochs, self.recalls, xlabel="epoch", ylabel="R@1", color=styling.RIGHT, whole=True
        )

    def _show_map(self):
        points = project(self.query_embeddings[self._shown])
        self._points = points if self._points is None else _turned(points, self._points)
        low, high = self._points.min(axis=0), self._points.max(axis=0)
        square = (self._points - (low + high) / 2) / max(float((high - low).max()), 1e-12) + 0.5
        self._map.value = _training_html.small_map(square, self._positions, self._class_names)

    def __repr__(self):
        """What is measured on."""
        sizes = [
            styling.count(len(self.queries), "query"),
            styling.count(len(self.gallery), "gallery image"),
        ]
        return f"TrainingMonitor({', '.join(sizes)})"

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and a still picture for where none can run."""
        self._displayed = True
        data = self.view._repr_mimebundle_(**kwargs)
        return {**(data or {}), "text/plain": repr(self), "image/png": self._still()}

    def _still(self):
        """PNG of the curves and the map."""
        from matplotlib.figure import Figure

        if not self.losses:
            figure = Figure(figsize=(9, 0.7))
            figure.text(0.01, 0.3, f"{self!r}: run the next cells to watch the training", fontsize=10.5)
            return _png(figure)
        figure = Figure(figsize=(9, 2.6), layout="constrained")
        figure.suptitle(f"{self!r}", x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        loss, recall, small = figure.subplots(1, 3, width_ratios=(1.3, 1.3, 1))
        for ax, name in ((loss, "loss"), (recall, "R@1")):
            styling.plain_axes(ax, None)
            ax.set(xlabel="epoch", ylabel=name)
        small.axis("off")
        loss.plot(*zip(*self.losses, strict=True), color=styling.WRONG)
        recall.plot(np.arange(len(self.recalls)) + 1, self.recalls, "o-", color=styling.RIGHT)
        if self._points is not None:
            for position in np.unique(self._positions):
                color, marker = styling.class_style(int(position))
                at = self._points[self._positions == position]
                small.scatter(*at.T, s=9, color=color, marker=marker)
        return _png(figure)


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=75)
    return file.getvalue()


def _turned(points, before):
    """The points, turned and mirrored so that they lie as near as they can to where they were."""
    from scipy.linalg import orthogonal_procrustes

    return points @ orthogonal_procrustes(points, before)[0].astype(points.dtype)


def _display(monitor):
    """Show it in a notebook; nowhere else."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ModuleNotFoundError:
        return
    if getattr(get_ipython(), "kernel", None) is not None:
        display(monitor)
        monitor._displayed = False  # in the next training again
