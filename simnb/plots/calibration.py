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
    "right": ("matched correctly", {"color": styling.RIGHT, "fill": True, "alpha": 0.45}),
    "wrong": ("matched wrongly", {"color": styling.WRONG, "lw": 1.9, "ls": (0, (4, 1.6))}),
    "unknown": ("of unknown classes", {"color": styling.INK, "lw": 1.7, "ls": (0, (1, 1.2))}),
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
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how far away the answers of a matcher are: right ones, wrong ones, and those to unknown classes.

    A threshold can tell them apart as well as the histograms lie apart.

    Args:
        matches: ``Matches`` made without a threshold, as ``simnb.matching.match(neighbors)`` makes them.
        labels: True class of each query, shape [num_queries].
        known_labels: The classes of the gallery; queries of any other class are unknown. When left out,
            only queries labelled ``UNKNOWN`` are.
        threshold: Where a line is drawn, and up to which the note counts; None for none.
        distance: Name of the distance, for the axis.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the median distances by default.

    Returns:
        The ``Axes``. Each histogram adds up to 100 %, however many queries it has. A query that got no label,
        because no neighbor had one, stands at the right edge, among the wrong ones if its class is known.

    Raises:
        ValueError: If there is no query, lengths differ, a distance or the threshold is NaN, or the matches
            were made with a threshold.
    """
    distances, kinds = _kinds(matches, labels, known_labels)
    threshold = None if threshold is None else _threshold(threshold, distances.dtype)
    axis = styling.DistanceAxis.of(distances, [] if threshold is None else threshold)
    ax = styling.plain_axes(ax, (7.4, 3.8))
    edges = _edges(len(distances), axis)
    for kind, (name, look) in _KINDS.items():
        of_kind = distances[kinds == kind]
        if len(of_kind):
            shares = 100 * _count(of_kind, edges, axis) / len(of_kind)
            label = f"{name}: {styling.count(len(of_kind), 'query')}"
            ax.stairs(shares, edges, label=label, gid=kind, **look)
    if threshold is not None:
        _mark_threshold(ax, axis, threshold)
    axis.dress(ax, f"{styling.distance_name(distance)} of the neighbor that decides")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("share of the queries of a kind (%)")
    place: dict[str, Any] = {"loc": "upper right", "bbox_to_anchor": (0.9, 1.0)} if axis.above else {}
    ax.legend(framealpha=0.9, edgecolor="none", fontsize=9, **place)
    note = "" if threshold is None else _within(distances, kinds, threshold)
    above = 0 if threshold is None else 15
    styling.heading(ax, title or _medians(distances, kinds), note, above=above)
    return ax


def distance_shift(
    one: ArrayLike,
    other: ArrayLike,
    *,
    names: Sequence[str] = ("calibration", "queries"),
    distance: str | None = None,
    statistic: float | None = None,
    p_value: float | None = None,
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
        statistic: The Kolmogorov-Smirnov statistic that a test gave, for the note; the largest gap when
            left out.
        p_value: The p-value that the test gave, for the note; None for none.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the largest gap by default.

    Returns:
        The ``Axes``. Of many distances about two thousand are drawn, those at the gap always among them.

    Raises:
        ValueError: If there is no distance, one is NaN, the names are not two different ones, or the
            statistic or the p-value is not from 0 to 1.
    """
    one, other = styling.check_distances(one, name="one"), styling.check_distances(other, name="other")
    names = tuple(names) if not isinstance(names, str) else (names,)
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names must be two different ones, got {names!r}")
    axis = styling.DistanceAxis.of(one, other)
    ax = styling.plain_axes(ax, (7.0, 3.8))
    both = np.union1d(one, other)
    shares = [np.searchsorted(np.sort(each), both, side="right") / len(each) for each in (one, other)]
    at = int(np.abs(shares[0] - shares[1]).argmax())
    looks: list[dict[str, Any]] = [
        {"color": styling.RIGHT, "ls": "-"},
        {"color": styling.WRONG, "ls": (0, (4, 1.6))},
    ]
    for name, each, look in zip(names, (one, other), looks, strict=True):
        label = f"{styling.plain(name)}: {styling.count(len(each), 'distance')}"
        x, y = _steps(each, both[at], axis)
        ax.plot(x, y, drawstyle="steps-post", lw=2, label=label, gid=visible(str(name)), **look)
    gap = abs(shares[0][at] - shares[1][at])
    _mark_gap(ax, axis, both[at], sorted((shares[0][at], shares[1][at])))
    axis.dress(ax, styling.distance_name(distance))
    ax.set(ylim=(-0.02, 1.03), ylabel="share at or below the distance (%)")
    styling.percent_axis(ax.yaxis)
    ax.grid(axis="y", color=styling.FAINT, lw=0.8)
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    where = f" at distance {styling.number(both[at])}" if gap else ""
    note = _tested(gap if statistic is None else statistic, p_value)
    styling.heading(ax, title or f"Largest gap: {styling.percent(gap)}{where}", note)
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
        the exact (Clopper-Pearson) 95 % interval of that share. The strip below holds all probabilities.

    Raises:
        ValueError: If there is no answer, lengths differ, a probability is not from 0 to 1, or ``right`` is
            something else than true and false.

    References:
        Guo et al., On Calibration of Modern Neural Networks, 2017. https://arxiv.org/abs/1706.04599
    """
    probabilities = styling.check_rates(probabilities, name="probabilities")
    right = _truth(right, len(probabilities))
    predicted, share, counts = reliability(probabilities, right, bins=bins)
    error = expected_calibration_error(probabilities, right, bins=bins)
    ax = styling.plain_axes(ax, (5.4, 5.2))
    ax.plot([0, 1], [0, 1], color=styling.MUTED, lw=1.2, ls=":", gid="perfect")
    _draw_strip(ax, probabilities)
    low, high = _exact_interval(np.rint(share * counts), counts)
    ax.vlines(predicted, low, high, color=styling.RIGHT, lw=1.6, gid="intervals")
    ax.plot(
        predicted, share, "-o", color=styling.RIGHT, lw=0.9, ms=6.5, mec="white", clip_on=False, zorder=3,
        gid="bins",
    )  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(_STRIP[0] - 0.01, 1.03), yticks=np.linspace(0, 1, 6))
    ax.set(xlabel="predicted probability (%)", ylabel="answers that are right (%)")
    for axis in (ax.xaxis, ax.yaxis):
        styling.percent_axis(axis)
    ax.grid(color=styling.FAINT, lw=0.8)
    note = f"dot: {_sizes(counts)}    bar: 95% interval\ndotted: as predicted    strip: all probabilities"
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
        Trials without a promise are counted under the row's name and not drawn; they break none, and are
        among the trials that the shares are of.

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
    ax.axvline(target, color=styling.INK, lw=1.2, ls=(0, (4, 3)), gid="target")
    labels, broken = [], []
    for row, (name, of_name) in enumerate(rates.items()):
        promised = of_name[~np.isnan(of_name)]
        kept = promised >= target if limit == "at least" else promised <= target
        _draw_trials(ax, name, -row, promised, kept, (edges, limit, len(of_name)))
        broken += [(~kept).sum() / len(of_name)] if len(kept) else []
        labels.append(_row_name(name, of_name))
    ax.set_yticks([0.35 - row for row in range(len(rates))], labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0.94 - len(rates), 0.92), xlabel=f"{styling.plain(metric)} (%)")
    styling.percent_axis(ax.xaxis)
    if room:
        room -= 0.25 + 0.08 * max(len(line) for label in labels for line in label.split("\n"))
    promise = f"{limit} {styling.percent(target)} {styling.plain(metric)}"
    styling.heading(ax, title or _promise_title(promise, broken), _promise_note(confidence), inches=room)
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


def _count(distances, edges, axis):
    """How many distances are in each bin; the last two are the gap and infinity, where there is any."""
    finite = distances[np.isfinite(distances)].astype(np.float64)
    counts = np.histogram(finite, edges[:-2] if axis.above else edges)[0]
    return np.append(counts, [0, len(distances) - len(finite)]) if axis.above else counts


def _mark_threshold(ax, axis, threshold):
    x = float(axis.place(threshold))
    ax.axvline(x, color=styling.INK, lw=1.2, ls=(0, (4, 3)), gid="threshold")
    styling.label_above(ax, x, styling.limit_name(threshold, "threshold "), axis.limits)


def _within(distances, kinds, threshold):
    """What the note says: the share of each kind that is accepted."""
    accepted = (distances <= threshold) & (distances < np.inf)
    shares = [
        f"{accepted[kinds == kind].mean():.1%} of the {kind}" for kind in _KINDS if (kinds == kind).any()
    ]
    return f"Within the threshold: {', '.join(shares)}"


def _medians(distances, kinds):
    medians = []
    for kind in _KINDS:
        of_kind = np.sort(distances[kinds == kind].astype(np.float64))
        if len(of_kind):
            # The lower of two in the middle: half of inf and a number says nothing.
            median = of_kind[(len(of_kind) - 1) // 2]
            medians.append(f"{kind} {styling.number(median) if np.isfinite(median) else 'infinite'}")
    return f"Median distance: {', '.join(medians)}"


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
    if shares[0] == shares[1]:
        return
    x = float(axis.place(distance))
    ax.plot([x, x], shares, color=styling.INK, lw=2.4, marker="_", ms=9, mew=2.4, gid="gap")
    low, high = axis.limits
    # Curves rise: above them there is room to the left, and below them to the right.
    left = x - low > 0.18 * (high - low)
    if left:
        at, place = shares[1], {"xytext": (-8, 2), "ha": "right", "va": "bottom"}
    else:
        at, place = max(shares[0], 0.06), {"xytext": (8, -2), "ha": "left", "va": "top"}
    ax.annotate(
        f"gap {styling.percent(shares[1] - shares[0])}", (x, at), textcoords="offset points", fontsize=9,
        color=styling.INK, **place,
    )  # fmt: skip


def _tested(statistic, p_value):
    statistic = _checks.number(statistic, name="statistic", at_least=0, at_most=1)
    note = f"Kolmogorov-Smirnov statistic {statistic:.3f}"
    if p_value is None:
        return note
    p_value = _checks.number(p_value, name="p_value", at_least=0, at_most=1)
    return f"{note}, p-value {f'{p_value:.3f}' if p_value >= 0.001 else 'below 0.001'}"


def _truth(right, count):
    right = np.asarray(right)
    if right.ndim != 1 or right.dtype.kind not in "biuf" or not np.isin(right, (0, 1)).all():
        raise ValueError(
            f"right must be true or false for each answer, got {right.dtype} of shape {right.shape}"
        )
    _checks.same_length(right, range(count), "right and probabilities")
    return right.astype(bool)


def _exact_interval(hits, counts):
    """Clopper and Pearson's interval of a share."""
    tail = (1 - _CONFIDENCE) / 2
    misses = counts - hits
    # The function is not defined at the ends, where the interval reaches them.
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), misses + 1, tail), 0.0)
    high = np.where(misses > 0, betaincinv(hits + 1, np.maximum(misses, 1), 1 - tail), 1.0)
    return low, high


def _draw_strip(ax, probabilities):
    counts, edges = np.histogram(probabilities, np.linspace(0, 1, _STRIP_BINS + 1))
    bottom, top = _STRIP
    heights = bottom + (top - bottom) * counts / counts.max()
    ax.stairs(heights, edges, baseline=bottom, fill=True, color="#a8a8a8", gid="probabilities")


def _sizes(counts):
    low, high = counts.min(), counts.max()
    return styling.count(int(high), "answer") if low == high else f"{low:,} to {high:,} answers"


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


def _draw_trials(ax, name, row, rates, kept, bins):
    edges, limit, trials = bins
    ax.axhline(row, color=styling.FAINT, lw=0.8, zorder=0)
    # A rate at an edge belongs to the bin on the far side from the broken ones, whatever it is rounded to.
    side, width = 1e-6 if limit == "at least" else -1e-6, edges[1] - edges[0]
    bins = np.floor((rates - edges[0]) / width + side).astype(np.int64)
    counts = [np.bincount(bins[these], minlength=len(edges) - 1) for these in (kept, ~kept)]
    top = max(1, *(part.max() for part in counts))
    looks = {"kept": {"color": styling.RIGHT}, "broken": {"color": styling.WRONG}}
    for (kind, look), part in zip(looks.items(), counts, strict=True):
        ax.stairs(
            row + 0.8 * part / top, edges, baseline=row, fill=True, gid=visible(f"{kind}: {name}"), **look
        )
    at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9}
    if not len(rates):
        ax.annotate("no promise", (1, row + 0.35), xytext=(8, 0), va="center", color=styling.MUTED, **at)
        return
    text = f"{styling.percent((~kept).sum() / trials)} broken"
    ax.annotate(
        text, (1, row + 0.35), xytext=(8, 1), va="bottom", color=styling.WRONG, fontweight="bold",
        gid=visible(f"share: {name}"), **at,
    )  # fmt: skip
    of = f"{(~kept).sum():,} of {trials:,}"
    ax.annotate(of, (1, row + 0.35), xytext=(8, -1), va="top", color=styling.MUTED, **at)


def _row_name(name, rates):
    name, none = styling.shorten(styling.plain(name), 2.4, 9), int(np.isnan(rates).sum())
    return f"{name}\n{none:,} of {len(rates):,} promised nothing" if none else name


def _promise_title(promise, broken):
    if not broken:
        return f"No trial was promised {promise}"
    low, high = styling.percent(min(broken)), styling.percent(max(broken))
    shares = low if low == high else f"{low} to {high}"
    return f"{promise[:1].upper()}{promise[1:]}: missed in {shares} of trials"


def _promise_note(confidence):
    note = "dashed: promised    vermilion: broken"
    if confidence is None:
        return note
    allowed, sure = styling.percent(1 - confidence), styling.percent(confidence)
    return f"{note}, as {allowed} may be with {sure} confidence"
