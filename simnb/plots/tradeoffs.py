"""Figures of what is gained and what it costs: recall against time, rates against rows or examples."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from simnb import _checks
from simnb._text import visible
from simnb.plots import _ranges, _style

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8a6d00", "#222222")


def recall_against_time(tried, *, target=None, ax=None, title=None):
    """Draw what graph search finds against how long it takes: a line a graph, a dot a setting.

    Args:
        tried: A dict: for each name a list of ``simnb.index.Tuning``, as ``index.tune`` returns.
        target: Where a line is drawn for the recall that is wanted; None for none.
        ax: Axes to draw into; new ones when left out.
        title: What to see.

    Returns:
        The ``Axes``. Times are on a logarithmic scale.

    Raises:
        ValueError: If nothing was tried.
    """
    if not tried or not all(len(settings) for settings in tried.values()):
        raise ValueError("tried must hold a list of at least one Tuning a name, got none")
    ax = _style.plain_axes(ax, (7.2, 4.0))
    for i, (name, settings) in enumerate(tried.items()):
        times = [one.milliseconds for one in settings]
        ax.plot(
            times, [one.recall for one in settings], color=_COLORS[i % len(_COLORS)],
            marker=_style.MARKERS[i % len(_style.MARKERS)], ms=6, lw=1.8,
            label=_style.plain(name), gid=visible(str(name)),
        )  # fmt: skip
        for one, offset in ((settings[0], (6, -12)), (settings[-1], (-24, 8))):
            ax.annotate(
                f"breadth {one.breadth}", (one.milliseconds, one.recall), xytext=offset,
                textcoords="offset points", fontsize=8, color=_style.MUTED,
            )  # fmt: skip
    if target is not None:
        ax.axhline(target, color=_style.MUTED, lw=1.2, ls=":", gid="target")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.margins(x=0.12)
    ax.set(
        xlabel="milliseconds a query, many asked at once",
        ylabel="recall: true neighbors found (%)",
        ylim=(-0.04, 1.12),
    )
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    ax.grid(color=_style.FAINT, lw=0.8)
    ax.legend(frameon=False, fontsize=9)
    _style.heading(ax, title or "Recall against time", "" if target is None else f"dotted: {target:.0%}")
    return ax


def rates_by_size(sizes, rates, *, ax=None, title=None):
    """Draw how rates change as a gallery grows.

    Args:
        sizes: Rows of the gallery, ascending, shape [n].
        rates: A dict: for each name the rate at each size, from 0 to 1, shape [n].
        ax: Axes to draw into; new ones when left out.
        title: What to see.

    Returns:
        The ``Axes``. Sizes are on a logarithmic scale.

    Raises:
        ValueError: If the lengths differ or there is no rate.
    """
    sizes = np.asarray(sizes)
    wrong = [name for name, values in rates.items() if len(values) != len(sizes)]
    if not rates or wrong:
        name = wrong[0] if wrong else None
        raise ValueError(
            f"rates must hold {len(sizes)} values a name, one a size, "
            f"got {'none' if name is None else f'{len(rates[name])} for {name!r}'}"
        )
    ax = _style.plain_axes(ax, (7.2, 4.0))
    _rate_lines(ax, sizes, rates)
    ax.set(xlabel="rows in the gallery", ylabel="rate (%)", ylim=(-0.02, 1.02))
    ax.legend(frameon=False, fontsize=9)
    _style.heading(ax, title or "Rates as the gallery grows")
    return ax


def rates_by_shots(shots, rates, *, metric="accuracy", chance=None, ax=None, title=None):
    """Draw what more examples a class in the gallery bring: a line a way, a small dot a draw of examples.

    Args:
        shots: Examples a class, ascending, shape [num_shots].
        rates: A dict: for each name the rate at each number of shots, from 0 to 1, shape [num_shots]; or
            [num_repeats, num_shots], where the examples were drawn several times.
        metric: What the rates are.
        chance: Where a line is drawn for what guessing gives; None for none.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the best mean at the most shots when left out.

    Returns:
        The ``Axes``. Lines are the means over the draws, bands reach from the least to the largest. Shots
        are on a logarithmic scale.

    Raises:
        ValueError: If shots are not ascending integers of at least 1, the lengths differ, or there is no rate
            or one that is not from 0 to 1.
    """
    shots = _checks.not_empty(_checks.labels(shots, name="shots"), name="shots")
    if shots[0] < 1 or (np.diff(shots) <= 0).any():
        raise ValueError(f"shots must be ascending integers of at least 1, got {shots.tolist()}")
    if not rates:
        raise ValueError("rates must hold at least one name with its rates, got none")
    draws = {name: _draws(values, len(shots), name) for name, values in rates.items()}
    ax = _style.plain_axes(ax, (7.2, 4.0))
    if chance is not None:
        chance = float(_ranges.rates(chance, name="chance", dims=(0,)))
        ax.axhline(chance, color=_style.MUTED, lw=1.2, ls=":", gid="chance")
    for i, (name, of_name) in enumerate(draws.items()):
        if len(of_name) > 1:
            _draw_draws(ax, shots, of_name, name, _COLORS[i % len(_COLORS)])
    means = {name: of_name.mean(axis=0) for name, of_name in draws.items()}
    _rate_lines(ax, shots, means)
    if len(shots) == 1:
        ax.set_xlim(shots[0] / 2, shots[0] * 2)
    ax.set(xlabel="examples a class in the gallery", ylabel=f"{_style.plain(metric)} (%)")
    ax.legend(frameon=False, fontsize=9)
    best = max(means, key=lambda name: means[name][-1])
    most = _style.count(int(shots[-1]), "example")
    found = f"{_name(best)}: {means[best][-1]:.1%} with {most} a class"
    _style.heading(ax, title or found, _shots_note(draws, chance))
    return ax


def _rate_lines(ax, at, rates):
    """A line a name, with a marker and a tick at each position of a logarithmic axis."""
    for i, (name, values) in enumerate(rates.items()):
        ax.plot(
            at, values, color=_COLORS[i % len(_COLORS)], marker=_style.MARKERS[i % len(_style.MARKERS)],
            ms=6, lw=1.8, label=_name(name), gid=visible(str(name)),
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(at, [f"{value:,}" for value in at])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    ax.grid(color=_style.FAINT, lw=0.8)


def _name(name):
    return _style.plain(name).replace("_", " ")


def _draws(values, count, name):
    """Rates of shape [num_repeats, num_shots]."""
    values = np.atleast_2d(_ranges.rates(values, name="rates", of=f" for {name!r}", dims=(1, 2)))
    if values.shape[1] != count:
        raise ValueError(
            f"rates must hold {count} values a name, one a number of shots, "
            f"got {values.shape[1]} for {name!r}"
        )
    return values


def _draw_draws(ax, shots, draws, name, color):
    ax.fill_between(
        shots,
        draws.min(axis=0),
        draws.max(axis=0),
        color=color,
        alpha=0.13,
        lw=0,
        gid=visible(f"band: {name}"),
    )
    x = np.tile(shots, len(draws))
    ax.plot(x, draws.ravel(), "o", color=color, ms=3.2, alpha=0.5, mew=0, gid=visible(f"draws: {name}"))


def _shots_note(draws, chance):
    note = ["line: mean", "dot: a draw of examples", "band: all draws"]
    note = note if any(len(of_name) > 1 for of_name in draws.values()) else []
    return "    ".join(note + ([] if chance is None else [f"dotted: chance, {chance:.1%}"]))
