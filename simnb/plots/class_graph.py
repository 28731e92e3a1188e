"""Which classes lie near one another: a graph of their centers."""

import numpy as np

from simnb import _checks
from simnb.distances import pairwise
from simnb.index import UNKNOWN
from simnb.plots import _style
from simnb.projection import project

_NUMBERS = 3  # lines whose distance is written


def class_graph(
    embeddings, labels, *, k=2, class_names=None, held_out=(), distance="cosine", ax=None, title=None
):
    """Draw the center of each class, joined to its k nearest centers; the nearer, the thicker the line.

    Classes that are joined by a thick line are the ones that a search confuses first.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples]; ``UNKNOWN`` is left out.
        k: To how many others each is joined.
        class_names: Name of each class; the labels themselves when left out.
        held_out: Classes that training never saw; drawn hollow.
        distance: One of ``simnb.distances.DISTANCES``.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the two nearest classes when left out.

    Returns:
        The ``Axes``. Positions are the first two principal components of the centers; the lines are measured
        in all dimensions, and the numbers on the nearest of them are their distances.

    Raises:
        ValueError: If there are fewer than two classes, lengths differ or a class has no name.
    """
    embeddings = _checks.embeddings(embeddings)
    labels = _checks.labels(labels, count=len(embeddings))
    k = _checks.positive_int(k, name="k")
    classes = np.unique(labels[labels != UNKNOWN])
    if len(classes) < 2:
        raise ValueError(f"labels must be of two classes or more, got {_style.count(len(classes), 'class')}")
    name = _style.class_namer(class_names, classes)
    centers = np.stack([embeddings[labels == label].mean(axis=0, dtype=np.float64) for label in classes])
    measured = pairwise(centers.astype(np.float32), centers.astype(np.float32), distance)
    np.fill_diagonal(measured, np.inf)
    edges = _edges(measured, min(k, len(classes) - 1))
    points = project(centers)
    ax = _style.plain_axes(ax, (6.6, 5.2))
    near, far = min(edges.values()), max(edges.values())
    nearest = sorted(edges, key=edges.get)
    for number, pair in enumerate(nearest):
        share = (far - edges[pair]) / (far - near) if far > near else 1.0
        gid = f"edge: {classes[pair[0]]}-{classes[pair[1]]}"
        look = {"lw": 0.8 + 4 * share, "alpha": 0.25 + 0.4 * share, "solid_capstyle": "round"}
        ax.plot(*points[list(pair)].T, color=_style.RIGHT, zorder=1, gid=gid, **look)
        if number < _NUMBERS:
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
            at, text = points[list(pair)].mean(axis=0), _style.number(edges[pair])
            ax.text(*at, text, ha="center", va="center", fontsize=8, color=_style.MUTED, bbox=box, zorder=1.5)
    for place, label in enumerate(classes):
        color, marker = _style.class_style(label)
        look = {"facecolor": "white" if label in held_out else color, "edgecolor": color, "marker": marker}
        ax.scatter(*points[place], s=90, linewidth=1.6, zorder=2, gid=str(label), **look)
        ax.annotate(
            _style.shorten(name(label), 1.4, 9), points[place], xytext=(0, 8), textcoords="offset points",
            ha="center", va="bottom", fontsize=9, fontweight="bold", zorder=3,
        )  # fmt: skip
    ax.margins(0.14)
    ax.set(
        xticks=[], yticks=[], xlabel="principal component of the centers 1", ylabel="principal component 2"
    )
    first = " and ".join(name(classes[place]) for place in nearest[0])
    lines = f"line: to the {k} nearest, thicker where nearer    number: {_style.distance_name(distance)}"
    note = lines + ("\nHollow: held out of training." if len(held_out) else "")
    _style.heading(ax, title or f"Nearest to one another: {first}", note)
    return ax


def _edges(measured, k):
    """Distances of the pairs of classes that are joined, by their places in order."""
    edges = {}
    for one, row in enumerate(measured):
        for other in np.argsort(row, kind="stable")[:k].tolist():
            pair = (min(one, other), max(one, other))
            edges[pair] = min(float(row[other]), edges.get(pair, np.inf))
    return edges
