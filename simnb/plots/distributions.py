"""Figures of how values lie: repeated runs side by side, distances within and between classes."""

import numpy as np

from simnb import _checks
from simnb._text import visible
from simnb.distances import pairwise
from simnb.plots import _style

_BINS = 50
_PER_ROW = 0.34  # inches


def spread(runs, *, metric="R@1", chance=None, ax=None, title=None):
    """Draw repeated runs of several ways to do something: a row a way, a dot a run, a bar at their mean.

    Two ways whose dots overlap are not told apart by these runs, whatever their means are.

    Args:
        runs: A dict of lists, the value of each run by the name of the way; larger is better. The best mean
            comes first.
        metric: What the values are.
        chance: Where a line is drawn for what guessing gives; None for none.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the best mean when left out.

    Returns:
        The ``Axes``.

    Raises:
        ValueError: If there is no run of a way, or a value is not finite.
    """
    if not runs:
        raise ValueError("runs must hold at least one way with its values, got none")
    values = {str(name): _finite(of_name, name) for name, of_name in runs.items()}
    order = sorted(values, key=lambda name: values[name].mean())
    ax = _style.plain_axes(ax, (6.4, 1.5 + _PER_ROW * len(order)))
    rows = range(len(order))
    ax.hlines(rows, 0, 1, transform=ax.get_yaxis_transform(), color=_style.FAINT, lw=0.8, zorder=0)
    if chance is not None:
        ax.axvline(chance, color=_style.MUTED, lw=1.2, ls=":", gid="chance")
    for row, name in zip(rows, order, strict=True):
        of_name = values[name]
        ax.plot(
            of_name, np.full(len(of_name), row), "o", color=_style.RIGHT, ms=7, alpha=0.75, mec="white",
            gid=visible(f"runs: {name}"),
        )  # fmt: skip
        ax.plot(of_name.mean(), row, "|", color=_style.INK, ms=15, mew=2.2, gid=visible(f"mean: {name}"))
    ax.set_yticks(rows, list(map(_style.plain, order)))
    ax.set(ylim=(-0.6, len(order) - 0.4), xlabel=_style.plain(metric))
    note = "dot: a run    bar: mean" + ("" if chance is None else "    dotted: chance")
    best = f"{_style.plain(order[-1])} has the highest mean, {_style.number(values[order[-1]].mean())}"
    _style.heading(ax, title or best, note)
    return ax


def pair_distances(embeddings, labels, *, distance="cosine", limits=None, ax=None, title=None):
    """Draw how far pairs of one class lie apart, and pairs of two classes: two histograms.

    Where they do not overlap, one threshold tells same from different. Where both stand at 0, the
    embedding has collapsed.

    Args:
        embeddings: Shape [num_examples, dim]; some hundred are plenty, for every pair is measured.
        labels: Class of each, shape [num_examples].
        distance: One of ``simnb.distances.DISTANCES``.
        limits: From which to which distance the bins reach, so that figures can be compared; what lies
            beyond is counted in the outermost. From 0 to the largest distance when left out.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the two mean distances when left out.

    Returns:
        The ``Axes``. Each histogram adds up to 100 %, though there are far more pairs of two classes.

    Raises:
        ValueError: If lengths differ, a value is not finite, the distance is unknown, the limits are no two
            ascending numbers, or there is no pair of one class or none of two.
    """
    embeddings = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings")
    labels = _checks.labels(labels, count=len(embeddings))
    measured = pairwise(embeddings, embeddings, distance)
    same = labels[:, None] == labels[None, :]
    # Each direction counts, for not every distance is symmetric; no example with itself.
    pairs = {"one class": measured[same & ~np.eye(len(labels), dtype=bool)], "two classes": measured[~same]}
    for name, of_kind in pairs.items():
        if not of_kind.size:
            raise ValueError(f"labels must hold a pair of {name}, got {_style.count(len(labels), 'label')}")
    ax = _style.plain_axes(ax, (6.4, 3.4))
    low, high = _limits(limits, measured)
    bins = np.linspace(low, high, _BINS + 1)
    styles = {
        "one class": {"color": _style.RIGHT, "histtype": "stepfilled", "alpha": 0.55},
        "two classes": {"color": _style.WRONG, "histtype": "step", "lw": 1.8, "ls": "--"},
    }
    means = {}
    for name, of_kind in pairs.items():
        means[name] = float(of_kind.mean(dtype=np.float64))
        shares = np.full(of_kind.size, 100 / of_kind.size)
        inside = np.clip(of_kind, low, high)
        ax.hist(inside, bins, weights=shares, label=f"pairs of {name}", gid=name, **styles[name])
    ax.set(xlabel=_style.distance_name(distance), ylabel="share of the pairs (%)")
    ax.legend(frameon=False, fontsize=9)
    near, far = (_style.number(mean) for mean in means.values())
    _style.heading(ax, title or f"Mean {_style.distance_name(distance)}: one class {near}, two {far}")
    return ax


def _finite(values, name):
    values = np.asarray(values, dtype=np.float64).ravel()
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"runs must hold finite values, one or more, got {values.tolist()} for {name!r}")
    return values


def _limits(limits, distances):
    """The ends of the bins: those given, else from 0, where no distance is below, to the largest."""
    if limits is None:
        low, high = min(float(distances.min()), 0.0), float(distances.max())
        return low, high if high > low else low + 1e-6
    if len(limits) != 2 or not -np.inf < limits[0] < limits[1] < np.inf:
        raise ValueError(f"limits must be two ascending numbers, got {limits!r}")
    return float(limits[0]), float(limits[1])
