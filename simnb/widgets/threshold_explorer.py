"""A slider over the distance threshold, and what each value of it would do."""

import ipywidgets
import numpy as np
import traitlets
from numpy.typing import NDArray

from simnb import _checks
from simnb._text import visible
from simnb.calibration import METRICS, Calibration, calibrate
from simnb.data import Examples
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import Matches, accept, match
from simnb.plots import styling
from simnb.plots.grids import look_up
from simnb.widgets import _html, _threshold_html

_MOST_STEPS = 1_000


class ThresholdExplorer(ipywidgets.VBox):
    """Move the threshold, and rates, confusion matrix and the queries at the border follow.

    Every step of the slider accepts some more queries, so that a step is never lost between two distances.
    Its left end rejects everything, its right end accepts everything.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        gallery: ``Examples`` that were indexed; queries of any other class are unknown.
        calibration: A ``Calibration``, made on other queries: its cutpoints are marked, and the first is
            where it starts. Without one it starts where F1 is best on these very queries.
        matcher: ``nearest`` or ``majority_vote``.
        num_borderline: How many queries to show on either side of the threshold.

    Attributes:
        threshold: Where the slider stands; may be set, and observed.
        rates: Every calibration metric at it, on these queries.
        matches: ``Matches`` at it.
        borderline: Positions of the queries that are shown, those accepted first, the farthest last.

    Raises:
        ValueError: If lengths differ, there is no query of a known class, an id is not in the gallery, or
            the distance is not the calibration's.
    """

    threshold = traitlets.Float()

    def __init__(
        self,
        queries: Examples,
        neighbors: Neighbors,
        gallery: Examples,
        *,
        calibration: Calibration | None = None,
        matcher: str = "nearest",
        num_borderline: int = 4,
    ) -> None:
        self._places = look_up(queries, neighbors, gallery)
        self._queries, self._neighbors, self._gallery = queries, neighbors, gallery
        self._num_borderline = _checks.positive_int(num_borderline, name="num_borderline")
        self._known = np.unique(gallery.labels)
        self._own = calibrate(neighbors, queries.labels, known_labels=self._known, matcher=matcher)
        if calibration is not None and calibration.distance and neighbors.distance:
            _checks.one_of(neighbors.distance, [calibration.distance], name="distance of neighbors")
        self._calibration = calibration
        self._curves, self._everything = self._own.curves, match(neighbors, matcher=matcher)
        self._order = np.argsort(self._everything.distances, kind="stable")
        self._matrix = _threshold_html.Matrix(queries, self._everything.labels, self._known)
        self._cutpoints = self._named_cutpoints()
        self._steps = self._choose_steps()
        self._cards: dict[tuple[int, bool], str] = {}
        self._build()
        super().__init__(self._parts())
        self.add_class("simnb-threshold")
        self.threshold = next(iter(self._cutpoints.values()))
        self._show()  # where that is what it was before

    def _named_cutpoints(self):
        """Threshold of each cutpoint that has a single one, by its name; at least one."""
        chosen = self._own if self._calibration is None else self._calibration
        found = {
            name: float(cutpoint.threshold)
            for name, cutpoint in chosen.cutpoints.items()
            if cutpoint.met and cutpoint.by_class is None
        }
        return found or {"best F1 here": float(self._own.threshold)}

    def _choose_steps(self):
        """Positions among the candidate thresholds that the slider stops at."""
        count = len(self._curves)
        steps = np.linspace(0, count - 1, min(count, _MOST_STEPS)).round().astype(np.int64)
        marked = [self._curves.position(limit) for limit in self._cutpoints.values()]
        return np.unique(np.concatenate([steps, marked]))

    def _build(self):
        thresholds = self._curves.threshold[self._steps]
        rates = {name: getattr(self._curves, name)[self._steps] for name in METRICS}
        marks = {name: self._step_of(limit) for name, limit in self._cutpoints.items()}
        self._chart = _threshold_html.Chart(
            thresholds, rates, marks, styling.distance_name(self._neighbors.distance)
        )
        wide = ipywidgets.Layout(width="100%", max_width="720px")
        self.curves = ipywidgets.HTML(layout=wide)
        self.slider = ipywidgets.IntSlider(
            max=len(self._steps) - 1, readout=False, layout=ipywidgets.Layout(width="100%", max_width="570px")
        )
        self.value = ipywidgets.Text(
            description="threshold", continuous_update=False, layout=ipywidgets.Layout(width="190px")
        )
        self.message = ipywidgets.HTML()
        self.table, self.confusion, self.strip = (ipywidgets.HTML() for _ in range(3))
        self.buttons = [
            ipywidgets.Button(
                description=f"{visible(name)}  {styling.number(limit)}",
                layout=ipywidgets.Layout(width="auto"),
            )
            for name, limit in self._cutpoints.items()
        ]
        for button, limit in zip(self.buttons, self._cutpoints.values(), strict=True):
            button.on_click(lambda _, limit=limit: self.set_trait("threshold", limit))
        self.slider.observe(self._moved, "value")
        self.value.observe(self._typed, "value")

    def _parts(self):
        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        bar = ipywidgets.HBox([self.value, *self.buttons, self.message], layout=wrap)
        tables = ipywidgets.Box([self.table, self.confusion], layout=ipywidgets.Layout(flex_flow="row wrap"))
        track = ipywidgets.Box(
            [self.slider], layout=ipywidgets.Layout(max_width="720px", padding="0 0 0 38px")
        )
        bar.add_class("simnb-cutpoints")
        for part, name in (
            (track, "threshold-slider"),
            (self.value, "threshold-value"),
            (self.curves, "curves"),
            (self.table, "rates"),
            (self.confusion, "confusion"),
            (self.strip, "borderline"),
            (self.message, "threshold-message"),
        ):
            part.add_class(f"simnb-{name}")
        note = ipywidgets.HTML(f'<div class="simnb muted">{self._note()}</div>')
        return [ipywidgets.HTML(_html.STYLE), bar, self.curves, track, tables, self.strip, note]

    def _note(self):
        if self._calibration is None:
            return "The mark is the best F1 on these very queries, and promises nothing for others."
        left = [
            name
            for name, cutpoint in self._calibration.cutpoints.items()
            if not cutpoint.met or cutpoint.by_class is not None
        ]
        text = (
            "Marks are cutpoints that were chosen on other queries; the rates are those of the queries here."
        )
        return text + (f" Without a single threshold: {_html.text(', '.join(left))}." if left else "")

    def _step_of(self, threshold):
        """The step that accepts the same queries, or the last one that accepts no more."""
        position = self._curves.position(threshold)
        return int(np.searchsorted(self._steps, position, side="right")) - 1

    def _moved(self, change):
        if self._step_of(self.threshold) != change["new"]:
            self.threshold = float(self._curves.threshold[self._steps[change["new"]]])

    def _typed(self, change):
        if change["new"] == self._written():
            return
        try:
            limit = -np.inf if change["new"].strip() == "none" else float(change["new"])
            if np.isnan(limit):
                raise ValueError
        except ValueError:
            self.message.value = f'<span class="simnb">not a number: {_html.text(change["new"][:40])}</span>'
            return
        self.message.value = ""
        self.threshold = limit

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal):
        if np.isnan(proposal["value"]):
            raise ValueError("threshold must be a number, got NaN")
        return proposal["value"]

    @traitlets.observe("threshold")
    def _changed(self, change):
        if hasattr(self, "_chart"):
            self._show()

    def _written(self):
        return "none" if np.isneginf(self.threshold) else f"{self.threshold:.6g}"

    def _show(self):
        """Let every part follow the threshold."""
        step = self._step_of(self.threshold)
        first = next(iter(self._cutpoints))
        with self.curves.hold_sync(), self.slider.hold_sync():
            self.slider.value = step
            self.curves.value = self._chart.at(step)
        self.value.value, self.message.value = self._written(), ""
        compared = self._curves.rates(self._cutpoints[first])
        self.table.value = _threshold_html.rates_table(self.rates, self.counts, compared, f"at {first}")
        self.confusion.value = self._matrix.html(self.matches.accepted)
        self.strip.value = self._borderline_html()

    @property
    def rates(self) -> dict[str, float]:
        """Every calibration metric at the threshold, on these queries."""
        return self._curves.rates(self.threshold)

    @property
    def counts(self) -> tuple[int, ...]:
        """The five counts of ``simnb.metrics.match_rates`` at the threshold."""
        position = self._curves.position(self.threshold)
        return tuple(int(count[position]) for count in self._curves.counts)

    @property
    def matches(self) -> Matches:
        """``Matches`` of the queries at the threshold."""
        return accept(self._everything, self.threshold)

    @property
    def borderline(self) -> NDArray[np.int64]:
        """Positions of the queries nearest to the threshold: just accepted ones, then just rejected ones."""
        return np.concatenate(self._border())

    def _border(self):
        ordered = self._everything.distances[self._order]
        limit = np.asarray(self.threshold).astype(ordered.dtype)
        at = int(np.searchsorted(ordered, limit, side="right"))
        rejected = self._order[at : at + self._num_borderline]
        there = np.isfinite(self._everything.distances[rejected])
        return self._order[max(at - self._num_borderline, 0) : at], rejected[there]

    def _borderline_html(self):
        parts = []
        for title, queries, accepted in zip(
            ("just accepted", "just rejected"), self._border(), (True, False), strict=True
        ):
            cards = "".join(self._card(int(query), accepted) for query in queries)
            parts.append(f'<div><b>{title}</b><div class="cards">{cards or "none"}</div></div>')
        layout = "display:flex;flex-wrap:wrap;gap:8px 28px;margin-top:6px"
        return f'<div class="simnb" style="{layout}">{"".join(parts)}</div>'

    def _card(self, query, accepted):
        key = (query, accepted)
        if key not in self._cards:
            self._cards[key] = self._draw_card(query, accepted)
        return self._cards[key]

    def _draw_card(self, query, accepted):
        names, label = self._queries.class_names, int(self._queries.labels[query])
        answer = int(self._everything.labels[query])
        true = "unknown" if label == UNKNOWN else names[label]
        found = "none" if answer == UNKNOWN else self._gallery.class_names[answer]
        right = label == answer and label in self._known
        if accepted:
            verdict, word = ("right", "✓") if right else ("wrong", "✗")
        else:
            verdict, word = "unknown", "? spared" if not right else "? lost"
        place = self._place_of(query, answer)
        images = _html.image(self._queries.images[query], alt=true)
        if place >= 0:
            images += _html.image(self._gallery.images[place], alt=found)
        distance = styling.number(float(self._everything.distances[query]))
        return (
            f'<figure class="pair"><span class="frame {verdict}">{images}</span><figcaption>'
            f"{_html.text(true)} → {_html.text(found)}<br>"
            f'<b class="{verdict}">{word}</b> <span class="muted">{distance}</span></figcaption></figure>'
        )

    def _place_of(self, query, answer):
        """Position in the gallery of the nearest neighbor that has the answer's label; -1 where none has."""
        having = np.flatnonzero(self._neighbors.labels[query] == answer)
        return int(self._places[query, having[0]]) if len(having) else -1

    def __repr__(self) -> str:
        queries = styling.count(len(self._queries.labels), "query")
        return f"ThresholdExplorer({queries}, threshold {self._written()})"

    def _repr_mimebundle_(self, **kwargs):
        """The widget, and a still picture for where none can run."""
        data = super()._repr_mimebundle_(**kwargs)
        return {**(data or {}), "text/plain": repr(self), "image/png": self._still()}

    def _still(self):
        """PNG of curves and confusion matrix."""
        from matplotlib.figure import Figure

        from simnb.plots import confusion_matrix, metric_curves

        figure = Figure(figsize=(12.4, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        title = f"{styling.count(len(self._queries.labels), 'query')}: run the cell to move the threshold"
        metric_curves(self._calibration or self._own, ax=left, title=title)
        confusion_matrix(
            self._queries.labels,
            self.matches.labels,
            class_names=self._queries.class_names,
            known_labels=self._known,
            ax=right,
            title=f"Answers at {self._written()}",
        )
        return _html.png(figure, dpi=75)
