"""The five outcomes of a match: what a threshold makes of queries, with images and as shares."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from simnb import _checks
from simnb.calibration import Calibration
from simnb.data import Examples
from simnb.index import Neighbors
from simnb.matching import Matches
from simnb.metrics.matches import outcomes
from simnb.plots import styling
from simnb.plots.pictures import displayable, look_up, show_pixels

#: Of each outcome what it is called, its symbol, what was done, and its colour and hatch as an area.
_KINDS = (
    ("right", "✓", "answered", styling.RIGHT, ""),
    ("wrong", "✗", "answered", styling.WRONG, ""),
    ("missed", "?", "rejected", "#b8b8b8", ""),
    ("let in", "✗", "answered", "#f0a36b", "///"),
    ("kept out", "✓", "rejected", "#8fc1e3", "///"),
)
_GROUPS = (("known: the class is in the gallery", slice(0, 3)), ("unknown: it is not", slice(3, 5)))
_GAP = 0.42  # between columns, in widths of an image
_CELL = 0.98  # inches an image is wide
_LINE = 0.17  # inches


def match_outcomes(
    queries: Examples,
    neighbors: Neighbors,
    matches: Matches,
    gallery: Examples,
    *,
    title: str | None = None,
) -> Figure:
    """Draw the five outcomes of a match, each as a query above its nearest neighbor, and count them.

    A query whose class is in the gallery is answered rightly, answered wrongly, or rejected: *missed*. One
    of another class is answered, which is wrong, *let in*, or rejected, which is right, *kept out*.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        matches: ``Matches`` of the nearest of them at a threshold.
        gallery: ``Examples`` that were indexed.
        title: Heading of the figure; the share of right decisions by default.

    Returns:
        A ``Figure``. Of each outcome the query of the median distance is shown.

    Raises:
        ValueError: If lengths differ, there is no query, or an id is not in the gallery.
    """
    _checks.labelled(queries.labels, "match_outcomes")
    places = look_up(queries, neighbors, gallery)[:, 0]
    _checks.labels(matches.labels, count=len(neighbors), name="matches", of="neighbors")
    kinds = outcomes(matches.labels, queries.labels, gallery.labels)
    height = queries.images.shape[1] / queries.images.shape[2]
    step = 1 + _GAP
    figure, ax = plt.subplots(figsize=(5 * step * _CELL, (2 * height + 0.12) * _CELL + 10 * _LINE))
    for column, (kind, these) in enumerate(zip(_KINDS, kinds, strict=True)):
        left = column * step + 0.3 * (column > 2)
        _draw_outcome(ax, kind, left, height, (queries, neighbors, gallery), (places, these), kinds)
    for name, columns in _GROUPS:
        first, last = range(5)[columns][0], range(5)[columns][-1]
        left, right = (at * step + 0.3 * (at > 2) for at in (first, last))
        top = -2.9 * _LINE / _CELL
        ax.plot([left - 0.1, right + 1.1], [top, top], color=styling.MUTED, lw=1, clip_on=False)
        count = styling.count(int(kinds[columns].sum()), "query")
        look: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 9, "color": styling.INK}
        text = f"{count}, {name}" if columns.start == 0 else f"{count}, {name.partition(':')[0]}"
        ax.text((left + right + 1) / 2, top - 0.05, text, **look)
    ax.set(xlim=(-0.15, 5 * step + 0.05), aspect="equal", anchor="NW")
    ax.set_ylim(2 * height + 0.12 + 4.2 * _LINE / _CELL, -4.4 * _LINE / _CELL)
    ax.axis("off")
    share = kinds[[0, 4]].sum() / len(neighbors)
    number = styling.distance_name(neighbors.distance)
    note = f"above: the query    below: its nearest neighbor    number: {number}"
    styling.heading(
        ax, title or f"{share:.1%} of {styling.count(len(neighbors), 'query')} end well (✓)", note
    )
    figure.set_layout_engine("constrained")
    return figure


def _draw_outcome(ax, kind, left, height, examples, found, kinds):
    """One column: the name of the outcome, a query, its nearest neighbor, and how many there are."""
    name, symbol, done, _, _ = kind
    (queries, neighbors, gallery), (places, these) = examples, found
    verdict = {"✓": "right", "✗": "wrong", "?": "unknown"}[symbol]
    _, color, line = styling.VERDICTS[verdict]
    look: dict[str, Any] = {"ha": "center", "family": styling.SYMBOL_FONT}
    head = {"va": "bottom", "fontsize": 10, "weight": "bold", "color": color}
    ax.text(left + 0.5, -1.35 * _LINE / _CELL, f"{symbol} {name}", **head, **look)
    ax.text(left + 0.5, -0.35 * _LINE / _CELL, done, va="bottom", fontsize=8.5, color=styling.MUTED, **look)
    members = np.flatnonzero(these & (places >= 0))
    bottom = 2 * height + 0.12
    if len(members):
        distances = neighbors.distances[members, 0]
        query = int(members[np.argsort(distances, kind="stable")[(len(members) - 1) // 2]])
        for part, at, top in ((queries, query, 0.0), (gallery, int(places[query]), height + 0.12)):
            image = displayable(np.asarray(part.images[[at]]))[0]
            show_pixels(ax, image, (left, left + 1, top + height, top))
        names = [_name(queries, queries.labels[query]), _name(gallery, neighbors.labels[query, 0])]
        number = styling.number(float(neighbors.distances[query, 0]))
        frame = {"fill": False, "lw": 2.4, "ls": line, "ec": color, "clip_on": False, "gid": name}
        ax.add_patch(Rectangle((left - 0.03, -0.03), 1.06, bottom + 0.06, **frame))
    else:
        names, number = ["none", "none"], ""
    group = kinds[:3] if name in ("right", "wrong", "missed") else kinds[3:]
    share = these.sum() / max(group.sum(), 1)
    pair = names[0] if names[0] == names[1] else f"{names[0]} → {names[1]}"
    lines = (
        (styling.shorten(pair, _CELL * (1 + _GAP), 8), styling.INK, "normal"),
        (number, styling.MUTED, "normal"),
        (f"{these.sum():,}: {styling.percent(share)}", color, "bold"),
    )
    for row, (text, ink, weight) in enumerate(lines):
        y = bottom + 0.09 + (0.2 + 1.15 * row) * _LINE / _CELL
        ax.text(left + 0.5, y, text, va="top", fontsize=8.5, color=ink, weight=weight, **look)


def _name(examples, label):
    return "unknown" if label < 0 else styling.plain(examples.class_names[label])


def outcome_shares(
    calibration: Calibration,
    *,
    cutpoint: str | None = None,
    log: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how every threshold divides the calibration queries into the five outcomes of a match.

    Args:
        calibration: A ``Calibration``.
        cutpoint: Name of the cutpoint that is marked, with the shares at it; the first by default.
        log: Draw distances on a logarithmic axis, as is clearer where most are far below the largest.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the right decisions at the cutpoint by default.

    Returns:
        The ``Axes``: known queries below the white line, unknown ones above it.

    Raises:
        ValueError: If there is no such cutpoint.
    """
    chosen = calibration.cutpoint if cutpoint is None else calibration[cutpoint]
    ax = styling.plain_axes(ax, (7.2, 4.6))
    curves = calibration.curves
    counts = np.stack(curves.counts).astype(np.float64) / (curves.num_known + curves.num_unknown)
    axis = styling.DistanceAxis(curves.distances, log=log)
    distances = axis.place(np.where(np.isfinite(curves.threshold), curves.threshold, curves.distances[:1]))
    at = curves.position(chosen.threshold)
    keep = np.unique(np.append(np.linspace(0, len(curves) - 1, 800).round().astype(int), at))
    bottom = np.zeros(len(keep))
    for (name, symbol, done, color, hatch), share in zip(_KINDS, counts, strict=True):
        label = f"{styling.percent(share[at])} {symbol} {name}, {done}"
        look: dict[str, Any] = {
            "facecolor": color,
            "hatch": hatch,
            "edgecolor": "white",
            "lw": 0,
            "gid": name,
        }
        ax.fill_between(distances[keep], bottom, bottom + share[keep], label=label, **look)
        bottom = bottom + share[keep]
    if curves.num_unknown:
        line = curves.num_known / (curves.num_known + curves.num_unknown)
        ax.axhline(line, color="white", lw=2.5)
    if np.isfinite(chosen.threshold):
        x = float(axis.place(chosen.threshold))
        ax.axvline(x, gid="cutpoint", **styling.MARK)
        styling.label_above(
            ax, x, f"{styling.plain(chosen.name)} {styling.number(chosen.threshold)}", axis.limits
        )
    axis.dress(ax, f"{styling.distance_name(calibration.distance)} up to which a neighbor matches")
    ax.set(xlim=(axis.low, axis.high), ylim=(0, 1), ylabel="share of the calibration queries (%)")
    styling.percent_axis(ax, "y")
    handles, labels = ax.get_legend_handles_labels()
    legend = ax.figure.legend(
        handles, labels, loc="outside lower left", ncols=2, frameon=False, fontsize=9,
        title=f"at {styling.plain(chosen.name)}", title_fontsize=9, alignment="left",
        prop={"family": styling.SYMBOL_FONT, "size": 9},
    )  # fmt: skip
    legend.get_title().set_color(styling.MUTED)
    well = counts[[0, 4], at].sum()
    styling.heading(
        ax, title or f"{well:.1%} of the queries end well at {styling.number(chosen.threshold)}", above=15
    )
    return ax
