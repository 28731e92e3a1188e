"""A figure of graph search: rows on a plane, the links between them, and a walk along these to a query."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike

from simnb import _checks
from simnb.plots import styling

_SIZE = (5.6, 5.2)  # inches


def graph_walk(
    points: ArrayLike,
    links: Sequence[Collection[int]],
    query: ArrayLike,
    *,
    left: Sequence[int] = (0,),
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a walk over a graph of points on a plane: which rows it compared with the query, what it found.

    A walk begins at the black square, and compares the query with all rows that are linked to the row it
    leaves. The nearest of the rows that
    were compared has a solid blue ring if it is the nearest of all; else a dashed vermilion one, and a dotted
    black ring is around the row that was missed.

    Args:
        points: Positions of the rows, shape [num_rows, 2]. Distances are Euclidean, as one sees them.
        links: For each row, positions of the rows that it is linked to.
        query: Position of the query, shape [2].
        left: Positions of the rows that the walk left, in this order; it began at the first.
        ax: Axes to draw into; new ones, with a legend, by default. Of axes of your own,
            ``ax.get_legend_handles_labels()`` has what a legend needs.
        title: Heading of the figure; how many rows were compared by default.

    Returns:
        The ``Axes``.

    Raises:
        ValueError: If points are not of two dimensions, lengths differ, or a row is not there or was not
            linked to one that was left before.
    """
    places, target = _on_plane(points, query)
    neighbors = [_rows(of_row, len(places), name=f"links[{row}]") for row, of_row in enumerate(links)]
    _checks.same_length(neighbors, places, "links and points")
    seen, steps = _followed(neighbors, _rows(left, len(places), name="left"))
    apart = np.linalg.norm(places - target, axis=1)
    nearest, found = int(apart.argmin()), seen[int(apart[seen].argmin())]
    own, ax = ax is None, styling.plain_axes(ax, _SIZE)
    ax.set_aspect("equal")
    ax.axis("off")
    edges = sorted({(min(a, b), max(a, b)) for a, of_row in enumerate(neighbors) for b in of_row})
    looks: tuple[tuple[str, list, dict[str, Any]], ...] = (
        ("links", edges, {"color": "#cccccc", "lw": 0.8, "zorder": 1}),
        ("steps", steps, {"color": styling.INK, "lw": 2.2, "zorder": 3, "label": "way of the walk"}),
    )
    for gid, pairs, look in looks:
        ax.add_collection(LineCollection([places[list(pair)] for pair in pairs], gid=gid, **look))
    _dots(ax, places, "rows", "o", ms=4, color="#aaaaaa", zorder=2, label="row")
    _dots(
        ax, places[seen], "seen", "o", ms=5.5, color=styling.RIGHT, zorder=4, label="compared with the query"
    )
    _dots(ax, places[seen[:1]], "start", "s", ms=8, color=styling.INK, zorder=4.5, label="start")
    star: dict[str, Any] = {"ms": 13, "color": "#E69F00", "mec": styling.INK, "mew": 0.9, "zorder": 6}
    _dots(ax, target[None], "query", "*", label="query", **star)
    if found != nearest:
        _ring(ax, places[nearest], "missed", styling.INK, (0, (1, 1.2)), "nearest of all")
    color, line = (styling.RIGHT, "-") if found == nearest else (styling.WRONG, (0, (2.2, 1.2)))
    label = "nearest of all, found" if found == nearest else "nearest of those compared"
    _ring(ax, places[found], "found", color, line, label)
    ax.margins(0.05)
    if own:
        ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3)
    styling.heading(
        ax, title or f"{len(seen)} of {styling.count(len(places), 'row')} compared with the query"
    )
    return ax


def _on_plane(points, query):
    points = _checks.not_empty(_checks.embeddings(points, name="points"), name="points").astype(np.float64)
    if points.shape[1] != 2:
        raise ValueError(f"points must have shape [num_rows, 2], got {points.shape}")
    place = np.asarray(query, np.float64)
    if place.shape != (2,) or not np.isfinite(place).all():
        raise ValueError(f"query must be two finite numbers, got {query!r}")
    return points, place


def _rows(rows, count, *, name):
    rows = [int(row) for row in rows]
    if any(not 0 <= row < count for row in rows):
        raise ValueError(f"{name} must be positions below {count}, got {_checks.listed(rows)}")
    return rows


def _followed(links, left):
    """Rows that are seen when these are left, in order, and from where to where each step goes."""
    if not left:
        raise ValueError("left must hold the row where the walk begins, got none")
    seen, by, steps = [left[0]], {left[0]: left[0]}, []
    for row in left:
        if row not in by:
            raise ValueError(f"left must be rows that are linked to rows before them; {row} is not")
        if row != left[0]:
            steps.append((by[row], row))
        new = [other for other in dict.fromkeys(links[row]) if other not in by]
        seen += new
        by |= dict.fromkeys(new, row)
    return seen, steps


def _dots(ax, points, gid, marker, **look):
    ax.plot(*points.T, marker, ls="", gid=gid, **look)


def _ring(ax, point, gid, color, line, label):
    """A circle around a point, as dashed as its line says: markers have no dashes."""
    ax.scatter(*point, s=170, facecolors="none", edgecolors=color, linestyles=[line], linewidths=2, zorder=5,
               gid=gid, label=label)  # fmt: skip
