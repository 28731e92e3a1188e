"""Figures with a row for each class: its rate, its threshold, what it is taken for."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from simnb import _checks
from simnb.index import UNKNOWN
from simnb.metrics.matches import check_known_labels
from simnb.plots import styling

_WIDTH, _PER_ROW = 6.6, 0.23  # inches
_MOST_INCHES = 9.4  # for all rows
_LINE = 0.135  # inches that a name needs
_NAME = 2.2  # inches that it may be long
_MOST_NUMBERS = 21  # rows or columns up to which cells carry numbers
_MOST_TICKS = 26


def rates_by_class(
    classes: ArrayLike,
    values: ArrayLike,
    *,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    reference: float | None = None,
    metric: str = "recall",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the rate of each class, the best on top: a dot, with its interval where there is one.

    Args:
        classes: Labels, each once, shape [num_classes].
        values: Rate of each class, from 0 to 1, shape [num_classes]; NaN where it is not defined: such
            classes come last.
        low: Where the interval of each begins, shape [num_classes]; None for no intervals.
        high: Where it ends.
        class_names: Name of each class; the labels themselves by default.
        reference: Where a line is drawn for the rate over all classes; None for none.
        metric: What the rates are.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the best and the worst class by default.

    Returns:
        The ``Axes``. Of many classes only some are named.

    Raises:
        ValueError: If there is no class or one twice, lengths differ, a label has no name, a rate is not
            from 0 to 1, or an interval does not hold its rate.
    """
    labels = _unique(classes, "classes")
    values = styling.check_rates(values, name="values", nan=True)
    _checks.same_length(values, labels, "values and classes")
    intervals = _intervals(low, high, values)
    name = styling.class_namer(class_names, labels, name="classes")
    # From below; NaN, which sorts last, comes first, and of equal rates the first class is on top.
    order = np.lexsort((-np.arange(len(values)), np.nan_to_num(values, nan=-1.0)))
    room = None if ax is not None else _WIDTH
    ax = styling.plain_axes(ax, (_WIDTH, _height(len(labels))))
    rows = np.arange(len(labels))
    _guides(ax, rows)
    if intervals:
        begin, end = (ends[order] for ends in intervals)
        ax.hlines(rows, begin, end, color=styling.RIGHT, lw=1.6, alpha=0.6, gid="intervals")
    ax.plot(values[order], rows, "o", color=styling.RIGHT, ms=_dot(ax, rows), mec="white", gid="values")
    if reference is not None:
        reference = _checks.number(reference, name="reference", at_least=0, at_most=1)
        ax.axvline(reference, color=styling.INK, lw=1.3, ls=":", gid="reference")
    names = [_undefined(_cut(name(labels[i])), values[i]) for i in order]
    _name_rows(ax, names)
    seen = [values, *intervals, *([] if reference is None else [reference])]
    ax.set(xlim=_rate_limits(seen), xlabel=f"{styling.plain(metric)} (%)")
    styling.percent_axis(ax.xaxis)
    note = ["bar: interval"] if intervals else []
    note += [] if reference is None else [f"dotted: over all, {reference:.1%}"]
    best = _extremes(metric, values[order], [_cut(name(labels[i])) for i in order])
    styling.heading(ax, title or best, "    ".join(["dot: a class", *note]), inches=_beside(names, room))
    return ax


def thresholds_by_class(
    thresholds: Mapping[int, float],
    pooled: float,
    *,
    counts: Mapping[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    distance: str | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the threshold of each class beside the one that all would share, the largest on top.

    Args:
        thresholds: A dict: for each label its threshold. ``-inf`` rejects everything, and stands at the
            left edge as a triangle that points there; ``inf`` at the right one.
        pooled: The one threshold of all classes.
        counts: A dict: for each of these labels how many calibration queries there were; None for none.
        class_names: Name of each class; the labels themselves by default.
        distance: Name of the distance, for the axis.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; how many classes are stricter than the pooled threshold by default.

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
    values = styling.check_distances(list(thresholds.values()), name="thresholds").astype(np.float64)
    pooled = float(styling.check_distances(np.atleast_1d(pooled), name="pooled")[0])
    missing = [label for label in thresholds if counts is not None and label not in counts]
    if missing:
        raise ValueError(f"counts must hold every class of thresholds, got none for {missing[0]}")
    name = styling.class_namer(class_names, classes.tolist(), name="classes")
    order = np.lexsort((-np.arange(len(values)), values))
    axis = styling.DistanceAxis.of(values, pooled)
    room = None if ax is not None else _WIDTH
    ax = styling.plain_axes(ax, (_WIDTH, _height(len(classes))))
    rows, x = np.arange(len(classes)), values[order]
    _guides(ax, rows)
    ax.axvline(float(axis.place(pooled)), color=styling.INK, lw=1.2, ls=(0, (4, 3)), gid="pooled")
    size = _dot(ax, rows)
    for kind, these, marker in (
        ("thresholds", np.isfinite(x), "o"),
        ("reject everything", x == -np.inf, "<"),
        ("accept everything", x == np.inf, ">"),
    ):
        if these.any():
            color = styling.RIGHT if marker == "o" else styling.WRONG
            at = axis.place(x[these])
            ms = size if marker == "o" else max(size, 6)
            ax.plot(at, rows[these], marker, color=color, ms=ms, mec="white", gid=kind)
    names = [_cut(name(classes[i])) for i in order]
    shown = _name_rows(ax, names)
    if counts is not None:
        _write_counts(ax, shown, [counts[label] for label in classes[order].tolist()])
    axis.dress(ax, f"{styling.distance_name(distance)} up to which a neighbor matches")
    stricter = f"Stricter than for all: {(values < pooled).sum()} of {styling.count(len(values), 'class')}"
    styling.heading(ax, title or stricter, _threshold_note(pooled, x, counts), inches=_beside(names, room))
    return ax


def confusion_matrix(
    labels: ArrayLike,
    predicted: ArrayLike,
    *,
    class_names: Sequence[str] | None = None,
    known_labels: Collection[int] | int | None = None,
    normalize: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw which class each query was given: a row for every true class, a column for every answer.

    The last column is "Unknown", for the queries that were rejected. It is the right one for classes the
    gallery lacks, whose rows come last and are marked "held out". The right cell of each row is outlined.

    Args:
        labels: True class of each query, shape [num_queries].
        predicted: Label given to each query, ``UNKNOWN`` where it was rejected, shape [num_queries].
        class_names: Name of each class; the labels themselves by default.
        known_labels: The classes of the gallery. When left out, every class but ``UNKNOWN``.
        normalize: Show percent of each row rather than numbers of queries.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the share of right answers by default.

    Returns:
        The ``Axes``. Above 20 classes cells carry no numbers and only some classes are named.

    Raises:
        ValueError: If there is no query, lengths differ, a label has no name, or an answer is not among
            the known labels.
    """
    labels = _checks.not_empty(_checks.labels(labels), name="labels")
    predicted = _checks.labels(predicted, count=len(labels), name="predicted", of="labels")
    known = _known(labels, predicted, known_labels)
    truth = np.unique(labels)
    held_out = truth[~np.isin(truth, known) & (truth != UNKNOWN)]
    rows = np.concatenate([truth[np.isin(truth, known)], held_out, truth[truth == UNKNOWN]])
    columns = np.append(known, UNKNOWN)
    counts = _counted(labels, predicted, rows, columns)
    name = styling.class_namer(class_names, np.concatenate([rows, columns]))
    values = 100 * counts / counts.sum(axis=1, keepdims=True) if normalize else counts
    size = float(np.clip(0.5 * len(columns) + 2.4, 4.6, 8.8))
    height = size * float(np.clip((len(rows) + 3) / (len(columns) + 4), 0.4, 1.2))
    room = size - 0.5 - 0.07 * _longest(rows, held_out, name) if ax is None else None
    ax = styling.plain_axes(ax, (size, max(height, 3.6)))
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=100 if normalize else None, aspect="auto")
    unit = "share of the row (%)" if normalize else "queries"
    ax.figure.colorbar(image, ax=ax, label=unit, fraction=0.046, pad=0.02).outline.set_visible(False)
    right = np.array([np.argmax(columns == (row if row in known else UNKNOWN)) for row in rows])
    _outline(ax, right, len(columns))
    if max(len(rows), len(columns)) <= _MOST_NUMBERS:
        _write_cells(ax, values, image, normalize)
    _name_axes(ax, rows, columns, held_out, name)
    share = counts[np.arange(len(rows)), right].sum() / len(labels)
    answers = styling.count(len(labels), "answer")
    styling.heading(ax, title or f"{share:.1%} of {answers} are correct (outlined)", inches=room)
    return ax


def _unique(classes, name):
    classes = _checks.not_empty(_checks.labels(classes, name=name), name=name)
    labels, times = np.unique(classes, return_counts=True)
    if times.max() > 1:
        label = labels[times.argmax()]
        raise ValueError(f"{name} must hold each class once, got {label} {times.max()} times")
    return classes


def _intervals(low, high, values):
    """Both ends of the intervals, checked; nothing where there are none."""
    if low is None and high is None:
        return ()
    if low is None or high is None:
        raise ValueError(f"low and high must be given together, got {'low' if high is None else 'high'} only")
    low = styling.check_rates(low, name="low", nan=True)
    high = styling.check_rates(high, name="high", nan=True)
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
    ax.hlines(rows, 0, 1, transform=ax.get_yaxis_transform(), color=styling.FAINT, lw=0.7, zorder=0)
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
    return styling.shorten(name, _NAME, 9)


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
    metric = styling.plain(metric)
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
            textcoords="offset points", va="center_baseline", fontsize=size, color=styling.MUTED, gid="count",
        )  # fmt: skip


def _threshold_note(pooled, values, counts):
    note = f"dot: a class    dashed: one for all, {styling.limit_name(pooled)}"
    rejected, accepted = (values == -np.inf).sum(), (values == np.inf).sum()
    note += "" if counts is None else "    number: calibration queries"
    note += f"\n◂ rejects everything: {styling.count(rejected, 'class')}" if rejected else ""
    return note + (f"\n▸ accepts everything: {styling.count(accepted, 'class')}" if accepted else "")


def _known(labels, predicted, known_labels):
    if known_labels is None:
        known = np.union1d(labels, predicted)
    else:
        known = np.unique(check_known_labels(known_labels))
        stray = np.setdiff1d(predicted, np.append(known, UNKNOWN))
        if len(stray):
            raise ValueError(
                f"predicted must be among known_labels or UNKNOWN, got {stray[0]}; "
                "known_labels are the classes of the gallery"
            )
    return known[known != UNKNOWN]


def _counted(labels, predicted, rows, columns):
    counts = np.zeros((len(rows), len(columns)), np.int64)
    by_row, by_column = np.argsort(rows), np.argsort(columns)
    at_row = by_row[np.searchsorted(rows, labels, sorter=by_row)]
    at_column = by_column[np.searchsorted(columns, predicted, sorter=by_column)]
    np.add.at(counts, (at_row, at_column), 1)
    return counts


def _outline(ax, right, num_columns):
    inset = 0.04 if num_columns <= _MOST_NUMBERS else 0.0
    boxes = [
        Rectangle((x - 0.5 + inset, y - 0.5 + inset), 1 - 2 * inset, 1 - 2 * inset)
        for y, x in enumerate(right)
    ]
    width = 1.6 if inset else 0.5
    ax.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=styling.INK, linewidth=width))
    ax.axvline(num_columns - 1.5, color=styling.MUTED, lw=1)


def _write_cells(ax, values, image, normalize):
    for (y, x), value in np.ndenumerate(values):
        if value == 0:
            continue
        text = ("<1" if value < 1 else f"{value:.0f}") if normalize else f"{value:,}"
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color="white" if dark else styling.INK)


def _name_axes(ax, rows, columns, held_out, name):
    y = _ticks(len(rows), [*np.flatnonzero(np.isin(rows, held_out))[:1], *np.flatnonzero(rows == UNKNOWN)])
    x = _ticks(len(columns), [len(columns) - 1])
    ax.set_yticks(y, [_axis_name(rows[i], held_out, name) for i in y])
    # Vertical where many stand side by side.
    angle = 45 if len(columns) <= _MOST_NUMBERS else 90
    ha = "right" if angle == 45 else "center"
    ax.set_xticks(
        x,
        [_axis_name(columns[i], (), name) for i in x],
        rotation=angle,
        ha=ha,
        rotation_mode="anchor" if angle == 45 else None,
    )
    ax.tick_params(length=0 if len(columns) <= _MOST_NUMBERS else 3)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="answer", ylabel="true class")


def _axis_name(label, held_out, name):
    if label == UNKNOWN:
        return "Unknown"
    return styling.shorten(name(label), 1.5, 9) + (" (held out)" if label in held_out else "")


def _longest(rows, held_out, name):
    return max(len(_axis_name(label, held_out, name)) for label in rows)


def _ticks(count, always):
    """Positions to name: all of a few; of many, evenly spread ones, and ``always`` these."""
    if count <= _MOST_TICKS:
        return list(range(count))
    step = -(-count // _MOST_TICKS)
    spread = [i for i in range(0, count, step) if all(abs(i - j) >= step for j in always)]
    return sorted({*spread, *map(int, always)})
