"""Figures of the distances a threshold rests on: right and wrong matches, calibration and use."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from simnb import _checks
from simnb._text import visible
from simnb.index import UNKNOWN
from simnb.metrics import known_queries
from simnb.plots import _ranges, _style

_MOST_BINS = 50
_MOST_POINTS = 2_000
#: How each kind of query is drawn, and what the legend calls it.
_KINDS = {
    "right": ("matched rightly", {"color": _style.RIGHT, "fill": True, "alpha": 0.45}),
    "wrong": ("matched wrongly", {"color": _style.WRONG, "lw": 1.9, "ls": (0, (4, 1.6))}),
    "unknown": ("of unknown classes", {"color": _style.INK, "lw": 1.7, "ls": (0, (1, 1.2))}),
}


def match_distances(
    matches, labels, *, known_labels=None, threshold=None, distance=None, ax=None, title=None
):
    """Draw how far away the answers of a matcher are: right ones, wrong ones, and those to unknown classes.

    A threshold can tell them apart as well as the histograms lie apart.

    Args:
        matches: ``Matches`` made without a threshold, as ``simnb.matching.match(neighbors)`` makes them.
        labels: True class of each query, shape [num_queries].
        known_labels: The classes of the gallery; queries of any other class are unknown. When left out,
            only queries labelled ``UNKNOWN`` are.
        threshold: Where a line is drawn, and up to which the note counts; None for none.
        distance: Name of the distance, for the axis.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the median distances when left out.

    Returns:
        The ``Axes``. Each histogram adds up to 100 %, however many queries it has. A query that got no label,
        because no neighbor had one, stands at the right edge, among the wrong ones if its class is known.

    Raises:
        ValueError: If there is no query, lengths differ, a distance or the threshold is NaN, or the matches
            were made with a threshold.
    """
    distances, kinds = _kinds(matches, labels, known_labels)
    threshold = None if threshold is None else _threshold(threshold, distances.dtype)
    axis = _ranges.DistanceAxis.of(distances, [] if threshold is None else threshold)
    ax = _style.plain_axes(ax, (7.4, 3.8))
    edges = _edges(len(distances), axis)
    for kind, (name, look) in _KINDS.items():
        of_kind = distances[kinds == kind]
        if len(of_kind):
            shares = 100 * _count(of_kind, edges, axis) / len(of_kind)
            label = f"{name}: {_style.count(len(of_kind), 'query')}"
            ax.stairs(shares, edges, label=label, gid=kind, **look)
    if threshold is not None:
        _mark_threshold(ax, axis, threshold)
    axis.dress(ax, f"{_style.distance_name(distance)} of the neighbor that decides")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("share of the queries of a kind (%)")
    place = {"loc": "upper right", "bbox_to_anchor": (0.9, 1.0)} if axis.above else {}
    ax.legend(framealpha=0.9, edgecolor="none", fontsize=9, **place)
    note = "" if threshold is None else _within(distances, kinds, threshold)
    above = 0 if threshold is None else 15
    _style.heading(ax, title or _medians(distances, kinds), note, above=above)
    return ax


def distance_shift(
    one,
    other,
    *,
    names=("calibration", "queries"),
    distance=None,
    statistic=None,
    p_value=None,
    ax=None,
    title=None,
):
    """Draw whether distances lie where they lay before: two distribution functions, and their largest gap.

    A threshold that was chosen on the one means the same for the other where the curves agree.

    Args:
        one: Distances, shape [num_one]; ``inf`` where there was no neighbor.
        other: Distances, shape [num_other].
        names: What the two are called.
        distance: Name of the distance, for the axis.
        statistic: The Kolmogorov-Smirnov statistic that a test gave, for the note; the largest gap when
            left out.
        p_value: The p-value that the test gave, for the note; left out when left out.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the largest gap when left out.

    Returns:
        The ``Axes``. Of many distances about two thousand are drawn, those at the gap always among them.

    Raises:
        ValueError: If there is no distance, one is NaN, the names are not two different ones, or the
            statistic or the p-value is not from 0 to 1.
    """
    one, other = _ranges.distances(one, name="one"), _ranges.distances(other, name="other")
    names = tuple(names) if not isinstance(names, str) else (names,)
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"names must be two different ones, got {names!r}")
    axis = _ranges.DistanceAxis.of(one, other)
    ax = _style.plain_axes(ax, (7.0, 3.8))
    both = np.union1d(one, other)
    shares = [np.searchsorted(np.sort(each), both, side="right") / len(each) for each in (one, other)]
    at = int(np.abs(shares[0] - shares[1]).argmax())
    styles = ({"color": _style.RIGHT, "ls": "-"}, {"color": _style.WRONG, "ls": (0, (4, 1.6))})
    for name, each, look in zip(names, (one, other), styles, strict=True):
        label = f"{_style.plain(name)}: {_style.count(len(each), 'distance')}"
        x, y = _steps(each, both[at], axis)
        ax.plot(x, y, drawstyle="steps-post", lw=2, label=label, gid=visible(str(name)), **look)
    gap = abs(shares[0][at] - shares[1][at])
    _mark_gap(ax, axis, both[at], sorted((shares[0][at], shares[1][at])))
    axis.dress(ax, _style.distance_name(distance))
    ax.set(ylim=(-0.02, 1.03), ylabel="share at or below the distance (%)")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    ax.grid(axis="y", color=_style.FAINT, lw=0.8)
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    where = f" at distance {_style.number(both[at])}" if gap else ""
    note = _tested(gap if statistic is None else statistic, p_value)
    _style.heading(ax, title or f"Largest gap: {_ranges.percent(gap)}{where}", note)
    return ax


def _kinds(matches, labels, known_labels):
    """Distance of each query, ``inf`` where it got no label, and its kind."""
    distances = _ranges.distances(matches.distances, name="matches.distances")
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
    ax.axvline(x, color=_style.INK, lw=1.2, ls=(0, (4, 3)), gid="threshold")
    low, high = axis.limits
    share = (x - low) / (high - low)
    side = "left" if share < 0.12 else "right" if share > 0.88 else "center"
    text = {-np.inf: "reject everything", np.inf: "accept everything"}.get(float(threshold))
    ax.annotate(
        text or f"threshold {_style.number(threshold)}", (x, 1), xycoords=("data", "axes fraction"),
        xytext=(0, 3), textcoords="offset points", ha=side, va="bottom", fontsize=9, color=_style.INK,
    )  # fmt: skip


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
            medians.append(f"{kind} {_style.number(median) if np.isfinite(median) else 'infinite'}")
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
    ax.plot([x, x], shares, color=_style.INK, lw=2.4, marker="_", ms=9, mew=2.4, gid="gap")
    low, high = axis.limits
    # Curves rise: above them there is room to the left, and below them to the right.
    left = x - low > 0.18 * (high - low)
    if left:
        at, place = shares[1], {"xytext": (-8, 2), "ha": "right", "va": "bottom"}
    else:
        at, place = max(shares[0], 0.06), {"xytext": (8, -2), "ha": "left", "va": "top"}
    ax.annotate(
        f"gap {_ranges.percent(shares[1] - shares[0])}", (x, at), textcoords="offset points", fontsize=9,
        color=_style.INK, **place,
    )  # fmt: skip


def _tested(statistic, p_value):
    statistic = float(_ranges.rates(statistic, name="statistic", dims=(0,)))
    note = f"Kolmogorov-Smirnov statistic {statistic:.3f}"
    if p_value is None:
        return note
    p_value = float(_ranges.rates(p_value, name="p_value", dims=(0,)))
    return f"{note}, p-value {f'{p_value:.3f}' if p_value >= 0.001 else 'below 0.001'}"
