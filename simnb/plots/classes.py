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
from simnb.plots.pictures import places_in

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
    held_out: Collection[int] = (),
    reference: float | None = None,
    metric: str = "recall",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the rate of each class, the best on top: a dot, with its interval where there is one.

    Args:
        classes: Labels, each once, shape [num_classes].
        values: Rate of each class, from 0 to 1, shape [num_classes]; NaN, which is drawn last, for none.
        low: Where the interval of each begins, shape [num_classes]; None for no intervals.
        high: Where it ends.
        class_names: Name of each class; the labels themselves by default.
        held_out: Classes that training never saw; drawn as hollow diamonds.
        reference: Where a line is drawn for the rate over all classes; None for none.
        metric: What the rates are.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the best and the worst class by default.

    Returns:
        The ``Axes``. Of many classes only some are named.

    Raises:
        ValueError: If there is no class or one twice, lengths differ, a label has no name, a rate is not from
            0 to 1, or an interval does not hold its rate.
    """
    labels = _unique(classes, "classes")
    values = styling.check_rates(values, name="values", nan=True)
    _checks.same_length(values, labels, "values and classes")
    intervals = _intervals(low, high, values)
    name = styling.class_namer(class_names, labels, name="classes")
    # From below; NaN, which sorts last, comes first, and of equal rates the first class is on top.
    order = np.lexsort((-np.arange(len(values)), np.nan_to_num(values, nan=-1.0)))
    names = [styling.shorten(name(labels[i]), _NAME, 9) for i in order]
    found = _extremes(metric, values[order], names)
    names = [n + (" (not defined)" if np.isnan(values[i]) else "") for n, i in zip(names, order, strict=True)]
    ax, _, size, room = _named_rows(ax, names)
    rows = np.arange(len(names))
    if intervals:
        begin, end = (ends[order] for ends in intervals)
        ax.hlines(rows, begin, end, color=styling.RIGHT, lw=1.6, alpha=0.6, gid="intervals")
    unseen = np.isin(labels[order], list(held_out))
    for gid, those, marker, look in (
        ("values", ~unseen, "o", {"color": styling.RIGHT, "mec": "white"}),
        ("held out", unseen, "D", {"mfc": "white", "mec": styling.WRONG, "mew": 1.8}),
    ):
        if those.any():
            ax.plot(values[order][those], rows[those], marker, ms=size, gid=gid, **look)
    if reference is not None:
        reference = _checks.number(reference, name="reference", at_least=0, at_most=1)
        ax.axvline(reference, color=styling.INK, lw=1.3, ls=":", gid="reference")
    seen = np.concatenate([values, *intervals, [] if reference is None else [reference]])
    low, high = (0.0, 1.0) if np.isnan(seen).all() else (np.nanmin(seen), np.nanmax(seen))
    margin = max(0.06 * (high - low), 0.01)
    ax.set(xlim=(max(low - margin, -0.02), min(high + margin, 1.02)), xlabel=f"{styling.plain(metric)} (%)")
    styling.percent_axis(ax, "x")
    note = ["bar: interval"] if intervals else []
    note += [] if reference is None else [f"dotted: over all, {reference:.1%}"]
    note = [*(["diamond: held out of training"] if unseen.any() else []), *note]
    styling.heading(ax, title or found, "    ".join(["dot: a class", *note]), inches=room)
    return ax


def thresholds_by_class(
    thresholds: Mapping[int, float],
    pooled: float,
    *,
    counts: Mapping[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    distance: str | None = None,
    log: bool = False,
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
        log: Draw distances on a logarithmic axis, as is clearer where most are far below the largest.
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
    axis = styling.DistanceAxis(values, pooled, log=log)
    rows, x = np.arange(len(classes)), values[order]
    ax, shown, size, room = _named_rows(ax, [styling.shorten(name(classes[i]), _NAME, 9) for i in order])
    ax.axvline(float(axis.place(pooled)), gid="pooled", **styling.MARK)
    for kind, these, marker, color, ms in (
        ("thresholds", np.isfinite(x), "o", styling.RIGHT, size),
        ("reject everything", x == -np.inf, "<", styling.WRONG, max(size, 6)),
        ("accept everything", x == np.inf, ">", styling.WRONG, max(size, 6)),
    ):
        if these.any():
            ax.plot(axis.place(x[these]), rows[these], marker, color=color, ms=ms, mec="white", gid=kind)
    if counts is not None:
        _write_counts(ax, shown, [counts[label] for label in classes[order].tolist()])
    axis.dress(ax, f"{styling.distance_name(distance)} up to which a neighbor matches")
    stricter = f"Stricter than for all: {(values < pooled).sum()} of {styling.count(len(values), 'class')}"
    styling.heading(ax, title or stricter, _threshold_note(pooled, x, counts), inches=room)
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
    gallery lacks, whose rows come last and are marked "unknown". The right cell of each row is outlined.

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
    counts = np.zeros((len(rows), len(columns)), np.int64)
    np.add.at(counts, (places_in(rows, labels), places_in(columns, predicted)), 1)
    name = styling.class_namer(class_names, np.concatenate([rows, columns]))
    values = 100 * counts / counts.sum(axis=1, keepdims=True) if normalize else counts
    size = float(np.clip(0.5 * len(columns) + 2.4, 4.6, 8.8))
    height = size * float(np.clip((len(rows) + 3) / (len(columns) + 4), 0.4, 1.2))
    longest = max(len(_axis_name(label, held_out, name)) for label in rows)
    room = size - 0.5 - 0.07 * longest if ax is None else None
    ax = styling.plain_axes(ax, (size, max(height, 3.6)))
    ax.grid(visible=False)  # whatever the style says: lines would cross the numbers
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=100 if normalize else None, aspect="auto")
    unit = "share of the row (%)" if normalize else "queries"
    ax.figure.colorbar(image, ax=ax, label=unit, fraction=0.046, pad=0.02).outline.set_visible(False)
    right = places_in(columns, np.where(np.isin(rows, known), rows, UNKNOWN))
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
    low, high = (styling.check_rates(e, name=n, nan=True) for n, e in (("low", low), ("high", high)))
    _checks.same_length(low, values, "low and values")
    _checks.same_length(high, values, "high and values")
    # A rounding error apart: bootstrap and exact intervals end at the rate where it is 0 or 1.
    outside = (low > values + 1e-9) | (high < values - 1e-9)
    if outside.any():
        at = outside.argmax()
        raise ValueError(
            f"low and high must hold each value between them, got {low[at]:g} to {high[at]:g} "
            f"for {values[at]:g} at {at}"
        )
    return low, high


def _named_rows(ax, names):
    """Axes with a row for each name; of many only every second, third ... from the top is written.

    Also returns which are, the size of a dot in points, no larger than its row, and the room of a heading in
    inches, where the width of the figure is known.
    """
    count = len(names)
    room = None if ax is not None else _WIDTH - 0.3 - 0.078 * max(map(len, names))
    ax = styling.plain_axes(ax, (_WIDTH, 1.45 + max(min(_PER_ROW * count, _MOST_INCHES), 0.5)))
    look = {"color": styling.FAINT, "lw": 0.7, "zorder": 0}
    ax.hlines(range(count), 0, 1, transform=ax.get_yaxis_transform(), **look)
    ax.set_ylim(-0.7, count - 0.3)
    inches = ax.get_window_extent().height / ax.get_figure().dpi / count
    step = max(int(np.ceil(_LINE / inches)), 1)
    shown = sorted({0, count - 1, *range(count - 1, step - 1, -step)})
    size = 9 if step == 1 and inches > 0.17 else 8
    ax.set_yticks(shown, [names[i] for i in shown], fontsize=size)
    ax.tick_params(axis="y", length=0 if step == 1 else 3)
    return ax, shown, float(np.clip(0.9 * 72 * inches, 3.5, 7)), room


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
    look = {"ha": "right", "va": "center_baseline", "fontsize": size, "color": styling.MUTED, "gid": "count"}
    for row, text in zip(shown, texts, strict=True):
        styling.write(ax, text, (1, row), (6 + 0.64 * size * max(map(len, texts)), 0), within="x", **look)


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


def _outline(ax, right, num_columns):
    inset, width = (0.04, 1.6) if num_columns <= _MOST_NUMBERS else (0.0, 0.5)
    side = 1 - 2 * inset
    boxes = [Rectangle((x - 0.5 + inset, y - 0.5 + inset), side, side) for y, x in enumerate(right)]
    ax.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=styling.INK, linewidth=width))
    ax.axvline(num_columns - 1.5, color=styling.MUTED, lw=1)


def _write_cells(ax, values, image, normalize):
    for (y, x), value in np.ndenumerate(values):
        if value:
            text = ("<1" if value < 1 else f"{value:.0f}") if normalize else f"{value:,}"
            luma = np.dot((0.299, 0.587, 0.114), image.cmap(image.norm(value))[:3])
            color = "white" if luma < 0.5 else styling.INK
            ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color=color)


def _name_axes(ax, rows, columns, held_out, name):
    y = _ticks(len(rows), [*np.flatnonzero(np.isin(rows, held_out))[:1], *np.flatnonzero(rows == UNKNOWN)])
    x, few = _ticks(len(columns), [len(columns) - 1]), len(columns) <= _MOST_NUMBERS
    ax.set_yticks(y, [_axis_name(rows[i], held_out, name) for i in y])
    # Vertical where many stand side by side.
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if few else {"rotation": 90}
    ax.set_xticks(x, [_axis_name(columns[i], (), name) for i in x], **turned)
    ax.tick_params(length=0 if few else 3)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="answer", ylabel="true class")


def _axis_name(label, held_out, name):
    if label == UNKNOWN:
        return "Unknown"
    return styling.shorten(name(label), 1.5, 9) + (" (unknown)" if label in held_out else "")


def _ticks(count, always):
    """Positions to name: all of a few; of many, evenly spread ones, and ``always`` these."""
    if count <= _MOST_TICKS:
        return list(range(count))
    step = -(-count // _MOST_TICKS)
    spread = [i for i in range(0, count, step) if all(abs(i - j) >= step for j in always)]
    return sorted({*spread, *map(int, always)})
