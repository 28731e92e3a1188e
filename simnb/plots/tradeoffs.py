"""Figures of what is gained and what it costs: recall against time, rates against a gallery's size."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from simnb.plots import _style

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
            marker=_style.MARKERS[i % len(_style.MARKERS)], ms=6, lw=1.8, label=str(name), gid=str(name),
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
    for i, (name, values) in enumerate(rates.items()):
        ax.plot(
            sizes, values, color=_COLORS[i % len(_COLORS)], marker=_style.MARKERS[i % len(_style.MARKERS)],
            ms=6, lw=1.8, label=str(name).replace("_", " "), gid=str(name),
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    ax.set(xlabel="rows in the gallery", ylabel="rate (%)", ylim=(-0.02, 1.02))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    ax.grid(color=_style.FAINT, lw=0.8)
    ax.legend(frameon=False, fontsize=9)
    _style.heading(ax, title or "Rates as the gallery grows")
    return ax
