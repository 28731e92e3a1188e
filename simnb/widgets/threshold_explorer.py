"""A slider over the distance threshold, and what each value of it would do."""

from functools import cache

import ipywidgets
import numpy as np
import traitlets
from ipywidgets import Layout
from numpy.typing import NDArray

from simnb import _checks
from simnb._text import visible
from simnb.calibration import METRICS, Calibration, calibrate
from simnb.data import Examples
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import Matches, accept, match
from simnb.plots import styling
from simnb.plots.curves import metric_name
from simnb.plots.pictures import look_up, places_in
from simnb.widgets import _html, _threshold_still
from simnb.widgets._html import named

_MOST_STEPS = 1_000
#: Metrics that have a curve; their colours and dashes are in the style sheet.
_CURVES = ("precision", "recall", "coverage", "false_acceptance")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 260, 44, 118, 36, 38
_MOST_CLASSES = 20
_SIDES = ("just accepted", "just rejected")


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
        _checks.labelled(queries.labels, "ThresholdExplorer")
        self._places = look_up(queries, neighbors, gallery)
        self._queries, self._neighbors, self._gallery = queries, neighbors, gallery
        self._num_borderline = _checks.positive_int(num_borderline, name="num_borderline")
        self._known = np.unique(gallery.labels[gallery.labels != UNKNOWN])
        self._own = calibrate(neighbors, queries.labels, known_labels=self._known, matcher=matcher)
        if calibration is not None and calibration.distance and neighbors.distance:
            _checks.one_of(neighbors.distance, [calibration.distance], name="distance of neighbors")
        self._calibration = calibration
        self._curves, self._everything = self._own.curves, match(neighbors, matcher=matcher)
        self._order = np.argsort(self._everything.distances, kind="stable")
        self._matrix = _Matrix(queries, self._everything.labels, self._known)
        self._cutpoints = self._named_cutpoints()
        # The slider stops at some of the candidate thresholds, and at each cutpoint.
        count = len(self._curves)
        steps = np.linspace(0, count - 1, min(count, _MOST_STEPS)).round().astype(np.int64)
        marked = [self._curves.position(limit) for limit in self._cutpoints.values()]
        self._steps = np.unique(np.concatenate([steps, marked]))
        self._card = cache(self._draw_card)
        super().__init__(self._build())
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

    def _build(self):
        rates = {name: getattr(self._curves, name)[self._steps] for name in METRICS}
        marks = {name: self._step_of(limit) for name, limit in self._cutpoints.items()}
        distance = styling.distance_name(self._neighbors.distance)
        self._chart = _Chart(self._curves.threshold[self._steps], rates, marks, distance)
        wide = Layout(width="100%", max_width="720px")
        self.curves = named(ipywidgets.HTML(layout=wide), "curves")
        self.table, self.confusion, self.strip, self.message = (
            named(ipywidgets.HTML(), name)
            for name in ("rates", "confusion", "borderline", "threshold-message")
        )
        value = {"description": "threshold", "continuous_update": False, "layout": Layout(width="190px")}
        self.value = named(ipywidgets.Text(**value), "threshold-value")
        self.value.observe(self._typed, "value")
        long = Layout(width="100%", max_width="570px")
        self.slider = ipywidgets.IntSlider(max=len(self._steps) - 1, readout=False, layout=long)
        self.slider.observe(self._moved, "value")
        self.buttons = [self._button(*cutpoint) for cutpoint in self._cutpoints.items()]
        wrap = Layout(flex_flow="row wrap", align_items="center")
        bar = ipywidgets.HBox([self.value, *self.buttons, self.message], layout=wrap)
        track = ipywidgets.Box([self.slider], layout=Layout(max_width="720px", padding="0 0 0 38px"))
        tables = ipywidgets.Box([self.table, self.confusion], layout=Layout(flex_flow="row wrap"))
        note = ipywidgets.HTML(f'<div class="simnb muted">{self._note()}</div>')
        parts = [named(bar, "cutpoints"), self.curves, named(track, "threshold-slider"), tables, self.strip]
        return [ipywidgets.HTML(_html.STYLE), *parts, note]

    def _button(self, name, limit):
        words = f"{visible(name)}  {styling.number(limit)}"
        button = ipywidgets.Button(description=words, layout=Layout(width="auto"))
        button.on_click(lambda _: self.set_trait("threshold", limit))
        return button

    def _note(self):
        if self._calibration is None:
            return "The mark is the best F1 on these very queries, and promises nothing for others."
        left = ", ".join(name for name in self._calibration.cutpoints if name not in self._cutpoints)
        others = f" Without a single threshold: {_html.text(left)}." if left else ""
        return (
            "Marks are cutpoints that were chosen on other queries; the rates are those of the queries here."
            + others
        )

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
        """The threshold as the box shows it: in short, though it is what was typed or chosen."""
        if np.isneginf(self.threshold):
            return "none"
        return f"{self.threshold:{'.3g' if abs(self.threshold) < 1000 else '.6g'}}"

    def _show(self):
        """Let every part follow the threshold."""
        step = self._step_of(self.threshold)
        first = next(iter(self._cutpoints))
        with self.curves.hold_sync(), self.slider.hold_sync():
            self.slider.value = step
            self.curves.value = self._chart.at(step)
        self.value.value, self.message.value = self._written(), ""
        compared = self._curves.rates(self._cutpoints[first])
        self.table.value = _rates_table(self.rates, self.counts, compared, f"at {first}")
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
        sides = zip(_SIDES, self._border(), (True, False), strict=True)
        for title, queries, accepted in sides:
            cards = "".join(self._card(int(query), accepted) for query in queries)
            parts.append(f'<div><b>{title}</b><div class="cards">{cards or "none"}</div></div>')
        layout = "display:flex;flex-wrap:wrap;gap:8px 28px;margin-top:6px"
        return f'<div class="simnb" style="{layout}">{"".join(parts)}</div>'

    def _judged(self, query, accepted):
        """Names of a query's class and of its answer, the answer, the verdict, and a word on it."""
        names, label = self._queries.class_names, int(self._queries.labels[query])
        answer = int(self._everything.labels[query])
        true = "unknown" if label == UNKNOWN else names[label]
        found = "none" if answer == UNKNOWN else self._gallery.class_names[answer]
        right = label == answer and label in self._known
        if accepted:
            return true, found, answer, *(("right", "✓") if right else ("wrong", "✗"))
        return true, found, answer, "unknown", "? missed" if label in self._known else "? kept out"

    def _draw_card(self, query, accepted):
        true, found, answer, verdict, word = self._judged(query, accepted)
        images = _html.image(self._queries.images[query], alt=true)
        having = np.flatnonzero(self._neighbors.labels[query] == answer)
        if len(having) and (place := self._places[query, having[0]]) >= 0:
            images += _html.image(self._gallery.images[place], alt=found)
        distance = styling.number(float(self._everything.distances[query]))
        return (
            f'<figure class="pair"><span class="frame {verdict}">{images}</span><figcaption>'
            f"{_html.text(true)} → {_html.text(found)}<br>"
            f'<b class="{verdict}">{word}</b> <span class="muted">{distance}</span></figcaption></figure>'
        )

    def __repr__(self) -> str:
        queries = styling.count(len(self._queries.labels), "query")
        return f"ThresholdExplorer({queries}, threshold {self._written()})"

    def _repr_mimebundle_(self, **kwargs):
        return _html.with_still(super()._repr_mimebundle_(**kwargs), self)

    def _still(self):
        """The widget as a figure."""
        step, first = self._step_of(self.threshold), next(iter(self._cutpoints.values()))
        compared = self._curves.rates(first)
        limits = self._cutpoints.items()
        return _threshold_still.draw(
            self._curves.threshold[self._steps],
            {name: getattr(self._curves, name)[self._steps] for name in METRICS},
            {name: (self._step_of(limit), limit) for name, limit in limits},
            step,
            self._written(),
            styling.distance_name(self._neighbors.distance),
            ({name: (rate, compared[name]) for name, rate in self.rates.items()}, self.counts),
            self._matrix.drawn(self.matches.accepted),
            [
                (title, [self._pictured(int(query), accepted) for query in queries])
                for title, queries, accepted in zip(_SIDES, self._border(), (True, False), strict=True)
            ],
        )

    def _pictured(self, query, accepted):
        """A query of the border for the still: its image, its neighbor's, the words, the verdict."""
        true, found, answer, verdict, word = self._judged(query, accepted)
        having = np.flatnonzero(self._neighbors.labels[query] == answer)
        place = self._places[query, having[0]] if len(having) else -1
        neighbor = np.asarray(self._gallery.images[place]) if place >= 0 else None
        words = styling.shorten(f"{styling.plain(true)} → {styling.plain(found)}", 0.85, 7.5)
        return (
            np.asarray(self._queries.images[query]),
            neighbor,
            f"{words}\n{word.replace('? ', '')}",
            verdict,
        )


class _Chart:
    """Metrics over the steps of the slider, by their names, and marked steps by theirs, as SVG."""

    def __init__(self, thresholds, rates, marks, distance):
        self.last = max(len(thresholds) - 1, 1)
        parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="rates over the threshold">']
        for share in (0, 0.25, 0.5, 0.75, 1):
            y, step = self._y(share), round(share * (len(thresholds) - 1))
            limit = "none" if np.isneginf(thresholds[step]) else styling.number(float(thresholds[step]))
            parts += [
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>',
                f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{share:.0%}</text>',
                f'<text x="{self._x(step)}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{limit}</text>',
            ]
        axis = f"{distance} up to which a neighbor matches; each step accepts more queries"
        at = f'x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 4}"'
        parts.append(f'<text {at} text-anchor="middle">{_html.text(axis)}</text>')
        self.fixed = "".join([*parts, *self._lines(rates), *self._marks(marks)])

    def _x(self, step):
        return round(_LEFT + step / self.last * (_WIDTH - _LEFT - _RIGHT), 1)

    def _y(self, rate):
        return round(_HEIGHT - _BOTTOM - rate * (_HEIGHT - _TOP - _BOTTOM), 1)

    def _lines(self, rates):
        ends = []
        for name in _CURVES:
            values = rates[name]
            if np.isnan(values).all():
                continue
            steps = np.unique(np.linspace(0, len(values) - 1, 240).round().astype(int))
            points = " ".join(f"{self._x(step)},{self._y(values[step])}" for step in steps)
            yield f'<polyline class="{name}" points="{points}"/>'
            ends.append((self._y(values[-1]), name))
        # Names stand at the ends of the lines, one below the other.
        at = -np.inf
        for y, name in sorted(ends):
            at = max(y + 4, at + 13)
            yield f'<text class="{name}" x="{_WIDTH - _RIGHT + 6}" y="{at}">{metric_name(name)}</text>'

    def _marks(self, marks):
        """Lines whose names are on different rows where they are close together, and together where equal."""
        at = {}
        for name, step in marks.items():
            at.setdefault(self._x(step), []).append(name)
        ends = [-np.inf] * 3
        for x, names in sorted(at.items()):
            text = ", ".join(names)
            row = next((row for row, end in enumerate(ends) if x > end), int(np.argmin(ends)))
            ends[row] = x + 6.5 * len(text) + 6
            yield f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP - 4}" y2="{_HEIGHT - _BOTTOM}"/>'
            yield f'<text x="{x}" y="{9 + 11 * row}">{_html.text(text)}</text>'

    def at(self, step):
        """The SVG, with a line at a step."""
        x = self._x(step)
        line = f'<line class="here" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        return f'<div class="simnb" style="overflow-x:auto">{self.fixed}{line}</svg></div>'


def _rates_table(rates, counts, compared, compared_name):
    """Rates here and at another threshold, and what they count."""
    rows = "".join(
        f'<tr><th>{metric_name(name)}</th><td class="simnb-rate-{name}">{_percent(value)}</td>'
        f'<td class="muted">{_percent(compared[name])}</td></tr>'
        for name, value in rates.items()
    )
    right, wrong, missed, let_in, kept_out = (f"{int(count):,}" for count in counts)
    words = f"<b class='right'>✓ {right} right</b>, <b class='wrong'>✗ {wrong} wrong</b>, ? {missed} missed"
    if counts[3] + counts[4]:
        words += f"<br>unknown: <b class='wrong'>✗ {let_in} let in</b>, ✓ {kept_out} kept out"
    head = f"<tr><th></th><th>here</th><th>{_html.text(compared_name)}</th></tr>"
    return f'<div class="simnb"><table>{head}{rows}</table><p style="margin:6px 0 0">{words}</p></div>'


class _Matrix:
    """The confusion matrix at any threshold, of the largest classes where there are many."""

    def __init__(self, queries, answers, known):
        truth, sizes = np.unique(queries.labels, return_counts=True)
        order = np.argsort(~np.isin(truth, known), kind="stable")  # unknown classes last
        shown = _largest(truth[order], sizes[order])
        asked = _largest(known, np.array([np.count_nonzero(answers == label) for label in known]))
        rows, columns = (
            ["unknown" if label == UNKNOWN else queries.class_names[label] for label in classes]
            for classes in (shown, asked)
        )
        self.rows = rows + ["other classes"] * (len(shown) < len(truth))
        self.columns = [*columns, *["other"] * (len(asked) < len(known)), "Unknown"]
        last = len(self.columns) - 1
        self._row = places_in(shown, queries.labels)
        self._column = np.where(answers == UNKNOWN, last, places_in(asked, answers))
        self._right = np.append(np.where(np.isin(shown, known), places_in(asked, shown), last), -1)

    def counts(self, accepted):
        """Shape [num_rows, num_columns]."""
        width = len(self.columns)
        column = np.where(accepted, self._column, width - 1)
        counts = np.bincount(self._row * width + column, minlength=len(self.rows) * width)
        return counts.reshape(len(self.rows), width)

    def drawn(self, accepted):
        """Names of rows and columns, the right column of each row, and the counts."""
        counts = self.counts(accepted)
        return self.rows, self.columns, self._right[: len(self.rows)], counts

    def html(self, accepted):
        """As a table: each cell is shaded by its share of the row."""
        head = "".join(
            f'<th title="{_html.text(name)}">{_html.text(name if len(name) <= 9 else name[:8] + "…")}</th>'
            for name in self.columns
        )
        body = ""
        for name, right, counts in zip(self.rows, self._right, self.counts(accepted), strict=False):
            shares = counts / max(counts.sum(), 1)
            cells = "".join(
                f'<td style="background:{_shade(share, column == right)}">{count or ""}</td>'
                for column, (count, share) in enumerate(zip(counts, shares, strict=True))
            )
            body += f"<tr><th>{_html.text(name)}</th>{cells}</tr>"
        return (
            '<div class="simnb" style="overflow-x:auto"><table><caption class="muted" '
            'style="text-align:left">rows: true class, columns: answer; blue is right, orange is wrong'
            f"</caption><tr><th></th>{head}</tr>{body}</table></div>"
        )


def _percent(value):
    """A rate in percent, or a dash where there is none."""
    return "\N{EN DASH}" if np.isnan(value) else f"{value:.1%}"


def _shade(share, right):
    # Over either ground text stays readable: at most half of the colour.
    color = "0,114,178" if right else "213,94,0"
    return f"rgba({color},{0.55 * share:.2f})" if share else "none"


def _largest(classes, counts):
    """All of a few classes; of many the largest, in their order."""
    if len(classes) <= _MOST_CLASSES:
        return classes
    return classes[np.sort(np.argsort(-counts, kind="stable")[: _MOST_CLASSES - 1])]
