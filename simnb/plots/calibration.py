"""Figures of a calibration: the distances that it rests on, and whether what it promised holds."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from simnb import _checks
from simnb._text import visible
from simnb.calibration import expected_calibration_error, reliability
from simnb.index import UNKNOWN
from simnb.matching import Matches
from simnb.metrics import known_queries
from simnb.plots import styling

_MOST_BINS = 50
_MOST_POINTS = 2_000
#: How each kind of query is drawn, and what the legend calls it.
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "right": ("right", {"color": styling.RIGHT, "fill": True, "alpha": 0.45}),
    "wrong": ("wrong", {"color": styling.WRONG, "lw": 1.9, "ls": styling.DASHED}),
    "unknown": ("unknown", {"color": styling.INK, "lw": 1.7, "ls": (0, (1, 1.2))}),
}
_CONFIDENCE = 0.95
_STRIP = (-0.15, -0.03)  # where the histogram of the probabilities stands
_STRIP_BINS = 50
_PROMISE_BINS = 40
_WIDTH, _PER_ROW = 7.4, 0.62  # inches


def match_distances(
    matches: Matches,
    labels: ArrayLike,
    *,
    known_labels: Collection[int] | int | None = None,
    threshold: float | None = None,
    distance: str | None = None,
    log: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how far away the right and the wrong answers are, and those to queries of unknown classes.

    A threshold can tell them apart as well as the histograms lie apart.

    Args:
        matches: ``Matches`` made without a threshold, as ``simnb.matching.match(neighbors)`` makes them.
        labels: True class of each query, shape [num_queries].
        known_labels: Classes of the gallery; other queries are unknown. By default only ``UNKNOWN`` is.
        threshold: Where a line is drawn, and up to which the note counts; None for none.
        distance: Name of the distance, for the axis.
        log: Draw distances on a logarithmic axis, as is clearer where most are far below the largest.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the median distances by default.

    Returns:
        The ``Axes``. Each histogram adds up to 100%, however many queries it has. A query that got no label,
        because no neighbor had one, stands at the right edge, among the wrong ones if its class is known.

    Raises:
        ValueError: If there is no query, lengths differ, a number is NaN, or the matches have a threshold.
    """
    distances, kinds = _kinds(matches, labels, known_labels)
    threshold = None if threshold is None else _threshold(threshold, distances.dtype)
    axis = styling.DistanceAxis(distances, [] if threshold is None else threshold, log=log)
    ax = styling.plain_axes(ax, (7.4, 3.8))
    edges = _edges(len(distances), axis)
    for kind, (name, look) in _KINDS.items():
        of_kind = distances[kinds == kind]
        if len(of_kind):
            counts = np.histogram(axis.place(of_kind), edges)[0]
            if axis.above:  # what is as large as the last edge before the gap belongs before it
                counts[-3:-1] = counts[-3:-1].sum(), 0
            shares = 100 * counts / len(of_kind)
            label = f"{name}: {styling.count(len(of_kind), 'query')}"
            ax.stairs(shares, edges, label=label, gid=kind, **look)
    if threshold is not None:
        x = float(axis.place(threshold))
        ax.axvline(x, gid="threshold", **styling.MARK)
        styling.label_above(ax, x, styling.limit_name(threshold, "threshold "), axis.limits)
    axis.dress(ax, f"{styling.distance_name(distance)} of the neighbor that decides")
    ax.set(ylim=(0, None), ylabel="share of the queries of a kind (%)")
    place: dict[str, Any] = {"loc": "upper right", "bbox_to_anchor": (0.9, 1.0)} if axis.above else {}
    ax.legend(framealpha=0.9, edgecolor="none", fontsize=9, **place)
    found, note = _summary(distances, kinds, threshold)
    styling.heading(ax, title or found, note, above=0 if threshold is None else 15)
    return ax


def distance_shift(
    one: ArrayLike,
    other: ArrayLike,
    *,
    names: Sequence[str] = ("calibration", "queries"),
    distance: str | None = None,
    statistic: float | None = None,
    p_value: float | None = None,
    log: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw whether distances lie where they lay before: two distribution functions, and their largest gap.

    A threshold that was chosen on the one means the same for the other where the curves agree.

    Args:
        one: Distances, shape [num_one]; ``inf`` where there was no neighbor.
        other: Distances, shape [num_other].
        names: What the two are called.
        distance: Name of the distance, for the axis.
        statistic: Kolmogorov-Smirnov statistic that a test gave, for the note; the largest gap by default.
        p_value: The p-value that the test gave, for the note; None for none.
        log: Draw distances on a logarithmic axis, as is clearer where most are far below the largest.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the largest gap by default.

    Returns:
        The ``Axes``. Of many distances about two thousand are drawn, those at the gap always among them.

    Raises:
        ValueError: If there is no distance, one is NaN, the names are the same, or a statistic is not 0 to 1.
    """
    one, other = styling.check_distances(one, name="one"), styling.check_distances(other, name="other")
    names = tuple(names) if not isinstance(names, str) else (names,)
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names must be two different ones, got {names!r}")
    axis = styling.DistanceAxis(one, other, log=log)
    ax = styling.plain_axes(ax, (7.0, 3.8))
    both = np.union1d(one, other)
    shares = [np.searchsorted(np.sort(each), both, side="right") / len(each) for each in (one, other)]
    at = int(np.abs(shares[0] - shares[1]).argmax())
    looks: list[dict[str, Any]] = [{"color": styling.RIGHT}, {"color": styling.WRONG, "ls": styling.DASHED}]
    for name, each, look in zip(names, (one, other), looks, strict=True):
        label = f"{styling.plain(name)}: {styling.count(len(each), 'distance')}"
        x, y = _steps(each, both[at], axis)
        ax.plot(x, y, drawstyle="steps-post", lw=2, label=label, gid=visible(str(name)), **look)
    gap = abs(shares[0][at] - shares[1][at])
    if gap:
        _mark_gap(ax, axis, both[at], sorted((shares[0][at], shares[1][at])))
    axis.dress(ax, styling.distance_name(distance))
    ax.set(ylim=(-0.02, 1.03), ylabel="share at or below the distance (%)")
    styling.percent_axis(ax, "y", grid="y")
    ax.legend(frameon=False, fontsize=9, loc="upper left" if log else "lower right")
    where = f" at distance {styling.number(both[at])}" if gap else ""
    statistic = _checks.number(
        gap if statistic is None else statistic, name="statistic", at_least=0, at_most=1
    )
    note = f"Kolmogorov-Smirnov statistic {statistic:.3f}"
    if p_value is not None:
        p_value = _checks.number(p_value, name="p_value", at_least=0, at_most=1)
        note += f", p-value {f'{p_value:.3f}' if p_value >= 0.001 else 'below 0.001'}"
    styling.heading(ax, title or f"Largest gap: {styling.points(gap)}{where}", note)
    return ax


def reliability_diagram(
    probabilities: ArrayLike,
    right: ArrayLike,
    *,
    bins: int = 10,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how often a probability came true: on the diagonal it means what it says.

    Args:
        probabilities: Predicted probability that each answer is right, shape [num_answers].
        right: Whether it is, shape [num_answers] bool, or 0 and 1.
        bins: How many bins share the answers equally, from the least probable to the most; answers of one
            probability stay together, so there may be fewer.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the expected calibration error by default.

    Returns:
        The ``Axes``. A dot stands at the mean probability of a bin and the share of it that is right, with
        the exact (Clopper-Pearson) 95% interval of that share. The strip below holds all probabilities.

    Raises:
        ValueError: If there is no answer, lengths differ, or a value is not what it is said to be above.

    References:
        Guo et al., On Calibration of Modern Neural Networks, 2017. https://arxiv.org/abs/1706.04599
    """
    probabilities = styling.check_rates(probabilities, name="probabilities")
    right = np.asarray(right)
    if right.ndim != 1 or right.dtype.kind not in "biuf" or not np.isin(right, (0, 1)).all():
        raise ValueError(
            f"right must be true or false for each answer, got {right.dtype} of shape {right.shape}"
        )
    _checks.same_length(right, probabilities, "right and probabilities")
    right = right.astype(bool)
    predicted, share, counts = reliability(probabilities, right, bins=bins)
    error = expected_calibration_error(probabilities, right, bins=bins)
    ax = styling.plain_axes(ax, (5.4, 5.2))
    ax.plot([0, 1], [0, 1], color=styling.MUTED, lw=1.2, ls=":", gid="perfect")
    strip, edges = np.histogram(probabilities, np.linspace(0, 1, _STRIP_BINS + 1))
    heights = _STRIP[0] + (_STRIP[1] - _STRIP[0]) * strip / strip.max()
    ax.stairs(heights, edges, baseline=_STRIP[0], fill=True, color="#a8a8a8", gid="probabilities")
    low, high = _exact_interval(np.rint(share * counts), counts)
    ax.vlines(predicted, low, high, color=styling.RIGHT, lw=1.6, gid="intervals")
    look: dict[str, Any] = {"color": styling.RIGHT, "lw": 0.9, "ms": 6.5, "mec": "white", "zorder": 3}
    ax.plot(predicted, share, "-o", clip_on=False, gid="bins", **look)
    ax.set(xlim=(-0.02, 1.02), ylim=(_STRIP[0] - 0.01, 1.03), yticks=np.linspace(0, 1, 6))
    ax.set(xlabel="predicted probability (%)", ylabel="answers that are right (%)")
    styling.percent_axis(ax, "xy", grid="both")
    fewest, most = int(counts.min()), styling.count(int(counts.max()), "answer")
    sizes = most if fewest == counts.max() else f"{fewest:,} to {most}"
    note = f"dot: {sizes}    bar: 95% interval\ndotted: as predicted    strip: all probabilities"
    styling.heading(ax, title or f"Expected calibration error {error:.1%}", note)
    return ax


def promise_kept(
    achieved: Mapping[str, ArrayLike],
    *,
    target: float,
    metric: str = "precision",
    confidence: float | None = None,
    limit: str = "at least",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how often a promised rate was reached on new data: a histogram of trials for each way to promise.

    Args:
        achieved: A dict of arrays: for each way the rate reached in each trial, such as a new split into
            calibration and test queries, from 0 to 1; NaN where nothing was promised.
        target: The rate that was promised, from 0 to 1.
        metric: What the rates are.
        confidence: With which probability each promise was to hold, for the note; None where none was said.
        limit: ``at least``: the promise is broken below the target; ``at most``: above it.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; how often the promise was broken by default.

    Returns:
        The ``Axes``. Each histogram is as high as its row allows, so that only its shape can be compared.
        Trials without a promise break none; they count in the shares, but are not drawn.

    Raises:
        ValueError: If there is no trial of a way, a rate is not from 0 to 1, or the limit is unknown.
    """
    _checks.one_of(limit, ("at least", "at most"), name="limit")
    target = _checks.number(target, name="target", at_least=0, at_most=1)
    if confidence is not None:
        confidence = _checks.number(confidence, name="confidence", at_least=0, at_most=1)
    if not achieved:
        raise ValueError("achieved must hold at least one way with its rates, got none")
    rates = {
        str(name): styling.check_rates(of_name, name="achieved", of=f" for {name!r}", nan=True)
        for name, of_name in achieved.items()
    }
    room = None if ax is not None else _WIDTH
    ax = styling.plain_axes(ax, (_WIDTH, 1.55 + _PER_ROW * len(rates)))
    edges = _promise_edges(np.concatenate(list(rates.values())), target)
    ax.axvline(target, gid="target", **styling.MARK)
    # A rate at an edge belongs to the bin on the far side from the broken ones, whatever it is rounded to.
    side = 1e-6 if limit == "at least" else -1e-6
    labels, broken = [], []
    for row, (name, of_name) in enumerate(rates.items()):
        missed, none = of_name < target if side > 0 else of_name > target, int(np.isnan(of_name).sum())
        _draw_trials(ax, name, -row, of_name, missed, edges, side)
        broken += [missed.mean()] if none < len(missed) else []
        label = styling.shorten(styling.plain(name), 2.4, 9)
        labels.append(label + (f"\n{none:,} of {len(missed):,} promised nothing" if none else ""))
    ax.set_yticks([0.35 - row for row in range(len(rates))], labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0.94 - len(rates), 0.92), xlabel=f"{styling.plain(metric)} (%)")
    styling.percent_axis(ax, "x")
    if room:
        room -= 0.25 + 0.08 * max(len(line) for label in labels for line in label.split("\n"))
    promise = f"{limit} {styling.percent(target)} {styling.plain(metric)}"
    note = "dashed: promised    orange: broken"
    if confidence is not None:
        note += f" ({styling.percent(1 - confidence)} allowed with confidence)"
    styling.heading(ax, title or _promise_title(promise, broken), note, inches=room)
    return ax


def _kinds(matches, labels, known_labels):
    """Distance of each query, ``inf`` where it got no label, and its kind."""
    distances = styling.check_distances(matches.distances, name="matches.distances")
    predicted = _checks.labels(matches.labels, count=len(distances), name="matches.labels", of="distances")
    labels = _checks.labels(labels, count=len(distances), of="matches")
    answered = predicted != UNKNOWN
    # Padding has no distance, and rows of the gallery without a label are as near as others.
    rejected = distances[~answered & np.isfinite(distances)]
    if len(rejected) and rejected.min() > distances[answered].max(initial=-np.inf):
        raise ValueError(
            f"matches must be made without a threshold, got {len(rejected)} of {len(distances)} queries "
            "rejected, those farthest away; pass simnb.matching.match(neighbors)"
        )
    known = known_queries(labels, known_labels)
    kinds = np.where(known, np.where(answered & (predicted == labels), "right", "wrong"), "unknown")
    return np.where(answered, distances, np.asarray(np.inf, distances.dtype)), kinds


def _threshold(value, dtype):
    """The threshold in the dtype of the distances, in which matching compares."""
    if np.ndim(value) or np.asarray(value).dtype.kind not in "fiu" or np.isnan(value):
        raise ValueError(f"threshold must be one number, got {value!r}")
    with np.errstate(over="ignore"):
        return np.asarray(value).astype(dtype)


def _edges(count, axis):
    """Bins as many queries can fill; infinity has one of its own, behind a gap."""
    bins = int(np.clip(2.5 * np.cbrt(count), 10, _MOST_BINS))
    edges = np.linspace(axis.low, axis.high, bins + 1)
    infinity, half = float(axis.place(np.inf)), 0.25 * float(axis.place(np.inf) - axis.high)
    return np.append(edges, [infinity - half, infinity + half]) if axis.above else edges


def _summary(distances, kinds, threshold):
    """What is said of each kind: its median distance, and the share of it that is accepted."""
    medians, shares = [], []
    for kind in _KINDS:
        of_kind = np.sort(distances[kinds == kind])
        if len(of_kind):
            # The lower of two in the middle: half of inf and a number says nothing.
            median = float(of_kind[(len(of_kind) - 1) // 2])
            medians.append(f"{kind} {styling.number(median) if np.isfinite(median) else 'infinite'}")
            if threshold is not None:
                accepted = (of_kind <= threshold) & (of_kind < np.inf)
                shares.append(f"{accepted.mean():.1%} of the {kind}")
    within = f"Within the threshold: {', '.join(shares)}" if shares else ""
    return f"Median distance: {', '.join(medians)}", within


def _steps(distances, gap, axis):
    """The corners of a distribution function, from one end of the axis to the other."""
    values, counts = np.unique(distances, return_counts=True)
    shares = np.cumsum(counts) / len(distances)
    if len(values) > _MOST_POINTS:
        keep = np.linspace(0, len(values) - 1, _MOST_POINTS).round().astype(np.int64)
        at_gap = max(int(np.searchsorted(values, gap, side="right")) - 1, 0)
        keep = np.union1d(keep, [at_gap, min(at_gap + 1, len(values) - 1)])
        values, shares = values[keep], shares[keep]
    low, high = axis.limits
    return np.concatenate([[low], axis.place(values), [high]]), np.concatenate([[0], shares, [1]])


def _mark_gap(ax, axis, distance, shares):
    x, (low, high) = float(axis.place(distance)), axis.limits
    ax.plot([x, x], shares, color=styling.INK, lw=2.4, marker="_", ms=9, mew=2.4, gid="gap")
    text = f"gap {styling.points(shares[1] - shares[0])}"
    # Curves rise: above them there is room to the left, and below them to the right.
    if x - low > 0.18 * (high - low):
        styling.write(ax, text, (x, shares[1]), (-8, 2), ha="right", va="bottom")
    else:
        styling.write(ax, text, (x, max(shares[0], 0.06)), (8, -2), ha="left", va="top")


def _exact_interval(hits, counts):
    """Clopper and Pearson's interval of a share."""
    tail, misses = (1 - _CONFIDENCE) / 2, counts - hits
    # The function is not defined at the ends, where the interval reaches them.
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), misses + 1, tail), 0.0)
    high = np.where(misses > 0, betaincinv(hits + 1, np.maximum(misses, 1), 1 - tail), 1.0)
    return low, high


def _promise_edges(rates, target):
    """Bins that the target bounds, so that none holds both kept and broken promises."""
    rates = np.unique(rates[~np.isnan(rates)].round(9))
    low, high = min([target, *rates[:1]]), max([target, *rates[-1:]])
    width = max((high - low) / _PROMISE_BINS, 1e-3)
    # Shares of equally many queries come in steps; bins that hold now one of them, now two, look like a comb.
    gaps = np.diff(rates)
    step = gaps.min(initial=np.inf)
    if np.isfinite(step) and np.allclose(gaps / step, (gaps / step).round(), atol=0.01):
        step = gaps.sum() / (gaps / step).round().sum()  # to more digits
        width = step * np.ceil(width / step - 0.01)
    first, last = np.floor((low - target) / width) - 2, np.ceil((high - target) / width) + 2
    return target + width * np.arange(first, last + 1)


def _draw_trials(ax, name, row, rates, missed, edges, side):
    """The histogram of one way in its row, with the broken promises in vermilion, and their share."""
    ax.axhline(row, color=styling.FAINT, lw=0.8, zorder=0)
    bins, kept = np.floor((rates - edges[0]) / (edges[1] - edges[0]) + side), ~missed & ~np.isnan(rates)
    kinds = {"kept": (kept, styling.RIGHT), "broken": (missed, styling.WRONG)}
    counts = {
        kind: np.bincount(bins[these].astype(np.int64), minlength=len(edges) - 1)
        for kind, (these, _) in kinds.items()
    }
    top = max(1, *(of_kind.max() for of_kind in counts.values()))
    for kind, (_, color) in kinds.items():
        heights, gid = row + 0.8 * counts[kind] / top, visible(f"{kind}: {name}")
        ax.stairs(heights, edges, baseline=row, fill=True, color=color, gid=gid)
    beside = {"at": (1, row + 0.35), "within": "x"}
    if not (kept | missed).any():
        styling.write(ax, "no promise", offset=(8, 0), va="center", color=styling.MUTED, **beside)
        return
    look = {"color": styling.WRONG, "fontweight": "bold", "gid": visible(f"share: {name}")}
    share, of = f"{styling.percent(missed.mean())} broken", f"{missed.sum():,} of {len(rates):,}"
    styling.write(ax, share, offset=(8, 1), va="bottom", **look, **beside)
    styling.write(ax, of, offset=(8, -1), va="top", color=styling.MUTED, **beside)


def _promise_title(promise, broken):
    if not broken:
        return f"No trial was promised {promise}"
    low, high = styling.percent(min(broken)), styling.percent(max(broken))
    shares = low if low == high else f"{low} to {high}"
    return f"{promise[:1].upper()}{promise[1:]}: missed in {shares} of trials"
