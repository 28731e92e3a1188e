"""Embeddings on a circle: points to drag, and a triplet loss that pulls and pushes them."""

from collections.abc import Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._text import visible
from simnb._types import AnyPath
from simnb.plots import embedding_circle, styling
from simnb.widgets import _html, _page

_MOST = 60  # points; each one more is in more triplets than all before


class CircleExplorer(anywidget.AnyWidget):
    """Embeddings of two dimensions on a circle, which a triplet loss moves: drag a point, or play a training.

    The loss is the mean over all triplets, ``losses.batch_all_triplet_loss``. Of every point the sum of pull
    and push is drawn, which is minus the gradient by its angle; of the selected one both.

    Args:
        embeddings: Where the points start, shape [num_points, 2]; only their directions count.
        labels: Class of each point, shape [num_points].
        margin: Margin of the loss, in cosine distance, from 0 to 2.
        class_names: Name of each class; the labels themselves by default.
        rate: How far a step of the training follows the gradient.

    Attributes:
        angles: Where the points are now, in radians; a list that may be set, and observed.
        margin: As above; may be set.
        selected: Position of the point whose pull and push are shown; may be set.

    Raises:
        ValueError: If embeddings have other than two dimensions, lengths differ, there are more than 60
            points, or a number is out of range.
    """

    _esm = _page.script("triplets.js", "circle_explorer.js")
    _css = _page.FOLDER / "circle_explorer.css"

    _labels: traitlets.List[int] = traitlets.List().tag(sync=True)
    _classes: traitlets.List[str] = traitlets.List().tag(sync=True)
    _start: traitlets.List[float] = traitlets.List().tag(sync=True)
    angles: traitlets.List[float] = traitlets.List(traitlets.Float()).tag(sync=True)
    margin = traitlets.Float(0.5, min=0, max=2).tag(sync=True)
    rate = traitlets.Float(1.0).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike,
        *,
        margin: float = 0.5,
        class_names: Sequence[str] | None = None,
        rate: float = 1.0,
    ) -> None:
        points = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings").astype(np.float64)
        if points.shape[1] != 2 or len(points) > _MOST:
            raise ValueError(f"embeddings must have shape [{_MOST} at most, 2], got {points.shape}")
        labels = _checks.labels(labels, count=len(points))
        classes, self._positions = np.unique(labels, return_inverse=True)
        name = styling.class_namer(class_names, classes)
        start = np.arctan2(points[:, 1], points[:, 0]).tolist()
        super().__init__(
            _labels=self._positions.tolist(),
            _classes=[visible(name(label)) for label in classes.tolist()],
            _start=start,
            angles=start,
            margin=_checks.number(margin, name="margin", at_least=0, at_most=2),
            rate=_checks.number(rate, name="rate", above=0),
        )

    @traitlets.validate("angles")
    def _check_angles(self, proposal):
        values = np.asarray(proposal["value"], np.float64)
        if values.shape != self._positions.shape or not np.isfinite(values).all():
            raise ValueError(
                f"angles must be {len(self._positions)} finite numbers, got {proposal['value']!r}"
            )
        return values.tolist()

    @traitlets.validate("selected")
    def _check_selected(self, proposal):
        if not 0 <= proposal["value"] < len(self._positions):
            raise ValueError(
                f"selected must be a position below {len(self._positions)}, got {proposal['value']}"
            )
        return proposal["value"]

    @property
    def embeddings(self) -> NDArray[np.float64]:
        """Where the points are now, shape [num_points, 2]."""
        return np.stack([np.cos(self.angles), np.sin(self.angles)], axis=1)

    @property
    def loss(self) -> float:
        """The loss as the points lie now."""
        return self._measure()[0]

    @property
    def gradient(self) -> NDArray[np.float64]:
        """Derivative of the loss by the angle of each point, shape [num_points]."""
        _, pull, push = self._measure()
        return -(pull + push)

    def _measure(self):
        """The loss, and how far its pull and its push would turn each point."""
        angles = np.asarray(self.angles)
        distances = 1 - np.cos(angles[:, None] - angles)
        same = self._positions[:, None] == self._positions
        positives = same & ~np.eye(len(angles), dtype=bool)
        triplets = positives[:, :, None] & ~same[:, None, :]
        gaps = np.where(triplets, distances[:, :, None] - distances[:, None, :] + self.margin, 0)
        asking, count = gaps > 0, max(int(triplets.sum()), 1)
        weights = (asking.sum(axis=2) - asking.sum(axis=1, dtype=int)) / count
        turns = (weights + weights.T) * np.sin(angles - angles[:, None])
        pull, push = (np.where(kind, turns, 0).sum(axis=1) for kind in (same, ~same))
        return float(np.maximum(gaps, 0).sum() / count), pull, push

    def to_html(self, path: AnyPath, *, title: str = "Push and pull on a circle") -> Path:
        """Write the circle as one page that needs neither Python nor a network.

        Args:
            path: The file to write. Its folder is made where it is missing, and a file that is there is
                replaced once the new one is whole.
            title: Title of the page.

        Returns:
            The ``Path``.
        """
        state = self.get_state(["_labels", "_classes", "_start", "angles", "margin", "rate", "selected"])
        own = {"esm": str(self._esm), "css": str(self._css)}
        return _page.write(Path(path), lambda: _page.text_of(state, title=title, **own))

    def __repr__(self) -> str:
        points, classes = (
            styling.count(len(self.angles), "point"),
            styling.count(len(self._classes), "class"),
        )
        return f"CircleExplorer({points}, {classes}, margin {self.margin:g})"

    def _repr_mimebundle_(self, **kwargs):
        return _html.with_still(super()._repr_mimebundle_(**kwargs), self)

    def _still(self):
        """A figure of the circle as it is, with the loss and the arrows."""
        loss, pull, push = self._measure()
        figure = Figure(figsize=(4.9, 5.2), dpi=80, layout="constrained")
        embedding_circle(
            self.embeddings,
            self._positions,
            turns={"pull": pull, "push": push, "sum": pull + push},
            class_names=self._classes,
            ax=figure.subplots(),
            title=f"Loss {loss:.3f} at a margin of {self.margin:g}",
        )
        return figure
