"""The projector as a picture, where nothing can be clicked."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from numpy.typing import NDArray

from simnb.plots import styling
from simnb.widgets.map_state import NEITHER, RIGHT, WRONG

#: What the colours can mean, as the widget calls it.
COLORINGS = {
    "label": "class",
    "right": "right / wrong",
    "distance": "distance to the nearest neighbor",
    "accepted": "accepted / rejected",
}
_NONE = "#9a9a9a"
_MOST_CLASSES = 20
_LINE = 0.048  # of the height of the side, a line of text
#: The part of the ramp that the widget uses: what is as light as the ground is left out.
_RAMP = ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.76, 256)))


def draw(
    points: NDArray[np.floating],
    positions: NDArray[np.int64],
    classes: Sequence[dict[str, object]],
    is_query: NDArray[np.bool_],
    selected: NDArray[np.bool_],
    *,
    color: str,
    verdicts: NDArray[np.uint8] | None,
    distances: NDArray[np.float32] | None,
    threshold: float | None,
    words: str,
) -> Figure:
    """The bar, the map, the key with the legend, and what is said of the map.

    Args:
        points: Positions in the unit square, shape [num_points, 2].
        positions: Of each point's class among ``classes``, shape [num_points].
        classes: Name and size of each class, as ``map_state.classes_of`` gives them.
        is_query: Which points are diamonds, shape [num_points].
        selected: Which points are ringed, shape [num_points].
        color: What colours mean, one of ``COLORINGS``.
        verdicts: As ``map_state.verdicts`` gives them; None where neighbors are not known yet.
        distances: To the nearest neighbor of each, shape [num_points]; None likewise.
        threshold: Largest distance that is accepted.
        words: How far to trust the map.
    """
    figure = Figure(figsize=(8.6, 5.6), dpi=80)
    figure.set_layout_engine("none")
    if distances is None:
        color = "label"
    bar, stage, side = (
        figure.add_axes(box)
        for box in ((0.01, 0.93, 0.98, 0.06), (0.01, 0.11, 0.74, 0.8), (0.77, 0.11, 0.22, 0.8))
    )
    _bar(bar, color, int(selected.sum()))
    colors, key = _colors(color, positions, classes, verdicts, distances, threshold)
    _stage(stage, points, colors, is_query, selected)
    _side(side, key, classes if color == "label" else [], bool(is_query.any()), color)
    foot = styling.wrap(words, 8.3, 8.5)
    figure.text(0.012, 0.09, foot, fontsize=8.5, color=styling.MUTED, va="top", linespacing=1.4)
    return figure


def _bar(ax, color, chosen):
    ax.axis("off")
    ax.set(xlim=(0, 100), ylim=(0, 1))
    for x, sign in zip((0.3, 4.3, 8.3), ("↔", "◌", "▭"), strict=True):
        ink, ground = ("white", styling.INK) if sign == "↔" else (styling.INK, "white")
        _box(ax, x, 3.4, ground)
        ax.text(x + 1.7, 0.46, sign, ha="center", va="center", color=ink, family=styling.SYMBOL_FONT)
    ax.text(13.5, 0.46, "Color by", va="center", fontsize=9, color=styling.MUTED)
    _box(ax, 21, 34, "white")
    ax.text(22, 0.46, f"{COLORINGS[color]}  ▾", va="center", fontsize=9, family=styling.SYMBOL_FONT)
    if chosen:
        ax.text(75.5, 0.46, f"{chosen:,} selected", ha="right", va="center", fontsize=9, color=styling.MUTED)


def _box(ax, x, wide, color):
    look = {"boxstyle": "round,pad=0,rounding_size=0.5", "fc": color, "ec": "#cccccc", "mutation_aspect": 0.1}
    ax.add_patch(FancyBboxPatch((x, 0.08), wide, 0.78, **look))


def _colors(color, positions, classes, verdicts, distances, threshold):
    """Colour of each point, and what stands in the key: pairs of a colour and a word."""
    if color == "label":
        palette = np.array(styling.CLASS_COLORS)[np.arange(len(classes)) % len(styling.CLASS_COLORS)]
        palette = [_NONE if each["unknown"] else one for one, each in zip(palette, classes, strict=True)]
        return np.array(palette)[positions], []
    if color == "right":
        palette = {RIGHT: styling.RIGHT, WRONG: styling.WRONG, NEITHER: _NONE}
        key = [(styling.RIGHT, "✓ right"), (styling.WRONG, "✗ wrong"), (_NONE, "? unknown")]
        return np.array([palette[verdict] for verdict in verdicts.tolist()]), key
    if color == "accepted":
        key = [(styling.RIGHT, "accepted"), (_NONE, "rejected")]
        return np.where(distances <= np.float32(threshold), styling.RIGHT, _NONE), key
    finite = distances[np.isfinite(distances)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    shares = np.clip((np.nan_to_num(distances, posinf=high) - low) / max(high - low, 1e-12), 0, 1)
    key = [(_RAMP(0.0), styling.number(low)), (_RAMP(1.0), styling.number(high))]
    return _RAMP(shares), key


def _stage(ax, points, colors, is_query, selected):
    wide = ax.get_window_extent().width / ax.get_window_extent().height
    # As large as in the widget, whose map has about 760 by 480 pixels, in points of typography.
    side = float(np.clip(390 / np.sqrt(len(points)), 4, 10)) * 0.6
    for marker, chosen, size in (("o", ~is_query, side), ("D", is_query, 0.9 * side)):
        look = {"marker": marker, "s": size**2, "edgecolor": "white", "linewidth": 0.3}
        ax.scatter(*points[chosen].T, c=colors[chosen], **look)
    if selected.any():
        look = {"marker": "o", "s": (1.5 * side) ** 2, "facecolor": "none", "edgecolor": styling.INK}
        ax.scatter(*points[selected].T, linewidth=1, gid="selected", **look)
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.54 * max((high[0] - low[0]) / wide, high[1] - low[1], 1e-6)
    x, y = (low + high) / 2
    ax.set(xlim=(x - half * wide, x + half * wide), ylim=(y - half, y + half), xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set(visible=True, color="#cccccc", linewidth=0.8)


def _side(ax, key, classes, queries, color):
    ax.axis("off")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    at = 0.98
    lines = [("o", styling.INK, "gallery", ""), ("D", styling.INK, "query", "")] if queries else []
    lines += [("o", color, word, "") for color, word in key]
    several = list(classes[:_MOST_CLASSES])
    palette = styling.CLASS_COLORS
    lines += [
        ("o", _NONE if each["unknown"] else palette[i % len(palette)], each["name"], f"{each['count']:,}")
        for i, each in enumerate(several)
    ]
    for marker, ink, word, number in lines:
        ax.plot([0.04], [at], marker, color=ink, ms=6 if marker == "o" else 5)
        word = styling.shorten(styling.plain(word), 1.2, 9)
        ax.text(0.11, at, word, va="center", fontsize=9, family=styling.SYMBOL_FONT)
        ax.text(0.98, at, number, va="center", ha="right", fontsize=8.5, color=styling.MUTED)
        at -= _LINE
    if len(classes) > len(several):
        ax.text(
            0.11, at, f"and {len(classes) - len(several)} more", va="center", fontsize=9, color=styling.MUTED
        )
