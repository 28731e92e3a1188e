"""Figures of whether what was said beforehand holds: probabilities, and promised rates."""

import numpy as np
from scipy.special import betaincinv

from simnb import _checks
from simnb._text import visible
from simnb.calibration import expected_calibration_error, reliability
from simnb.plots import _ranges, _style

_CONFIDENCE = 0.95
_STRIP = (-0.15, -0.03)  # where the histogram of the probabilities stands
_STRIP_BINS = 50
_PROMISE_BINS = 40
_WIDTH, _PER_ROW = 7.4, 0.62  # inches


def reliability_diagram(probabilities, right, *, bins=10, ax=None, title=None):
    """Draw how often a probability came true: on the diagonal it means what it says.

    Args:
        probabilities: Predicted probability that each answer is right, shape [num_answers].
        right: Whether it is, shape [num_answers] bool, or 0 and 1.
        bins: How many bins share the answers equally, from the least probable to the most; answers of one
            probability stay together, so there may be fewer.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the expected calibration error when left out.

    Returns:
        The ``Axes``. A dot stands at the mean probability of a bin and the share of it that is right, with
        the exact (Clopper-Pearson) 95 % interval of that share. The strip below holds all probabilities.

    Raises:
        ValueError: If there is no answer, lengths differ, a probability is not from 0 to 1, or ``right`` is
            something else than true and false.

    References:
        Guo et al., On Calibration of Modern Neural Networks, 2017. https://arxiv.org/abs/1706.04599
    """
    probabilities = _ranges.rates(probabilities, name="probabilities")
    right = _truth(right, len(probabilities))
    predicted, share, counts = reliability(probabilities, right, bins=bins)
    error = expected_calibration_error(probabilities, right, bins=bins)
    ax = _style.plain_axes(ax, (5.4, 5.2))
    ax.plot([0, 1], [0, 1], color=_style.MUTED, lw=1.2, ls=":", gid="perfect")
    _draw_strip(ax, probabilities)
    low, high = _exact_interval(np.rint(share * counts), counts)
    ax.vlines(predicted, low, high, color=_style.RIGHT, lw=1.6, gid="intervals")
    ax.plot(
        predicted, share, "-o", color=_style.RIGHT, lw=0.9, ms=6.5, mec="white", clip_on=False, zorder=3,
        gid="bins",
    )  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(_STRIP[0] - 0.01, 1.03), yticks=np.linspace(0, 1, 6))
    ax.set(xlabel="predicted probability (%)", ylabel="answers that are right (%)")
    for axis in (ax.xaxis, ax.yaxis):
        _ranges.percent_axis(axis)
    ax.grid(color=_style.FAINT, lw=0.8)
    note = f"dot: {_sizes(counts)}    bar: 95% interval\ndotted: as predicted    strip: all probabilities"
    _style.heading(ax, title or f"Expected calibration error {error:.1%}", note)
    return ax


def promise_kept(
    achieved, *, target, metric="precision", confidence=None, limit="at least", ax=None, title=None
):
    """Draw how often a promised rate was reached on new data: a row a way to promise, a histogram of trials.

    Args:
        achieved: A dict of arrays: for each way the rate reached in each trial, such as a new split into
            calibration and test queries, from 0 to 1; NaN where nothing was promised.
        target: The rate that was promised, from 0 to 1.
        metric: What the rates are.
        confidence: With which probability each promise was to hold, for the note; None where none was said.
        limit: ``at least``: the promise is broken below the target; ``at most``: above it.
        ax: Axes to draw into; new ones when left out.
        title: What to see; how often the promise was broken when left out.

    Returns:
        The ``Axes``. Each histogram is as high as its row allows, so that only its shape can be compared.
        Trials without a promise are counted under the row's name and not drawn; they break none, and are
        among the trials that the shares are of.

    Raises:
        ValueError: If there is no trial of a way, a rate is not from 0 to 1, or the limit is unknown.
    """
    _checks.one_of(limit, ("at least", "at most"), name="limit")
    target = float(_ranges.rates(target, name="target", dims=(0,)))
    if confidence is not None:
        confidence = float(_ranges.rates(confidence, name="confidence", dims=(0,)))
    if not achieved:
        raise ValueError("achieved must hold at least one way with its rates, got none")
    rates = {
        str(name): _ranges.rates(of_name, name="achieved", of=f" for {name!r}", nan=True)
        for name, of_name in achieved.items()
    }
    room = None if ax is not None else _WIDTH
    ax = _style.plain_axes(ax, (_WIDTH, 1.55 + _PER_ROW * len(rates)))
    edges = _promise_edges(np.concatenate(list(rates.values())), target)
    ax.axvline(target, color=_style.INK, lw=1.2, ls=(0, (4, 3)), gid="target")
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
    ax.set(xlim=(edges[0], edges[-1]), ylim=(0.94 - len(rates), 0.92), xlabel=f"{_style.plain(metric)} (%)")
    _ranges.percent_axis(ax.xaxis)
    if room:
        room -= 0.25 + 0.08 * max(len(line) for label in labels for line in label.split("\n"))
    promise = f"{limit} {_ranges.percent(target)} {_style.plain(metric)}"
    _style.heading(ax, title or _promise_title(promise, broken), _promise_note(confidence), inches=room)
    return ax


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
    return _style.count(int(high), "answer") if low == high else f"{low:,} to {high:,} answers"


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
    ax.axhline(row, color=_style.FAINT, lw=0.8, zorder=0)
    # A rate at an edge belongs to the bin on the far side from the broken ones, whatever it is rounded to.
    side, width = 1e-6 if limit == "at least" else -1e-6, edges[1] - edges[0]
    bins = np.floor((rates - edges[0]) / width + side).astype(np.int64)
    counts = [np.bincount(bins[these], minlength=len(edges) - 1) for these in (kept, ~kept)]
    top = max(1, *(part.max() for part in counts))
    looks = {"kept": {"color": _style.RIGHT}, "broken": {"color": _style.WRONG}}
    for (kind, look), part in zip(looks.items(), counts, strict=True):
        ax.stairs(
            row + 0.8 * part / top, edges, baseline=row, fill=True, gid=visible(f"{kind}: {name}"), **look
        )
    at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 9}
    if not len(rates):
        ax.annotate("no promise", (1, row + 0.35), xytext=(8, 0), va="center", color=_style.MUTED, **at)
        return
    text = f"{_ranges.percent((~kept).sum() / trials)} broken"
    ax.annotate(
        text, (1, row + 0.35), xytext=(8, 1), va="bottom", color=_style.WRONG, fontweight="bold",
        gid=visible(f"share: {name}"), **at,
    )  # fmt: skip
    of = f"{(~kept).sum():,} of {trials:,}"
    ax.annotate(of, (1, row + 0.35), xytext=(8, -1), va="top", color=_style.MUTED, **at)


def _row_name(name, rates):
    name, none = _style.shorten(_style.plain(name), 2.4, 9), int(np.isnan(rates).sum())
    return f"{name}\n{none:,} of {len(rates):,} promised nothing" if none else name


def _promise_title(promise, broken):
    if not broken:
        return f"No trial was promised {promise}"
    low, high = _ranges.percent(min(broken)), _ranges.percent(max(broken))
    shares = low if low == high else f"{low} to {high}"
    return f"{promise[:1].upper()}{promise[1:]}: missed in {shares} of trials"


def _promise_note(confidence):
    note = "dashed: promised    vermilion: broken"
    if confidence is None:
        return note
    allowed, sure = _ranges.percent(1 - confidence), _ranges.percent(confidence)
    return f"{note}, as {allowed} may be with {sure} confidence"
