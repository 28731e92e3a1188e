"""Figures with lines: metrics against the threshold, precision against recall, training."""

from collections.abc import Mapping, Sequence

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
    calibration: Calibration, *, cutpoint: str | None = None, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw what every candidate threshold would do, and mark those that were chosen.

    "Reject everything" (``-inf``) is drawn at the left edge. Of many thresholds about a thousand are
    drawn, the chosen one always among them.

    Args:
        calibration: A ``Calibration``. Where each class has its own threshold, the single one that it can be
            compared with is marked.
        cutpoint: Name of the cutpoint whose rates are written; the first by default. The others are marked
            by thin lines.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the chosen threshold by default.

    Returns:
        The ``Axes``. The legend gives the rates at the cutpoint.

    Raises:
        ValueError: If there is no such cutpoint.
    """
    chosen = _chosen(calibration, cutpoint)
    ax = styling.plain_axes(ax, (8.6, 4.2))
    curves, goal = calibration.curves, chosen.goal
    at = curves.position(chosen.threshold)
    x, limits = _drawable(curves.threshold)
    keep = _thin(len(x), at)
    for name, (color, style) in _STYLES.items():
        rates = getattr(curves, name)
        if np.isnan(rates).all():
            continue
        wanted = name == goal.metric
        why = (
            ""
            if not wanted
            else " (maximized)"
            if goal.target is None
            else f" ({goal.sign} {goal.target:.4g})"
        )
        label = f"{rates[at]:6.1%}  {_metric_name(name)}{why}"
        # Candidates lie midway between distances, and the rates change at the distances; what rejecting
        # everything gives holds up to the first of them.
        ax.plot(
            np.insert(x[keep], 1, x[1] if len(x) > 1 else limits[1]), np.insert(rates[keep], 1, rates[0]),
            color=color, ls=style, lw=2.8 if wanted else 1.7, label=label,
            drawstyle="steps-mid", gid=name,
        )  # fmt: skip
    ax.axvline(x[at], color=styling.INK, lw=1.2, ls=(0, (4, 3)), gid="cutpoint")
    styling.label_above(ax, x[at], styling.limit_name(chosen.threshold, "cutpoint "), limits)
    for other in calibration.cutpoints.values():
        if other is not chosen and other.met:
            _mark_other(ax, x[curves.position(other.threshold)], other.name)
    ax.set(xlim=limits, ylim=(-0.02, 1.03))
    ax.set_xlabel(f"{styling.distance_name(calibration.distance)} up to which a neighbor matches")
    ax.set_ylabel("rate on the calibration queries (%)")
    styling.percent_axis(ax.yaxis)
    ax.grid(axis="y", color=styling.FAINT, lw=0.8)
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
    chosen = _chosen(calibration, cutpoint)
    ax = styling.plain_axes(ax, (5.6, 4.4))
    curves = calibration.curves
    at = curves.position(chosen.threshold)
    keep = _thin(len(curves), at)
    # Rejecting everything has a precision by convention only; it would draw a line to 100 %.
    keep = keep[np.isfinite(curves.threshold[keep])]
    ax.plot(curves.recall[keep], curves.precision[keep], color=_STYLES["precision"][0], lw=2, gid="curve")
    recall, precision = curves.recall[at], curves.precision[at]
    ax.plot(
        recall, precision, "o", color=styling.INK, ms=9, mfc="white", mew=2.2, gid="cutpoint", clip_on=False
    )
    side, dx = ("right", -10) if recall > 0.45 else ("left", 10)
    up, dy = ("top", -12) if precision > 0.3 else ("bottom", 12)
    ax.annotate(
        styling.limit_name(chosen.threshold, "cutpoint "),
        (recall, precision), xytext=(dx, dy), textcoords="offset points", ha=side, va=up, fontsize=9,
        bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85},
    )  # fmt: skip
    ax.set(xlim=(0, 1.02), ylim=(0, 1.03))
    ax.set_xlabel("recall: known queries answered correctly (%)")
    ax.set_ylabel("precision: answers that are right (%)")
    for axis in (ax.xaxis, ax.yaxis):
        styling.percent_axis(axis)
    ax.grid(color=styling.FAINT, lw=0.8)
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
    series = {name: np.stack([run[name] for run in runs]) for name in runs[0]}
    epochs = max(values.shape[1] for values in series.values())
    losses = {name: values for name, values in series.items() if "loss" in name}
    others = {name: values for name, values in series.items() if "loss" not in name}
    panels = [(label, panel) for label, panel in (("loss", losses), ("metric", others)) if panel]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.3 * len(panels), 3.4), layout="constrained", squeeze=False
    )
    for ax, (label, panel) in zip(axes[0], panels, strict=True):
        styling.plain_axes(ax, None)
        _training_panel(ax, panel, epochs)
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
        position = base.index(name.removeprefix("val_"))
        validation = name.startswith("val_")
        x = np.arange(1, values.shape[1] + 1) * epochs / values.shape[1]
        color = colors[position % len(colors)]
        if len(values) > 1:
            ax.fill_between(
                x, values.min(axis=0), values.max(axis=0), color=color, alpha=0.18, lw=0, gid=visible(name)
            )
        ax.plot(
            x, values.mean(axis=0), color=color, ls="--" if validation else "-",
            marker=styling.MARKERS[position % len(styling.MARKERS)], ms=4.5,
            mfc="white" if validation else None, lw=1.7, label=label,
        )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y", color=styling.FAINT, lw=0.8)
    ax.legend(frameon=False, fontsize=9)


def _chosen(calibration, name):
    return calibration.cutpoint if name is None else calibration[name]


def _drawable(distances):
    """Distances with infinities moved to the edges, and the edges."""
    finite = distances[np.isfinite(distances)].astype(np.float64)
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


def _mark_other(ax, x, name):
    ax.axvline(x, color=styling.MUTED, lw=0.9, ls=(0, (1, 2)), gid=visible(f"cutpoint: {name}"))
    ax.annotate(
        styling.plain(name), (x, 0.02), xycoords=("data", "axes fraction"), xytext=(3, 0),
        textcoords="offset points", rotation=90, ha="left", va="bottom", fontsize=8, color=styling.MUTED,
    )  # fmt: skip


def _metric_name(name):
    return "F1" if name == "f1" else name.replace("_", " ")


def _curves_title(chosen, rates):
    name, goal = _metric_name(chosen.goal.metric), chosen.goal
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
