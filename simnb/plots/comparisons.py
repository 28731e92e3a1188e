"""Figures that compare ways to do something: repeated runs, recall against time, rates against sizes."""

import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike

from simnb import _checks
from simnb._text import visible
from simnb.index import Tuning
from simnb.metrics import Interval
from simnb.plots import styling

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8a6d00", "#222222")
_DOTTED: dict[str, Any] = {"color": styling.MUTED, "lw": 1.2, "ls": ":"}
_PER_ROW = 0.34  # inches
_SETTING = re.compile(r"\d+-way \d+-shot")
_LEGEND = 2.5  # inches, for a name in a legend of two columns
_LEAST = 0.0005  # of the answers: where errors near none are drawn


def spread(
    runs: Mapping[str, ArrayLike],
    *,
    metric: str = "R@1",
    chance: float | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw repeated runs of several ways to do something: a row for each way, with a dot for each run.

    Two ways whose dots overlap are not told apart by these runs, whatever their means are.

    Args:
        runs: A dict of lists: for each way its runs' values; larger is better, and the best mean comes first.
        metric: What the values are.
        chance: Where a line is drawn for what guessing gives; None for none.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the best mean by default.

    Returns:
        The ``Axes``.

    Raises:
        ValueError: If there is no run of a way, or a value is not finite.
    """
    if not runs:
        raise ValueError("runs must hold at least one way with its values, got none")
    values = {str(name): _finite(of_name, name) for name, of_name in runs.items()}
    order = sorted(values, key=lambda name: values[name].mean())
    ax = styling.plain_axes(ax, (6.4, 1.5 + _PER_ROW * len(order)))
    rows = range(len(order))
    ax.hlines(rows, 0, 1, transform=ax.get_yaxis_transform(), color=styling.FAINT, lw=0.8, zorder=0)
    if chance is not None:
        ax.axvline(chance, gid="chance", **_DOTTED)
    for row, name in zip(rows, order, strict=True):
        of_name = values[name]
        look: dict[str, Any] = {"color": styling.RIGHT, "ms": 7, "alpha": 0.75, "mec": "white"}
        ax.plot(of_name, np.full(len(of_name), row), "o", gid=visible(f"runs: {name}"), **look)
        ax.plot(of_name.mean(), row, "|", color=styling.INK, ms=15, mew=2.2, gid=visible(f"mean: {name}"))
    ax.set_yticks(rows, list(map(styling.plain, order)))
    ax.set(ylim=(-0.6, len(order) - 0.4), xlabel=styling.plain(metric))
    note = "dot: a run    bar: mean" + ("" if chance is None else "    dotted: chance")
    best = f"{styling.plain(order[-1])} has the highest mean, {styling.number(values[order[-1]].mean())}"
    styling.heading(ax, title or best, note)
    return ax


def recall_against_time(
    tried: Mapping[str, Sequence[Tuning]],
    *,
    target: float | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw what graph search finds against how long it takes: a line for each graph, a dot for each setting.

    Args:
        tried: A dict: for each name a list of ``simnb.index.Tuning``, as ``index.tune`` returns.
        target: Where a line is drawn for the recall that is wanted; None for none.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure.

    Returns:
        The ``Axes``. Times are on a logarithmic scale.

    Raises:
        ValueError: If nothing was tried.
    """
    if not tried or not all(len(settings) for settings in tried.values()):
        raise ValueError("tried must hold at least one Tuning for each name, got none")
    ax = styling.plain_axes(ax, (7.2, 4.0))
    for i, (name, settings) in enumerate(tried.items()):
        times, recalls = [one.milliseconds for one in settings], [one.recall for one in settings]
        _draw_line(ax, i, times, recalls, name, styling.plain(name))
        first = (6, -12) if len(settings) > 1 else (-24, 8)
        ends = [(settings[0], first), (settings[-1], (-24, 8))]
        for one, offset in ends[: len(settings)]:
            at, text = (one.milliseconds, one.recall), f"breadth {one.breadth}"
            styling.write(ax, text, at, offset, fontsize=8, color=styling.MUTED)
    if target is not None:
        ax.axhline(target, gid="target", **_DOTTED)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.margins(x=0.12)
    ax.set(xlabel="milliseconds a query, many asked at once", ylim=(-0.04, 1.12))
    ax.set_ylabel("recall: true neighbors found (%)")
    styling.percent_axis(ax, "y", grid="both")
    ax.legend(frameon=False, fontsize=9)
    styling.heading(ax, title or "Recall against time", "" if target is None else f"dotted: {target:.0%}")
    return ax


def rates_by_size(
    sizes: ArrayLike, rates: Mapping[str, ArrayLike], *, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw how rates change as a gallery grows.

    Args:
        sizes: Rows of the gallery, ascending, shape [n].
        rates: A dict: for each name the rate at each size, from 0 to 1, shape [n].
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure.

    Returns:
        The ``Axes``. Sizes are on a logarithmic scale.

    Raises:
        ValueError: If the lengths differ or there is no rate.
    """
    sizes = np.asarray(sizes)
    lines = {name: np.asarray(values) for name, values in rates.items()}
    wrong = [f"{len(values)} for {name!r}" for name, values in lines.items() if len(values) != len(sizes)]
    if not lines or wrong:
        raise ValueError(
            f"rates must hold {len(sizes)} values for each name, one for each size, "
            f"got {wrong[0] if wrong else 'none'}"
        )
    ax = styling.plain_axes(ax, (7.2, 4.0))
    _rate_lines(ax, sizes, lines)
    ax.set(xlabel="rows in the gallery", ylabel="rate (%)", ylim=(-0.02, 1.02))
    styling.heading(ax, title or "Rates as the gallery grows")
    return ax


def rates_by_shots(
    shots: ArrayLike,
    rates: Mapping[str, ArrayLike],
    *,
    metric: str = "accuracy",
    chance: float | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw what more examples of each class in the gallery bring; the small dots are single draws.

    Args:
        shots: Examples a class, ascending, shape [num_shots].
        rates: A dict: for each name the rate at each number of shots, from 0 to 1, shape [num_shots]; or
            [num_repeats, num_shots], where the examples were drawn several times.
        metric: What the rates are.
        chance: Where a line is drawn for what guessing gives; None for none.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the best mean at the most shots by default.

    Returns:
        The ``Axes``, with a logarithmic scale. Lines are means of the draws, bands hold all of them.

    Raises:
        ValueError: If shots do not ascend from 1 or more, lengths differ, or a rate is missing or not 0 to 1.
    """
    shots = _checks.not_empty(_checks.labels(shots, name="shots"), name="shots")
    if shots[0] < 1 or (np.diff(shots) <= 0).any():
        raise ValueError(f"shots must be ascending integers of at least 1, got {shots.tolist()}")
    if not rates:
        raise ValueError("rates must hold at least one name with its rates, got none")
    draws = {name: _draws(values, len(shots), name) for name, values in rates.items()}
    ax = styling.plain_axes(ax, (7.2, 4.0))
    if chance is not None:
        chance = _checks.number(chance, name="chance", at_least=0, at_most=1)
        ax.axhline(chance, gid="chance", **_DOTTED)
    for color, (name, of_name) in zip(cycle(_COLORS), draws.items(), strict=False):
        if len(of_name) > 1:
            low, high, x = of_name.min(axis=0), of_name.max(axis=0), np.tile(shots, len(of_name))
            ax.fill_between(shots, low, high, color=color, alpha=0.13, lw=0, gid=visible(f"band: {name}"))
            dots: dict[str, Any] = {"color": color, "ms": 3.2, "alpha": 0.5, "mew": 0}
            ax.plot(x, of_name.ravel(), "o", gid=visible(f"draws: {name}"), **dots)
    means = {name: of_name.mean(axis=0) for name, of_name in draws.items()}
    _rate_lines(ax, shots, means)
    if len(shots) == 1:
        ax.set_xlim(shots[0] / 2, shots[0] * 2)
    ax.set(xlabel="examples a class in the gallery", ylabel=f"{styling.plain(metric)} (%)")
    best = max(means, key=lambda name: means[name][-1])
    most = styling.count(int(shots[-1]), "example")
    found = f"{_name(best)}: {means[best][-1]:.1%} with {most} a class"
    several = any(len(of_name) > 1 for of_name in draws.values())
    note = ["line: mean", "dot: a draw of examples", "band: all draws"] if several else []
    note += [] if chance is None else [f"dotted: chance, {chance:.1%}"]
    styling.heading(ax, title or found, "    ".join(note))
    return ax


def few_shot_errors(
    figures: Mapping[str, Mapping[str, Interval]],
    *,
    published: Mapping[str, Mapping[str, float]] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how many answers are wrong in N-way K-shot, by embedding, beside figures of others.

    Accuracies near 1 look alike; on a logarithmic scale their errors do not. An error below 0.05% is drawn
    there.

    Args:
        figures: Accuracies as ``simnb.evaluation.unseen_classes`` has them in ``figures``: an ``Interval`` by
            metric and embedding. Metrics such as ``5-way 1-shot`` are drawn, in their order, and no others.
        published: Accuracies of others by name and metric, drawn hollow; None for none.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the embedding with the fewest errors in the last setting by default.

    Returns:
        The ``Axes``. Vertical bars are the intervals.

    Raises:
        ValueError: If there is no such metric, or an accuracy that is drawn is not from 0 to 1.
    """
    settings = [metric for metric in figures if _SETTING.fullmatch(metric)]
    if not settings:
        raise ValueError(f"figures must hold a metric such as '5-way 1-shot', got {_checks.listed(figures)}")
    ax = styling.plain_axes(ax, (7.2, 4.2))
    ours, theirs = list(figures[settings[0]]), dict(published or {})
    places, step = np.arange(len(settings)), 0.5 / (len(ours) + len(theirs))
    for i, name in enumerate([*ours, *theirs]):
        x, color = places - 0.25 + (i + 0.5) * step, _COLORS[i % len(_COLORS)]
        if i < len(ours):
            of_name = [figures[setting][name] for setting in settings]
            low, high = (_errors([getattr(one, end) for one in of_name], name) for end in ("high", "low"))
            ax.vlines(x, low, high, color=color, lw=1.6, gid=visible(f"intervals: {name}"))
            wrong, fill = _errors([one.value for one in of_name], name), color
        else:
            wrong, fill = _errors([theirs[name].get(s, np.nan) for s in settings], name), "white"
        look: dict[str, Any] = {"marker": styling.MARKERS[i % len(styling.MARKERS)], "mfc": fill, "mew": 1.5}
        look["label"] = styling.shorten(_name(name), _LEGEND, 9)
        ax.plot(x, wrong, color=color, lw=0, ms=7, gid=visible(str(name)), **look)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.minorticks_off()
    ax.set(xticks=range(len(settings)), xticklabels=settings, xlim=(-0.5, len(settings) - 0.5))
    ax.set(xlabel="N-way: classes    K-shot: examples of each", ylabel="wrong answers (%)")
    styling.percent_axis(ax, "y", grid="y")
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.18), ncols=2)
    best = max(ours, key=lambda name: figures[settings[-1]][name].value)
    found = f"{_name(best)}: {1 - figures[settings[-1]][best].value:.1%} wrong at {settings[-1]}"
    note = "bar: interval" + ("    hollow: published" if theirs else "")
    styling.heading(ax, title or found, note)
    return ax


def _draw_line(ax, number, x, y, name, label):
    look = {"color": _COLORS[number % len(_COLORS)], "marker": styling.MARKERS[number % len(styling.MARKERS)]}
    ax.plot(x, y, ms=6, lw=1.8, label=label, gid=visible(str(name)), **look)


def _rate_lines(ax, at, rates):
    """A line a name, with a tick at each position of a logarithmic axis, and a legend of several."""
    for i, (name, values) in enumerate(rates.items()):
        _draw_line(ax, i, at, values, name, _name(name))
    ax.set_xscale("log")
    ax.set_xticks(at, [f"{value:,}" for value in at])
    ax.minorticks_off()
    styling.percent_axis(ax, "y", grid="both")
    if len(rates) > 1:
        ax.legend(frameon=False, fontsize=9)


def _name(name):
    return styling.plain(name).replace("_", " ")


def _errors(accuracies, name):
    """Shares of wrong answers, none of them too small to be drawn."""
    values = np.asarray(accuracies, np.float64)
    return np.maximum(
        1 - styling.check_rates(values, name="accuracies", of=f" for {name!r}", nan=True), _LEAST
    )


def _draws(values, count, name):
    """Rates of shape [num_repeats, num_shots]."""
    values = np.atleast_2d(styling.check_rates(values, name="rates", of=f" for {name!r}", repeats=True))
    if values.shape[1] != count:
        raise ValueError(
            f"rates must hold {count} values for each name, one for each number of shots, "
            f"got {values.shape[1]} for {name!r}"
        )
    return values


def _finite(values, name):
    values = np.asarray(values, dtype=np.float64).ravel()
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"runs must hold finite values, one or more, got {values.tolist()} for {name!r}")
    return values
