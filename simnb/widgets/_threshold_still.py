"""The threshold explorer as a picture, where nothing can be moved."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from simnb.plots import styling
from simnb.plots.curves import metric_name
from simnb.plots.pictures import displayable, show_pixels

#: Colours and dashes of the curves, as in the style sheet of the widgets.
_LOOKS = {
    "precision": ("#0072B2", "-"),
    "recall": ("#D55E00", (0, (5, 2))),
    "coverage": ("#117733", (0, (1.5, 2))),
    "false_acceptance": ("#882255", (0, (6, 2, 1.5, 2))),
}
_SIZE = (7.6, 8.8)  # inches


def draw(thresholds, rates, cutpoints, step, written, distance, table, matrix, border):
    """The parts of the widget, one below the other.

    Args:
        thresholds: At each step of the slider, shape [num_steps].
        rates: By metric, its value at each step.
        cutpoints: By name, the step and the threshold of each.
        step: Where the slider stands.
        written: The threshold as the widget writes it.
        distance: Name of the distance.
        table: By metric, the rate here and that at the first cutpoint; and the five counts.
        matrix: Row names, column names, the column that is right in each row, and the counts.
        border: For each side of the threshold its name, and for each query there: its image, that of its
            neighbor or None, the line below them and the verdict.
    """
    figure = Figure(figsize=_SIZE, dpi=80, layout="none")
    bar, chart, slider, left, right, strip = (
        figure.add_axes(box)
        for box in (
            (0.02, 0.95, 0.96, 0.045), (0.08, 0.65, 0.75, 0.26), (0.08, 0.58, 0.75, 0.025),
            (0.02, 0.22, 0.36, 0.28), (0.5, 0.22, 0.47, 0.28), (0.02, 0.0, 0.96, 0.18),
        )
    )  # fmt: skip
    for ax in (bar, left, strip):
        ax.axis("off")
    _bar(bar, written, cutpoints)
    _chart(chart, thresholds, rates, cutpoints, step, distance)
    _slider(slider, step, len(thresholds))
    _table(left, *table, next(iter(cutpoints)))
    _matrix(right, *matrix)
    _strip(strip, border)
    return figure


def _bar(ax, written, cutpoints):
    ax.set(xlim=(0, 100), ylim=(0, 1))
    x = _button(ax, 13, written, "white")
    ax.text(0, 0.5, "threshold", va="center", fontsize=9)
    for name, (_, limit) in cutpoints.items():
        x = _button(ax, x, f"{styling.plain(name)}  {styling.number(limit)}", "#eeeeee")


def _button(ax, x, text, color):
    wide = 1.2 * len(text) + 2.4
    look = {"boxstyle": "round,pad=0,rounding_size=0.6", "fc": color, "ec": "#bdbdbd", "mutation_aspect": 0.1}
    ax.add_patch(FancyBboxPatch((x, 0.12), wide, 0.76, **look))
    ax.text(x + wide / 2, 0.48, text, ha="center", va="center", fontsize=9)
    return x + wide + 1.5


def _chart(ax, thresholds, rates, cutpoints, step, distance):
    last = len(thresholds) - 1
    ends = []
    for name, (color, dashes) in _LOOKS.items():
        if not np.isnan(rates[name]).all():
            ax.plot(rates[name], color=color, ls=dashes, lw=1.8)
            ends.append((float(rates[name][-1]), name, color))
    at = np.inf
    for value, name, color in sorted(ends, reverse=True):
        at = min(value, at - 0.075)
        look = {"va": "center", "color": color, "annotation_clip": False}
        styling.write(ax, metric_name(name), (last, at), (6, 0), **look)
    for row, (name, (place, _)) in enumerate(sorted(cutpoints.items(), key=lambda item: item[1][0])):
        ax.axvline(place, color=styling.MUTED, lw=1, ls=(0, (2, 3)))
        look = {"fontsize": 8.5, "color": styling.MUTED}
        styling.write(ax, styling.plain(name), (place, 1), (2, 3 + 9 * (row % 2)), within="y", **look)
    ax.axvline(step, color=styling.INK, lw=2)
    ticks = [round(share * last) for share in (0, 0.25, 0.5, 0.75, 1)]
    names = ["none" if np.isneginf(thresholds[t]) else styling.number(float(thresholds[t])) for t in ticks]
    ax.set_xticks(ticks, names)
    ax.set(xlim=(0, last), ylim=(-0.01, 1.01), xlabel=f"{distance} up to which a neighbor matches")
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    ax.tick_params(labelsize=9, length=0)
    ax.grid(axis="y", color=styling.FAINT, lw=0.8)
    ax.spines[:].set_visible(False)


def _slider(ax, step, count):
    ax.axis("off")
    ax.set(xlim=(0, max(count - 1, 1)), ylim=(-1, 1))
    ax.plot([0, count - 1], [0, 0], color="#bdbdbd", lw=3.5, clip_on=False, solid_capstyle="round")
    ax.plot([0, step], [0, 0], color="#2196f3", lw=3.5, clip_on=False, solid_capstyle="round")
    ax.plot([step], [0], "o", ms=12, mfc="white", mec="#9e9e9e", clip_on=False)


def _table(ax, rates, counts, first):
    ax.set(xlim=(0, 1), ylim=(10, 0))
    ax.text(0.62, 0.5, "here", ha="right", fontsize=9, weight="bold")
    at = styling.shorten(f"at {styling.plain(first)}", 1.1, 9)
    ax.text(1, 0.5, at, ha="right", fontsize=9, color=styling.MUTED)
    for row, (name, values) in enumerate(rates.items()):
        ax.text(0, 1.6 + row, metric_name(name), fontsize=9)
        for x, value, color in zip((0.62, 1), values, (styling.INK, styling.MUTED), strict=True):
            text = "–" if np.isnan(value) else f"{value:.1%}"  # noqa: RUF001
            ax.text(x, 1.6 + row, text, ha="right", fontsize=9, color=color)
    right, wrong, missed, let_in, kept_out = (f"{int(count):,}" for count in counts)
    look = {"fontsize": 9, "family": styling.SYMBOL_FONT}
    ax.text(0, 8.3, f"✓ {right} right, ✗ {wrong} wrong, ? {missed} missed", **look)
    if counts[3] + counts[4]:
        ax.text(0, 9.5, f"unknown: ✗ {let_in} let in, ✓ {kept_out} kept out", va="center", **look)


def _matrix(ax, rows, columns, right, counts):
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (y, x), share in np.ndenumerate(shares):
        if share:
            color = styling.RIGHT if x == right[y] else styling.WRONG
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=color, alpha=0.55 * share, ec="none"))
            if len(columns) <= 12:
                ax.text(x, y, f"{counts[y, x]:,}", ha="center", va="center", fontsize=8)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    names = [styling.shorten(styling.plain(name), 0.75, 8) for name in (*rows, *columns)]
    ax.set_yticks(range(len(rows)), names[: len(rows)], fontsize=8)
    turned = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
    ax.set_xticks(range(len(columns)), names[len(rows) :], fontsize=8, **turned)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _strip(ax, border):
    ax.set(xlim=(0, 7.3), ylim=(1.36, 0), aspect="equal", anchor="W")
    for start, (title, cards) in zip((0, 3.75), border, strict=True):
        ax.text(start, 0.16, title, fontsize=9, weight="bold")
        for place, (query, neighbor, caption, verdict) in enumerate(cards[:4]):
            x = start + 0.9 * place
            for at, image in ((x, query), (x + 0.41, neighbor)):
                if image is not None:
                    show_pixels(ax, displayable(image[None])[0], (at, at + 0.4, 0.68, 0.28))
            _, color, line = styling.VERDICTS[verdict]
            ax.add_patch(Rectangle((x - 0.01, 0.27), 0.83, 0.42, fill=False, ec=color, ls=line, lw=1.8))
            ax.text(x + 0.4, 0.76, caption, ha="center", va="top", fontsize=7.5, linespacing=1.2)
        if not cards:
            ax.text(start, 0.4, "none", fontsize=9)
