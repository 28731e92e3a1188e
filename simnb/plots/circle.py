"""Figures of embeddings of two dimensions: a circle, pulls and pushes on it, and what mining calls hard."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, Wedge
from matplotlib.path import Path
from numpy.typing import ArrayLike

from simnb import _checks
from simnb.distances import pairwise
from simnb.plots import styling

_SIZE = (4.6, 4.9)  # inches
_LONGEST = 0.42  # radians, of the longest arrow
_SHORTEST = 0.01  # radians; arrows below are left out, for their heads would be all of them
_APART = 0.05  # between arrows that would lie on each other: radians, and outwards
_ASIDE = 0.35  # radians between the words of two points, at least
_ROOM = 1.4  # inches inside the circle
_LEGEND: dict[str, Any] = {"fontsize": 9, "labelspacing": 0.35, "handlelength": 1.6, "frameon": False}
_ARROWS: tuple[tuple[float, dict[str, Any]], ...] = (  # radius, look
    (1.11, {"color": styling.RIGHT, "ls": "-"}),
    (1.2, {"color": styling.WRONG, "ls": (0, (2.2, 1.2))}),
    (1.29, {"color": styling.INK, "ls": "-"}),
)
_ZONES: dict[str, dict[str, Any]] = {
    "hard": {"facecolor": styling.WRONG, "alpha": 0.9},
    "semi-hard": {"facecolor": "#E69F00", "alpha": 0.8, "hatch": "///", "edgecolor": "white", "lw": 0},
    "easy": {"facecolor": styling.FAINT},
}


def embedding_circle(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    turns: Mapping[str, ArrayLike] | None = None,
    longest: float | None = None,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw embeddings of two dimensions on the unit circle, and arrows along it.

    Args:
        embeddings: Shape [num_examples, 2]; only their directions are drawn.
        labels: Class of each, shape [num_examples].
        turns: By name, how far each point is to turn, shape [num_examples]: above 0 counterclockwise. The
            first is drawn in blue, the second in vermilion and dashed, the third, or a single one, in black.
        longest: The turn whose arrow is the longest, so that figures can be compared; the largest by default.
        class_names: Name of each class; the labels themselves by default.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure.

    Returns:
        The ``Axes``.

    Raises:
        ValueError: If embeddings have other than two dimensions, lengths differ or a class has no name.
    """
    points, labels = _on_circle(embeddings), _checks.labels(labels, count=len(np.asarray(embeddings)))
    classes = np.unique(labels)
    name = styling.class_namer(class_names, classes)
    ax = _circle(ax, limit=1.14 if not turns else 1.32 if len(turns) < 3 else 1.42)
    handles = _draw_points(ax, points, labels, name)
    if turns:
        handles += _draw_turns(ax, points, turns, longest)
    _key(ax, handles)
    shown = f"{styling.count(len(points), 'embedding')} of {styling.count(len(classes), 'class')} on a circle"
    styling.heading(ax, title or shown)
    return ax


def mining_arcs(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    anchor: int,
    positive: int,
    margin: float,
    class_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw where on the circle a negative would be hard, semi-hard or easy for an anchor and its positive.

    Hard is nearer to the anchor than the positive is, in cosine distance; semi-hard is farther, by less than
    the margin; easy is everything beyond.

    Args:
        embeddings: Shape [num_examples, 2]; only their directions are drawn.
        labels: Class of each, shape [num_examples].
        anchor: Position of the anchor.
        positive: Position of an example of its class.
        margin: Margin of the triplet loss, in cosine distance.
        class_names: Name of each class; the labels themselves by default.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure.

    Returns:
        The ``Axes``.

    Raises:
        ValueError: If embeddings have other than two dimensions, lengths differ, a class has no name, or the
            positive is the anchor or of another class.
    """
    points, labels = _on_circle(embeddings), _checks.labels(labels, count=len(np.asarray(embeddings)))
    anchor, positive = _pair(anchor, positive, labels)
    margin = _checks.number(margin, name="margin", at_least=0)
    name = styling.class_namer(class_names, np.unique(labels))
    ax = _circle(ax, limit=1.42)
    handles = _draw_points(ax, points, labels, name)
    near = 1 - float(points[anchor] @ points[positive])
    at = np.degrees(np.arctan2(points[anchor, 1], points[anchor, 0]))
    ends = [0.0, *(np.degrees(np.arccos(np.clip(1 - d, -1, 1))) for d in (near, near + margin)), 180.0]
    for (zone, look), low, high in zip(_ZONES.items(), ends[:-1], ends[1:], strict=True):
        handles.append(Line2D([], [], color=look["facecolor"], lw=6, alpha=look.get("alpha"), label=zone))
        if high > low:
            for first, last in ((at + low, at + high), (at - high, at - low)):
                ax.add_patch(Wedge((0, 0), 1.2, first, last, width=0.1, zorder=1, **{"lw": 0, **look}))
    _name_pair(ax, points[anchor], points[positive])
    _key(ax, handles)
    styling.heading(ax, title or f"Negatives of one anchor and one positive, at a margin of {margin:g}")
    return ax


def mining_rings(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    anchor: int,
    positive: int,
    margin: float,
    limit: float | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the negatives of an anchor around it, and the rings where they are hard, semi-hard or easy.

    How far a point is from the middle is its cosine distance to the anchor, of any number of dimensions; in
    which direction it lies means nothing. ``mining_arcs`` draws two dimensions as they are.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples].
        anchor: Position of the anchor, drawn in the middle.
        positive: Position of an example of its class: within its distance a negative is hard.
        margin: Margin of the triplet loss, in cosine distance: how wide the ring of the semi-hard is.
        limit: Distance at the edge, so that figures can be compared; all points and rings by default.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; how many are of each kind by default.

    Returns:
        The ``Axes``. Each kind of negative is a line, whose ``gid`` is its name.

    Raises:
        ValueError: If lengths differ, or the positive is the anchor or of another class.
    """
    embeddings = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings")
    labels = _checks.labels(labels, count=len(embeddings))
    anchor, positive = _pair(anchor, positive, labels)
    margin = _checks.number(margin, name="margin", at_least=0)
    away = pairwise(embeddings[anchor : anchor + 1], embeddings)[0]
    near, negative = float(away[positive]), labels != labels[anchor]
    kinds = {"hard": negative & (away < near)}
    kinds["easy"] = negative & (away >= near + margin)
    kinds["semi-hard"] = negative & ~kinds["hard"] & ~kinds["easy"]
    limit = 1.08 * max(float(away.max()), near + margin) if limit is None else limit
    ax = styling.plain_axes(ax, _SIZE)
    ax.set(aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
    ax.axis("off")
    for radius, zone in ((near + margin, "semi-hard"), (near, "hard")):
        color = _ZONES[zone]["facecolor"]
        ax.add_patch(Circle((0, 0), radius, facecolor=(color, 0.22), edgecolor=color, lw=1.4, zorder=1))
    angle = np.arange(len(away)) * np.pi * (3 - 5**0.5)  # the golden angle: neighbors in order lie apart
    x, y = away * np.cos(angle), away * np.sin(angle)
    for zone, marker in (("hard", "X"), ("semi-hard", "D"), ("easy", "o")):
        color = styling.MUTED if zone == "easy" else _ZONES[zone]["facecolor"]
        look: dict[str, Any] = {
            "ls": "",
            "ms": 6,
            "mec": "white",
            "mew": 0.6,
            "zorder": 2,
            "gid": zone,
            "color": color,
        }
        ax.plot(x[kinds[zone]], y[kinds[zone]], marker, label=f"{zone}: {kinds[zone].sum()}", **look)
    for radius in (near, near + margin):
        if not 0.05 * limit <= radius <= limit:  # its number would cover the anchor, or stand outside
            continue
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.6}  # points lie under it
        look = {"ha": "center", "va": "bottom", "fontsize": 8, "zorder": 4, "bbox": box}
        styling.write(ax, styling.number(radius), (0, radius), (0, 1), **look)
    look = {"ls": "", "zorder": 3, "color": styling.INK, "mec": "white", "mew": 0.8}
    ax.plot(0, 0, "s", ms=9, label="anchor", **look)
    ax.plot(x[positive], y[positive], "*", ms=15, label="positive", **(look | {"color": styling.RIGHT}))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, **_LEGEND)
    counts = ", ".join(f"{kinds[zone].sum()} {zone}" for zone in _ZONES)
    styling.heading(ax, title or f"Negatives of one anchor: {counts}")
    return ax


def _on_circle(embeddings):
    """Unit vectors [num_examples, 2], or raise ValueError."""
    points = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings").astype(np.float64)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    if points.shape[1] != 2 or (lengths == 0).any():
        got = f"shape {points.shape}" if points.shape[1] != 2 else "a vector of length 0"
        raise ValueError(f"embeddings must have shape [num_examples, 2] and a direction, got {got}")
    return points / lengths


def _pair(anchor, positive, labels):
    for position, name in ((anchor, "anchor"), (positive, "positive")):
        if _checks.not_negative_int(position, name=name) >= len(labels):
            raise ValueError(f"{name} must be a position below {len(labels)}, got {position}")
    if anchor == positive or labels[anchor] != labels[positive]:
        raise ValueError(
            f"positive must be another example of the anchor's class, got {positive} for {anchor}"
        )
    return int(anchor), int(positive)


def _name_pair(ax, anchor, positive):
    """Ring an anchor and its positive, and write beside each what it is."""
    at = [np.arctan2(y, x) for x, y in (anchor, positive)]
    between = np.angle(np.exp(1j * (at[1] - at[0])))
    # Words of points that lie close together stand side by side.
    aside = max(_ASIDE - abs(between), 0) / 2 * (-1 if between < 0 else 1)
    for angle, turned, word in ((at[0], -aside, "anchor"), (at[1], aside, "positive")):
        ax.plot(np.cos(angle), np.sin(angle), "o", ms=15, mfc="none", mec=styling.INK, mew=1.4, zorder=4)
        x, y = 1.26 * np.cos(angle + turned), 1.26 * np.sin(angle + turned)
        ax.text(x, y, word, ha="left" if x >= 0 else "right", va="center", fontsize=9, color=styling.INK)


def _circle(ax, limit):
    """Axes that reach to a limit, with a circle of radius 1 and four angles."""
    ax = styling.plain_axes(ax, _SIZE)
    ax.set(aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
    ax.axis("off")
    angle = np.linspace(0, 2 * np.pi, 181)
    ax.plot(np.cos(angle), np.sin(angle), color=styling.MUTED, lw=0.8, zorder=1)
    for degrees in (0, 90, 180, 270):
        x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        look = {"ha": "center", "va": "center", "fontsize": 8, "color": styling.MUTED}
        ax.text(0.86 * x, 0.86 * y, f"{degrees}°", **look)
    return ax


def _key(ax, handles):
    """Say inside the circle what is what."""
    for handle in handles:
        handle.set_label(styling.shorten(handle.get_label(), _ROOM, _LEGEND["fontsize"]))
    ax.legend(handles=handles, loc="center", **_LEGEND).set_in_layout(False)


def _draw_points(ax, points, labels, name):
    handles = []
    for label in np.unique(labels):
        color, marker = styling.class_style(int(label))
        look = {"color": color, "marker": marker, "ls": "", "ms": 8, "mec": "white", "mew": 0.8}
        handles += ax.plot(*points[labels == label].T, **look, label=name(label), zorder=3, gid=str(label))
    return handles


def _turned(one, other):
    """Angle between two directions, in radians."""
    return abs((one - other + np.pi) % (2 * np.pi) - np.pi)


def _draw_turns(ax, points, turns, longest):
    """Arrows along the circle, the farther out the more they would lie on others; return their keys."""
    values = {name: np.asarray(turn, np.float64) for name, turn in turns.items()}
    for name, turn in values.items():
        _checks.same_length(turn, points, f"turns of {name!r} and embeddings")
    if longest is None:
        longest = max(float(np.abs(turn).max()) for turn in values.values())
    scale = _LONGEST / longest if longest > 0 else 0.0
    looks = ((_ARROWS[0][0], _ARROWS[2][1]),) if len(values) == 1 else _ARROWS
    handles, at = [], np.arctan2(points[:, 1], points[:, 0])
    for (name, turn), (radius, look) in zip(values.items(), looks, strict=False):
        drawn: list[tuple[float, float, int]] = []  # middle, half its length, and how far out
        for begin, angle in zip(at, scale * turn, strict=True):
            if abs(angle) > _SHORTEST:
                middle, half = begin + angle / 2, abs(angle) / 2 + _APART
                beside = {out for other, reach, out in drawn if _turned(middle, other) < half + reach}
                out = next(number for number in itertools.count() if number not in beside)
                drawn.append((middle, half, out))
                along, farther = begin + np.linspace(0, angle, 24), radius + _APART * out
                path = Path(farther * np.stack([np.cos(along), np.sin(along)], axis=1))
                style = {"arrowstyle": "-|>", "mutation_scale": 9, "lw": 1.7, "shrinkA": 0, "shrinkB": 0}
                ax.add_patch(FancyArrowPatch(path=path, **style, **look, zorder=2, gid=name))
        handles.append(Line2D([], [], lw=1.7, **look, label=styling.plain(name)))
    return handles
