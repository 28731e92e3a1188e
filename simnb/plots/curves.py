"""Figures with lines: metrics against the threshold, precision against recall, training."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simnb._text import visible
from simnb.calibration import Calibration
from simnb.plots import styling

#: Colour and line style of each metric; Okabe and Ito's colours.
_STYLES = {
    "precision": ("#0072B2", "-"),
    "recall": ("#D55E00", "--"),
    "f1": ("#222222", "-"),
    "accuracy": ("#009E73", "-."),
    "coverage": ("#CC79A7", (0, (7, 1.6))),
    "false_acceptance": ("#8a6d00", ":"),
}
_MOST_POINTS = 1_000


def metric_curves(
    calibration: Calibration,
    *,
    cutpoint: str | None = None,
    log: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw what every candidate threshold would do, and mark those that were chosen.

    "Reject everything" (``-inf``) is drawn at the left edge. Of many thresholds about a thousand are
    drawn, the chosen one always among them.

    Args:
        calibration: A ``Calibration``. Where each class has its own threshold, the single one that it can be
            compared with is marked.
        cutpoint: Name of the cutpoint whose rates are written; the first by default. Others get thin lines.
        log: Draw distances on a logarithmic axis, as is clearer where most are far below the largest.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the chosen threshold by default.

    Returns:
        The ``Axes``. The legend gives the rates at the cutpoint.

    Raises:
        ValueError: If there is no such cutpoint.

    Example:
        >>> import numpy as np
        >>> from simnb import plots
        >>> from simnb.calibration import calibrate
        >>> from simnb.index import Neighbors
        >>> distances, ids = np.array([[0.1], [0.2], [0.9]]), np.array([[0], [1], [2]])
        >>> neighbors = Neighbors(distances, ids, labels=np.array([[5], [6], [5]]))
        >>> calibration = calibrate(neighbors, [5, 6, -1])
        >>> axes = plots.metric_curves(calibration), plots.precision_recall(calibration)
    """
    chosen = calibration.cutpoint if cutpoint is None else calibration[cutpoint]
    ax = styling.plain_axes(ax, (8.6, 4.2))
    curves, goal = calibration.curves, chosen.goal
    at = curves.position(chosen.threshold)
    x, limits = _drawable(curves.threshold, log)
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    keep = _thin(len(x), at)
    for name, (color, style) in _STYLES.items():
        rates, label, width = getattr(curves, name), metric_name(name), 1.7
        if np.isnan(rates).all():
            continue
        if name == goal.metric:
            width = 2.8
            label += " (maximized)" if goal.target is None else f" ({goal.sign} {goal.target:.4g})"
        # Candidates lie midway between distances, and the rates change at the distances; what rejecting
        # everything gives holds up to the first of them.
        ax.plot(
            np.insert(x[keep], 1, x[1] if len(x) > 1 else limits[1]), np.insert(rates[keep], 1, rates[0]),
            color=color, ls=style, lw=width, label=f"{rates[at]:6.1%}  {label}", drawstyle="steps-mid",
            gid=name,
        )  # fmt: skip
    ax.axvline(x[at], gid="cutpoint", **styling.MARK)
    styling.label_above(ax, x[at], styling.limit_name(chosen.threshold, "cutpoint "), limits)
    for other in calibration.cutpoints.values():
        if other is not chosen and other.met:
            place, name = x[curves.position(other.threshold)], styling.plain(other.name)
            look: dict[str, Any] = {"color": styling.MUTED, "lw": 0.9, "ls": (0, (1, 2))}
            ax.axvline(place, gid=visible(f"cutpoint: {other.name}"), **look)
            look = {"rotation": 90, "va": "bottom", "fontsize": 8, "color": styling.MUTED}
            styling.write(ax, name, (place, 0.02), (3, 0), within="y", **look)
    ax.set(xlim=limits, ylim=(-0.02, 1.03), ylabel="rate on the calibration queries (%)")
    ax.set_xlabel(f"{styling.distance_name(calibration.distance)} up to which a neighbor matches")
    styling.percent_axis(ax, "y", grid="y")
    legend = ax.legend(
        title="at the cutpoint", loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False,
        fontsize=9, title_fontsize=9, alignment="left", handlelength=3.2,
    )  # fmt: skip
    legend.get_title().set_color(styling.MUTED)
    styling.heading(ax, title or _curves_title(chosen, curves.at(at)), above=15)
    return ax


def precision_recall(
    calibration: Calibration, *, cutpoint: str | None = None, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw precision against recall over all thresholds, and mark the one that was chosen.

    Args:
        calibration: A ``Calibration``.
        cutpoint: Name of the cutpoint that is marked; the first by default.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the rates at the cutpoint by default.

    Returns:
        The ``Axes``.

    Raises:
        ValueError: If there is no such cutpoint.
    """
    chosen = calibration.cutpoint if cutpoint is None else calibration[cutpoint]
    ax = styling.plain_axes(ax, (5.6, 4.4))
    curves = calibration.curves
    at = curves.position(chosen.threshold)
    keep = _thin(len(curves), at)
    # Rejecting everything has a precision by convention only; it would draw a line to 100%.
    keep = keep[np.isfinite(curves.threshold[keep])]
    ax.plot(curves.recall[keep], curves.precision[keep], color=_STYLES["precision"][0], lw=2, gid="curve")
    recall, precision = curves.recall[at], curves.precision[at]
    dot: dict[str, Any] = {"color": styling.INK, "ms": 9, "mfc": "white", "mew": 2.2, "clip_on": False}
    ax.plot(recall, precision, "o", gid="cutpoint", **dot)
    side, dx = ("right", -10) if recall > 0.45 else ("left", 10)
    up, dy = ("top", -12) if precision > 0.3 else ("bottom", 12)
    ground = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85}
    look: dict[str, Any] = {"ha": side, "va": up, "color": None, "bbox": ground}
    words = styling.limit_name(chosen.threshold, "cutpoint ")
    styling.write(ax, words, (recall, precision), (dx, dy), **look)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.03), xlabel="recall: known queries answered correctly (%)")
    ax.set_ylabel("precision: answers that are right (%)")
    styling.percent_axis(ax, "xy", grid="both")
    single = "" if chosen.by_class is None else "One threshold for all classes: "
    styling.heading(ax, title or f"{single}Precision {precision:.1%} at recall {recall:.1%}")
    return ax


#: What ``simnb.training.RetrievalMonitor`` records, as the field writes it.
_FIELD_NAMES = {"recall_at_1": "R@1", "map_at_r": "MAP@R"}


def training_curves(
    history: "Mapping[str, Sequence[float]] | Sequence[Mapping[str, Sequence[float]]]",
    *,
    title: str | None = None,
) -> Figure:
    """Draw what training recorded: losses in one panel, the other metrics in a second.

    Args:
        history: A dict of lists, one number an epoch, as in ``fit(...).history``; names that begin with
            ``val_`` are dashed. A list that is shorter, as with ``validation_freq``, is spread evenly.
            Learning rates are left out. Of several trainings, such as of several seeds, a list of them:
            their mean is drawn, in a band from the least to the largest value.
        title: Heading of the figure; the number of epochs by default.

    Returns:
        A ``Figure``.

    Raises:
        ValueError: If nothing was recorded, or several trainings recorded not the same.
    """
    runs = [_recorded(one) for one in (history if isinstance(history, list | tuple) else [history])]
    if not runs or not runs[0]:
        raise ValueError("history must hold at least one list of numbers, got none; has the model been fit?")
    shapes = [{name: len(values) for name, values in run.items()} for run in runs]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            "several trainings must have recorded the same names over the same number of epochs, "
            f"got {shapes[0]} and {next(shape for shape in shapes if shape != shapes[0])}"
        )
    epochs = max(shapes[0].values())
    panels: dict[str, dict[str, np.ndarray]] = {}
    for name in sorted(runs[0], key=lambda name: "loss" not in name):
        panel = panels.setdefault("loss" if "loss" in name else "metric", {})
        panel[name] = np.stack([run[name] for run in runs])
    size = (4.3 * len(panels), 3.4)
    figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)
    for ax, (label, panel) in zip(axes[0], panels.items(), strict=True):
        _training_panel(styling.plain_axes(ax), panel, epochs)
        ax.set(xlabel="epoch", ylabel=label)
    several = f", mean and range of {len(runs)} runs" if len(runs) > 1 else ""
    title = title or f"{styling.count(epochs, 'epoch')} of training{several}"
    figure.suptitle(visible(title), x=0.01, ha="left", fontsize=11.5, fontweight="bold", color=styling.INK)
    return figure


def _recorded(history):
    """What one training recorded, but for learning rates: a name, and an array of numbers."""
    return {
        name: np.asarray(values, dtype=float)
        for name, values in getattr(history, "history", history).items()
        if name not in ("lr", "learning_rate") and len(values)
    }


def _training_panel(ax, panel, epochs):
    base = list(dict.fromkeys(name.removeprefix("val_") for name in panel))
    colors = [color for color, _ in _STYLES.values()]
    for name, values in panel.items():
        label = _FIELD_NAMES.get(name, styling.plain(name).replace("_", " "))
        position, validation = base.index(name.removeprefix("val_")), name.startswith("val_")
        look = {"color": colors[position % len(colors)]}
        x = np.arange(1, values.shape[1] + 1) * epochs / values.shape[1]
        if len(values) > 1:
            ax.fill_between(
                x, values.min(axis=0), values.max(axis=0), alpha=0.18, lw=0, gid=visible(name), **look
            )
        look |= {"ls": "--", "mfc": "white"} if validation else {}
        marker = styling.MARKERS[position % len(styling.MARKERS)]
        ax.plot(x, values.mean(axis=0), marker=marker, ms=4.5, lw=1.7, label=label, **look)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y", color=styling.FAINT, lw=0.8)
    ax.legend(frameon=False, fontsize=9)


def _drawable(distances, log=False):
    """Distances with infinities moved to the edges, and the edges; on a logarithmic axis 0 as well."""
    finite = distances[np.isfinite(distances)].astype(np.float64)
    if log:
        positive = finite[finite > 0]
        low, high = (positive.min(), positive.max()) if len(positive) else (0.1, 1.0)
        edge = low / max(high / low, 1.1) ** 0.04
        x = np.nan_to_num(distances.astype(np.float64), neginf=edge, posinf=high)
        return np.maximum(x, edge), (float(edge), float(high))
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    edge = low - max(0.04 * (high - low), 1e-6 * max(abs(low), 1.0))
    if low >= 0:
        edge = 0.0 if low < 0.1 * high else max(edge, 0.0)
    right = high if high > edge else edge + 1.0
    return np.nan_to_num(distances.astype(np.float64), neginf=edge, posinf=right), (edge, right)


def _thin(count, at):
    """Positions to draw: all of a few; of many, more where few queries are accepted and rates jump."""
    if count <= _MOST_POINTS:
        return np.arange(count)
    even = np.linspace(0, count - 1, _MOST_POINTS * 3 // 4)
    early = np.geomspace(1, count - 1, _MOST_POINTS // 4)
    return np.unique(np.concatenate([even, early, [at]]).round().astype(np.int64))


def metric_name(name: str) -> str:
    """A metric of calibration as people write it."""
    return "F1" if name == "f1" else name.replace("_", " ")


def _curves_title(chosen, rates):
    name, goal = metric_name(chosen.goal.metric), chosen.goal
    if chosen.threshold == -np.inf:
        return f"Best {name}: reject every query"
    at = f"{rates[goal.metric]:.1%} at distance {styling.number(chosen.threshold)}"
    if chosen.by_class is not None:
        return f"One threshold for all classes: {name} {at}"
    if goal.target is None:
        return f"Best {name}: {at}"
    if not chosen.met:
        return f"No threshold keeps {name} {goal.sign} {goal.target:.1%}: the best is {at}"
    promise = "" if chosen.confidence is None else f" (confidence {chosen.confidence:.0%})"
    return f"{name[:1].upper()}{name[1:]} {goal.sign} {goal.target:.1%}{promise}: {at}"
