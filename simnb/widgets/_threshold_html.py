"""What the threshold explorer shows, as HTML: curves and rates, and the confusion matrix."""

import numpy as np

from simnb.index import UNKNOWN
from simnb.plots import styling
from simnb.widgets import _html

#: Metrics that have a curve: colour in light, in dark, and dashes of the line.
_CURVES = {
    "precision": ("#0072B2", "#56B4E9", ""),
    "recall": ("#D55E00", "#F28C3A", "7 3"),
    "coverage": ("#117733", "#4fb873", "2 3"),
    "false_acceptance": ("#882255", "#d76aa0", "9 3 2 3"),
}
_NAMES = {"f1": "F1", "false_acceptance": "false acceptance"}
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 260, 44, 118, 36, 38
_MOST_CLASSES = 20

_CURVE_STYLE = (
    "<style>"
    + "".join(
        f".simnb .{name} {{ stroke: {light}; stroke-dasharray: {dashes or 'none'}; }}"
        f".simnb text.{name} {{ fill: {light}; stroke: none; }}"
        f'[data-jp-theme-light="false"] .simnb .{name} {{ stroke: {dark}; }}'
        f'[data-jp-theme-light="false"] .simnb text.{name} {{ fill: {dark}; stroke: none; }}'
        for name, (light, dark, dashes) in _CURVES.items()
    )
    + ".simnb polyline { fill: none; stroke-width: 2; }"
    ".simnb svg { max-width: 100%; min-width: 480px; height: auto; display: block; }"
    ".simnb svg text { font-size: 11px; fill: currentColor; }"
    ".simnb .axis { stroke: var(--muted); } .simnb .grid { stroke: var(--faint); }"
    ".simnb .mark { stroke: var(--muted); stroke-dasharray: 2 3; }"
    ".simnb .here { stroke: var(--ink); stroke-width: 2; }"
    "</style>"
)


class Chart:
    """The curves of the metrics over the steps of the slider, with marks, as SVG.

    Args:
        thresholds: Threshold of each step, ascending, shape [num_steps].
        rates: Values of each metric at each step, by its name, shape [num_steps].
        marks: Position of each marked step, by its name.
        distance: Name of the distance.
    """

    def __init__(self, thresholds, rates, marks, distance):
        self.last = max(len(thresholds) - 1, 1)
        parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="rates over the threshold">']
        for share in (0, 0.25, 0.5, 0.75, 1):
            y = self._y(share)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{share:.0%}</text>')
        for share in (0, 0.25, 0.5, 0.75, 1):
            step = round(share * (len(thresholds) - 1))
            name = "none" if np.isneginf(thresholds[step]) else styling.number(float(thresholds[step]))
            x = self._x(step)
            parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{name}</text>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        axis = f"{distance or 'distance'} up to which a neighbor matches; each step accepts more queries"
        parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{_html.text(axis)}</text>')
        parts += self._lines(rates) + [self._mark(*mark) for mark in self._rows(marks)]
        self.fixed = "".join(parts)

    def _x(self, step):
        return round(_LEFT + step / self.last * (_WIDTH - _LEFT - _RIGHT), 1)

    def _y(self, rate):
        return round(_HEIGHT - _BOTTOM - rate * (_HEIGHT - _TOP - _BOTTOM), 1)

    def _lines(self, rates):
        parts, ends = [], []
        for name in _CURVES:
            values = rates[name]
            if np.isnan(values).all():
                continue
            steps = np.unique(np.linspace(0, len(values) - 1, 240).round().astype(int))
            points = " ".join(f"{self._x(step)},{self._y(values[step])}" for step in steps)
            parts.append(f'<polyline class="{name}" points="{points}"/>')
            ends.append((self._y(values[-1]), name))
        # Names stand at the ends of the lines, one below the other.
        at = -np.inf
        for y, name in sorted(ends):
            at = max(y + 4, at + 13)
            x = _WIDTH - _RIGHT + 6
            parts.append(f'<text class="{name}" x="{x}" y="{at}">{_metric_name(name)}</text>')
        return parts

    def _rows(self, marks):
        """Marks with the row of their names: those close together on different rows, equal ones together."""
        at = {}
        for name, step in marks.items():
            at.setdefault(self._x(step), []).append(name)
        ends = [-np.inf] * 3
        for x, names in sorted(at.items()):
            row = next((row for row, end in enumerate(ends) if x > end), int(np.argmin(ends)))
            ends[row] = x + 6.5 * len(", ".join(names)) + 6
            yield ", ".join(names), x, row

    def _mark(self, name, x, row):
        line = f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP - 4}" y2="{_HEIGHT - _BOTTOM}"/>'
        return f'{line}<text x="{x}" y="{9 + 11 * row}">{_html.text(name)}</text>'

    def at(self, step):
        """The SVG, with a line at a step."""
        x = self._x(step)
        line = f'<line class="here" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        return f'{_CURVE_STYLE}<div class="simnb" style="overflow-x:auto">{self.fixed}{line}</svg></div>'


def rates_table(rates, counts, compared, compared_name):
    """Rates here and at another threshold, and what they count."""
    head = f"<tr><th></th><th>here</th><th>{_html.text(compared_name)}</th></tr>" if compared else ""
    rows = "".join(
        f'<tr><th>{_metric_name(name)}</th><td class="simnb-rate-{name}">{_percent(value)}</td>'
        + (f'<td class="muted">{_percent(compared[name])}</td>' if compared else "")
        + "</tr>"
        for name, value in rates.items()
    )
    right, wrong, rejected, stranger, away = (f"{int(count):,}" for count in counts)
    words = (
        f"<b class='right'>✓ {right} right</b>, <b class='wrong'>✗ {wrong} wrong</b>, ? {rejected} rejected"
    )
    if counts[3] + counts[4]:
        words += f"<br>of no gallery class: <b class='wrong'>✗ {stranger} answered</b>, ✓ {away} rejected"
    return f'<div class="simnb"><table>{head}{rows}</table><p style="margin:6px 0 0">{words}</p></div>'


class Matrix:
    """The confusion matrix at any threshold, of the largest classes where there are many."""

    def __init__(self, queries, answers, known):
        labels, names = np.asarray(queries.labels), queries.class_names
        truth, sizes = np.unique(labels, return_counts=True)
        order = np.argsort(~np.isin(truth, known), kind="stable")  # unknown classes last
        truth, sizes = truth[order], sizes[order]
        shown, others = _largest(sizes, truth)
        self.rows = ["unknown" if truth[i] == UNKNOWN else names[truth[i]] for i in shown]
        row_of = {int(truth[i]): at for at, i in enumerate(shown)}
        asked = np.array([np.count_nonzero(answers == label) for label in known])
        columns, other_columns = _largest(asked, known)
        self.columns = [names[known[i]] for i in columns]
        column_of = {int(known[i]): at for at, i in enumerate(columns)}
        if others:
            self.rows.append("other classes")
        if other_columns:
            self.columns.append("other")
        self.columns.append("Unknown")
        last, other = len(self.columns) - 1, len(self.columns) - 2
        self._row = np.array([row_of.get(label, len(shown)) for label in labels.tolist()])
        self._column = np.array(
            [last if label == UNKNOWN else column_of.get(label, other) for label in answers.tolist()]
        )
        in_gallery = set(known.tolist())
        right = {
            at: column_of.get(label, other) if label in in_gallery else last for label, at in row_of.items()
        }
        self._diagonal = [right.get(at, -1) for at in range(len(self.rows))]

    def counts(self, accepted):
        """Shape [num_rows, num_columns]."""
        width = len(self.columns)
        column = np.where(accepted, self._column, width - 1)
        counts = np.bincount(self._row * width + column, minlength=len(self.rows) * width)
        return counts.reshape(len(self.rows), width)

    def html(self, accepted):
        """As a table."""
        return _confusion_table(self.counts(accepted), self.rows, self.columns, self._diagonal)


def _metric_name(name):
    """A metric as people write it."""
    return _NAMES.get(name, name)


def _percent(value):
    """A rate in percent, or a dash where there is none."""
    return "\N{EN DASH}" if np.isnan(value) else f"{value:.1%}"


def _confusion_table(counts, rows, columns, diagonal):
    """Counts of each true class (row) and answer (column), shaded by their share of the row.

    Args:
        counts: Shape [num_rows, num_columns].
        rows: Name of each row.
        columns: Name of each column.
        diagonal: Column of each row that is the right one.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    short = [name if len(name) <= 9 else name[:8] + "…" for name in columns]
    head = "".join(
        f'<th title="{_html.text(full)}">{_html.text(name)}</th>'
        for full, name in zip(columns, short, strict=True)
    )
    body = []
    for at, name in enumerate(rows):
        cells = "".join(
            f'<td style="background:{_shade(share, column == diagonal[at])}">{count or ""}</td>'
            for column, (count, share) in enumerate(zip(counts[at], shares[at], strict=True))
        )
        body.append(f"<tr><th>{_html.text(name)}</th>{cells}</tr>")
    return (
        '<div class="simnb" style="overflow-x:auto"><table><caption class="muted" style="text-align:left">'
        "rows: true class, columns: answer; blue is right, orange is wrong</caption>"
        f"<tr><th></th>{head}</tr>{''.join(body)}</table></div>"
    )


def _shade(share, right):
    # Over either ground text stays readable: at most half of the colour.
    color = "0,114,178" if right else "213,94,0"
    return f"rgba({color},{0.55 * share:.2f})" if share else "none"


def _largest(counts, names):
    """Positions of the largest rows or columns, at most 20, in their order; and whether others are left."""
    if len(names) <= _MOST_CLASSES:
        return np.arange(len(names)), False
    return np.sort(np.argsort(-counts, kind="stable")[: _MOST_CLASSES - 1]), True
