"""Figures with a row for each class: its rate, its threshold."""

from collections.abc import Mapping

import numpy as np

from simnb import _checks
from simnb.plots import _ranges, _style

_WIDTH, _PER_ROW = 6.6, 0.23  # inches
_MOST_INCHES = 9.4  # for all rows
_LINE = 0.135  # inches that a name needs
_NAME = 2.2  # inches that it may be long


def rates_by_class(
    classes,
    values,
    *,
    low=None,
    high=None,
    class_names=None,
    reference=None,
    metric="recall",
    ax=None,
    title=None,
):
    """Draw the rate of each class, the best on top: a dot, with its interval where there is one.

    Args:
        classes: Labels, each once, shape [num_classes].
        values: Rate of each class, from 0 to 1, shape [num_classes]; NaN where it is not defined: such
            classes come last.
        low: Where the interval of each begins, shape [num_classes]; None for no intervals.
        high: Where it ends.
        class_names: Name of each class; the labels themselves when left out.
        reference: Where a line is drawn for the rate over all classes; None for none.
        metric: What the rates are.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the best and the worst class when left out.

    Returns:
        The ``Axes``. Of many classes only some are named.

    Raises:
        ValueError: If there is no class or one twice, lengths differ, a label has no name, a rate is not
            from 0 to 1, or an interval does not hold its rate.
    """
    classes = _unique(classes, "classes")
    values = _ranges.rates(values, name="values", nan=True)
    _checks.same_length(values, classes, "values and classes")
    low, high = _intervals(low, high, values)
    name = _style.class_namer(class_names, classes.tolist(), name="classes")
    # From below; NaN, which sorts last, comes first, and of equal rates the first class is on top.
    order = np.lexsort((-np.arange(len(values)), np.nan_to_num(values, nan=-1.0)))
    room = None if ax is not None else _WIDTH
    ax = _style.plain_axes(ax, (_WIDTH, _height(len(classes))))
    rows = np.arange(len(classes))
    _guides(ax, rows)
    if low is not None:
        ax.hlines(rows, low[order], high[order], color=_style.RIGHT, lw=1.6, alpha=0.6, gid="intervals")
    ax.plot(values[order], rows, "o", color=_style.RIGHT, ms=_dot(ax, rows), mec="white", gid="values")
    if reference is not None:
        reference = float(_ranges.rates(reference, name="reference", dims=(0,)))
        ax.axvline(reference, color=_style.INK, lw=1.3, ls=":", gid="reference")
    names = [_undefined(_cut(name(classes[i])), values[i]) for i in order]
    _name_rows(ax, names)
    seen = [part for part in (values, low, high, reference) if part is not None]
    ax.set(xlim=_rate_limits(seen), xlabel=f"{_style.plain(metric)} (%)")
    _ranges.percent_axis(ax.xaxis)
    note = [] if low is None else ["bar: interval"]
    note += [] if reference is None else [f"dotted: over all, {reference:.1%}"]
    best = _extremes(metric, values[order], [_cut(name(classes[i])) for i in order])
    _style.heading(ax, title or best, "    ".join(["dot: a class", *note]), inches=_beside(names, room))
    return ax


def thresholds_by_class(
    thresholds, pooled, *, counts=None, class_names=None, distance=None, ax=None, title=None
):
    """Draw the threshold of each class beside the one that all would share, the largest on top.

    Args:
        thresholds: A dict: for each label its threshold. ``-inf`` rejects everything, and stands at the
            left edge as a triangle that points there; ``inf`` at the right one.
        pooled: The one threshold of all classes.
        counts: A dict: for each of these labels how many calibration queries there were; None for none.
        class_names: Name of each class; the labels themselves when left out.
        distance: Name of the distance, for the axis.
        ax: Axes to draw into; new ones when left out.
        title: What to see; how many classes are stricter than the pooled threshold when left out.

    Returns:
        The ``Axes``. Of many classes only some are named.

    Raises:
        ValueError: If there is no class, a threshold is NaN, a label has no name, or ``counts`` lacks one.
    """
    if not isinstance(thresholds, Mapping):
        raise ValueError(f"thresholds must be a dict of thresholds by label, got {type(thresholds).__name__}")
    if not thresholds:
        raise ValueError("thresholds must hold at least one class with its threshold, got none")
    classes = _unique(list(thresholds), "labels of thresholds")
    values = _ranges.distances(list(thresholds.values()), name="thresholds").astype(np.float64)
    pooled = float(_ranges.distances(np.atleast_1d(pooled), name="pooled")[0])
    missing = [label for label in thresholds if counts is not None and label not in counts]
    if missing:
        raise ValueError(f"counts must hold every class of thresholds, got none for {missing[0]}")
    name = _style.class_namer(class_names, classes.tolist(), name="classes")
    order = np.lexsort((-np.arange(len(values)), values))
    axis = _ranges.DistanceAxis.of(values, pooled)
    room = None if ax is not None else _WIDTH
    ax = _style.plain_axes(ax, (_WIDTH, _height(len(classes))))
    rows, x = np.arange(len(classes)), values[order]
    _guides(ax, rows)
    ax.axvline(axis.place(pooled), color=_style.INK, lw=1.2, ls=(0, (4, 3)), gid="pooled")
    size = _dot(ax, rows)
    for kind, these, marker in (
        ("thresholds", np.isfinite(x), "o"),
        ("reject everything", x == -np.inf, "<"),
        ("accept everything", x == np.inf, ">"),
    ):
        if these.any():
            color = _style.RIGHT if marker == "o" else _style.WRONG
            at = axis.place(x[these])
            ms = size if marker == "o" else max(size, 6)
            ax.plot(at, rows[these], marker, color=color, ms=ms, mec="white", gid=kind)
    names = [_cut(name(classes[i])) for i in order]
    shown = _name_rows(ax, names)
    if counts is not None:
        _write_counts(ax, shown, [counts[label] for label in classes[order].tolist()])
    axis.dress(ax, f"{_style.distance_name(distance)} up to which a neighbor matches")
    stricter = f"Stricter than for all: {(values < pooled).sum()} of {_style.count(len(values), 'class')}"
    _style.heading(ax, title or stricter, _threshold_note(pooled, x, counts), inches=_beside(names, room))
    return ax


def _unique(classes, name):
    classes = _checks.not_empty(_checks.labels(classes, name=name), name=name)
    labels, times = np.unique(classes, return_counts=True)
    if times.max() > 1:
        label = labels[times.argmax()]
        raise ValueError(f"{name} must hold each class once, got {label} {times.max()} times")
    return classes


def _intervals(low, high, values):
    if low is None and high is None:
        return None, None
    if low is None or high is None:
        raise ValueError(f"low and high must be given together, got {'low' if high is None else 'high'} only")
    low, high = _ranges.rates(low, name="low", nan=True), _ranges.rates(high, name="high", nan=True)
    for name, ends in (("low", low), ("high", high)):
        _checks.same_length(ends, values, f"{name} and values")
    # A rounding error apart: bootstrap and exact intervals end at the rate where it is 0 or 1.
    outside = (low > values + 1e-9) | (high < values - 1e-9)
    if outside.any():
        at = outside.argmax()
        raise ValueError(
            f"low and high must hold each value between them, got {low[at]:g} to {high[at]:g} "
            f"for {values[at]:g} at {at}"
        )
    return low, high


def _height(count):
    return 1.45 + max(min(_PER_ROW * count, _MOST_INCHES), 0.5)


def _row_inches(ax, count):
    return ax.get_window_extent().height / ax.get_figure().dpi / max(count, 1)


def _dot(ax, rows):
    """Size of a dot, in points: no larger than its row."""
    return float(np.clip(0.9 * 72 * _row_inches(ax, len(rows)), 3.5, 7))


def _guides(ax, rows):
    ax.hlines(rows, 0, 1, transform=ax.get_yaxis_transform(), color=_style.FAINT, lw=0.7, zorder=0)
    ax.set_ylim(-0.7, len(rows) - 0.3)


def _name_rows(ax, names):
    """Name the rows, or of many every second, third ... from the top, and the lowest; return which."""
    step = max(int(np.ceil(_LINE / _row_inches(ax, len(names)))), 1)
    top = len(names) - 1
    shown = sorted({0, top, *range(top, step - 1, -step)})
    size = 9 if step == 1 and _row_inches(ax, len(names)) > 0.17 else 8
    ax.set_yticks(shown, [names[i] for i in shown], fontsize=size)
    ax.tick_params(axis="y", length=0 if step == 1 else 3)
    return shown


def _cut(name):
    return _style.shorten(name, _NAME, 9)


def _beside(names, width):
    """The room of a heading: what names leave of the figure's width, where that is known."""
    return None if width is None else width - 0.3 - 0.078 * max(map(len, names))


def _undefined(name, value):
    return f"{name} (not defined)" if np.isnan(value) else name


def _rate_limits(parts):
    """From a little below the least rate to a little above the largest, within 0 and 1."""
    seen = np.concatenate([np.ravel(part) for part in parts])
    seen = seen[~np.isnan(seen)]
    low, high = (seen.min(), seen.max()) if len(seen) else (0.0, 1.0)
    margin = max(0.06 * (high - low), 0.01)
    return max(low - margin, -0.02), min(high + margin, 1.02)


def _extremes(metric, values, names):
    """The best and the worst class; both are given in the order they are drawn."""
    defined = np.flatnonzero(~np.isnan(values))
    metric = _style.plain(metric)
    if not len(defined):
        return f"No class has a {metric}"
    said = [f"{values[i]:.1%} ({names[i]})" for i in (defined[0], defined[-1])]
    heading = f"{metric[:1].upper()}{metric[1:]}"
    return f"{heading} is {said[0]}" if len(defined) == 1 else f"{heading} from {said[0]} to {said[1]}"


def _write_counts(ax, shown, counts):
    size = ax.get_yticklabels()[0].get_fontsize() - 0.5
    texts = [f"{counts[row]:,}" for row in shown]
    room = 6 + 0.64 * size * max(map(len, texts))
    for row, text in zip(shown, texts, strict=True):
        ax.annotate(
            text, (1, row), xycoords=("axes fraction", "data"), xytext=(room, 0), ha="right",
            textcoords="offset points", va="center_baseline", fontsize=size, color=_style.MUTED, gid="count",
        )  # fmt: skip


def _threshold_note(pooled, values, counts):
    shared = {-np.inf: "reject everything", np.inf: "accept everything"}.get(pooled)
    note = f"dot: a class    dashed: one for all, {shared or _style.number(pooled)}"
    rejected, accepted = (values == -np.inf).sum(), (values == np.inf).sum()
    note += "" if counts is None else "    number: calibration queries"
    note += f"\n◂ rejects everything: {_style.count(rejected, 'class')}" if rejected else ""
    return note + (f"\n▸ accepts everything: {_style.count(accepted, 'class')}" if accepted else "")
