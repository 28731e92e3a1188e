"""Figures of embeddings: a map of them, a graph of their classes, the distances of pairs, the hubs."""

from collections.abc import Collection, Sequence
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from simnb import _checks
from simnb.distances import pairwise
from simnb.index import UNKNOWN, Neighbors
from simnb.plots import styling
from simnb.plots.pictures import displayable, show_pixels
from simnb.projection import METHODS, check_points, in_unit_square, project

_MOST_IN_LEGEND = 20
_THUMBNAIL = 0.058  # of the map's width
_NUMBERS = 3  # lines whose distance is written
_BINS = 50
_PAIR_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": styling.RIGHT, "histtype": "stepfilled", "alpha": 0.55},
    {"color": styling.WRONG, "histtype": "step", "lw": 1.8, "ls": "--"},
)


def embedding_map(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    images: ArrayLike | None = None,
    class_names: Sequence[str] | None = None,
    held_out: Collection[int] = (),
    highlight: Collection[int] = (),
    links: ArrayLike = (),
    points: ArrayLike | None = None,
    method: str = "tsne",
    num_images: int = 60,
    seed: int = 0,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw embeddings as points on a plane, so that neighbors lie together.

    Classes differ in colour and marker, and their names stand where their points lie densest.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples]; ``UNKNOWN`` is drawn as small grey dots.
        images: Images of the same examples, shape [num_examples, height, width, channels]. Some of them
            are drawn over their points, where they do not cover one another.
        class_names: Name of each class; the labels themselves by default.
        held_out: Classes that training never saw; drawn hollow and named so.
        highlight: Classes to look at: all others are small grey dots. By default every class has its colour.
        links: Pairs of positions to join by lines, shape [num_links, 2], such as queries and what they
            found: solid and blue between examples of one class, dashed and vermilion between two. The points
            are paler then.
        points: Positions from ``simnb.projection.project``, shape [num_examples, 2]; made here by default.
        method: How the positions are made, or were: ``tsne``, ``pca`` or ``umap``, as in ``project``.
        num_images: Draw at most this many images.
        seed: Seed of the choice of images, and of ``project``.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure.

    Returns:
        The ``Axes``. Distances on a t-SNE map are not those between the embeddings, and its note says so.

    Raises:
        ValueError: If there is no embedding, lengths differ, a label has no name, the method is unknown, a
            link leads nowhere, no example is of a class to highlight, or t-SNE or UMAP is asked for fewer
            than 4 embeddings.
    """
    embeddings = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings")
    labels = _checks.labels(labels, count=len(embeddings))
    _checks.one_of(method, METHODS, name="method")
    seed = _checks.seed(seed)
    if images is not None:
        images = displayable(images)
        _checks.same_length(images, embeddings, "images and embeddings")
    name, pairs = styling.class_namer(class_names, labels), _pairs(links, len(embeddings))
    if points is None:
        points = project(embeddings, method, seed=seed)
    at = in_unit_square(check_points(points, embeddings))
    height = max(float(np.ptp(at[:, 1])), 0.4) + 0.08
    room = 7.0 if ax is None else None
    ax = styling.plain_axes(ax, (7.9, 1.1 + 5.3 * height))
    bottom = (at[:, 1].min() + at[:, 1].max() - height) / 2
    ax.set(xlim=(-0.04, 1.04), ylim=(bottom, bottom + height), aspect="equal", xticks=[], yticks=[])
    ax.set(xlabel=f"{METHODS[method]} 1", ylabel=f"{METHODS[method]} 2")
    drawn, namer = _highlighted(labels, highlight, name)
    classes = np.unique(drawn)
    _draw_points(ax, at, drawn, classes, set(held_out), namer, alpha=0.35 if len(pairs) else 0.9)
    _draw_links(ax, at, labels, pairs)
    named = classes[classes != UNKNOWN] if len(highlight) else classes
    taken = _write_names(ax, at, drawn, named, set(held_out), namer)
    if images is not None:
        _draw_images(ax, at, images, np.random.default_rng(seed).permutation(len(images)), num_images, taken)
    note = "Two directions out of many: what overlaps here may lie far apart in the embedding."
    if method != "pca":
        kept = f"{METHODS[method]} keeps only neighborhoods"
        note = f"Far apart on this map need not be far apart in the embedding: {kept}."
    if len(held_out):
        note += "\nHollow: held out of training."
    if len(pairs):
        note += "\nSolid lines: one class. Dashed lines: two."
    shown = styling.of_classes("embedding", labels)
    styling.heading(ax, title or f"{shown}: does each class form a group?", note, inches=room)
    return ax


def class_graph(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    k: int = 2,
    class_names: Sequence[str] | None = None,
    held_out: Collection[int] = (),
    distance: str = "cosine",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the center of each class, joined to its k nearest centers; the nearer, the thicker the line.

    Classes that are joined by a thick line are the ones that a search confuses first.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples]; ``UNKNOWN`` is left out.
        k: To how many others each is joined.
        class_names: Name of each class; the labels themselves by default.
        held_out: Classes that training never saw; drawn hollow.
        distance: One of ``simnb.distances.DISTANCES``.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the two nearest classes by default.

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
        raise ValueError(f"labels must be of two classes or more, got {styling.count(len(classes), 'class')}")
    name = styling.class_namer(class_names, classes)
    centers = np.stack([embeddings[labels == label].mean(axis=0, dtype=np.float64) for label in classes])
    measured = pairwise(centers.astype(np.float32), centers.astype(np.float32), distance)
    np.fill_diagonal(measured, np.inf)
    edges = _edges(measured, min(k, len(classes) - 1))
    points = project(centers)
    ax = styling.plain_axes(ax, (6.6, 5.2))
    _draw_edges(ax, points, classes, edges)
    _draw_centers(ax, points, classes, held_out, name)
    ax.margins(0.14)
    ax.set(xticks=[], yticks=[])
    ax.set(xlabel="principal component of the centers 1", ylabel="principal component 2")
    first = " and ".join(name(classes[place]) for place in next(iter(edges)))
    note = f"line: to the {k} nearest, thicker where nearer    number: {styling.distance_name(distance)}"
    note += "\nHollow: held out of training." if len(held_out) else ""
    styling.heading(ax, title or f"Nearest to one another: {first}", note)
    return ax


def pair_distances(
    embeddings: ArrayLike,
    labels: ArrayLike,
    *,
    distance: str = "cosine",
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how far pairs of one class lie apart, and pairs of two classes: two histograms.

    Where they do not overlap, a threshold tells them apart; where both stand at 0, the embedding collapsed.

    Args:
        embeddings: Shape [num_examples, dim]; some hundred are plenty, for every pair is measured.
        labels: Class of each, shape [num_examples].
        distance: One of ``simnb.distances.DISTANCES``.
        limits: From which to which distance the bins reach, so that figures can be compared; what lies
            beyond is counted in the outermost. From 0 to the largest distance by default.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the two mean distances by default.

    Returns:
        The ``Axes``. Each histogram adds up to 100%, though there are far more pairs of two classes.

    Raises:
        ValueError: If lengths differ, a value is not finite, the distance is unknown, the limits do not
            ascend, or there is no pair of one class or none of two.

    Example:
        >>> import numpy as np
        >>> from simnb import plots
        >>> labels = np.arange(30) % 3
        >>> embeddings = np.eye(3)[labels] + np.random.default_rng(0).normal(size=(30, 3)) * 0.2
        >>> axes = plots.pair_distances(embeddings, labels), plots.class_graph(embeddings, labels, k=1)
    """
    embeddings = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings")
    labels = _checks.labels(labels, count=len(embeddings))
    measured = pairwise(embeddings, embeddings, distance)
    same = labels[:, None] == labels[None, :]
    # Each direction counts, for not every distance is symmetric; no example with itself.
    pairs = {"one class": measured[same & ~np.eye(len(labels), dtype=bool)], "two classes": measured[~same]}
    for name, of_kind in pairs.items():
        if not of_kind.size:
            raise ValueError(f"labels must hold a pair of {name}, got {styling.count(len(labels), 'label')}")
    ax = styling.plain_axes(ax, (6.4, 3.4))
    if limits is None:  # from 0, where no distance is below, to the largest
        low, high = min(float(measured.min()), 0.0), float(measured.max())
        limits = low, high if high > low else low + 1e-6
    if len(limits) != 2 or not -np.inf < limits[0] < limits[1] < np.inf:
        raise ValueError(f"limits must be two ascending numbers, got {limits!r}")
    low, high = map(float, limits)
    bins = np.linspace(low, high, _BINS + 1).tolist()
    for (name, of_kind), look in zip(pairs.items(), _PAIR_LOOKS, strict=True):
        shares = np.full(of_kind.size, 100 / of_kind.size)
        inside = np.clip(of_kind, low, high)
        ax.hist(inside, bins, weights=shares, label=f"pairs of {name}", gid=name, **look)
    ax.set(xlabel=styling.distance_name(distance), ylabel="share of the pairs (%)")
    ax.legend(frameon=False, fontsize=9)
    near, far = (styling.number(float(kind.mean(dtype=np.float64))) for kind in pairs.values())
    styling.heading(ax, title or f"Mean {styling.distance_name(distance)}: one class {near}, two {far}")
    return ax


def hubness(
    neighbors: Neighbors, num_gallery: int, *, ax: Axes | None = None, title: str | None = None
) -> Axes:
    """Draw how often each gallery row is among the neighbors of a query.

    In many dimensions a few rows, the hubs, are near to everything and give wrong answers, and many are near
    to nothing and never found. Were all rows alike, their numbers would follow the dotted binomial line.

    Args:
        neighbors: ``Neighbors`` of the queries.
        num_gallery: How many rows the gallery has; those that are never found are among them.
        ax: Axes to draw into; new ones by default.
        title: Heading of the figure; the skewness and the rows that are never found by default.

    Returns:
        The ``Axes``.

    Raises:
        ValueError: If there is no query, or more rows are found than the gallery has.

    References:
        Radovanović et al., Hubs in Space: Popular Nearest Neighbors in High-Dimensional Data, JMLR 2010.
    """
    from scipy.stats import binom, skew

    _checks.not_empty(neighbors, name="neighbors")
    num_gallery = _checks.positive_int(num_gallery, name="num_gallery")
    times = np.unique(neighbors.ids[neighbors.ids >= 0], return_counts=True)[1]
    if len(times) > num_gallery:
        raise ValueError(
            f"num_gallery must be at least the {len(times)} rows that were found, got {num_gallery}"
        )
    never = num_gallery - len(times)
    times = np.pad(times, (never, 0))
    ax = styling.plain_axes(ax, (6.8, 3.6))
    numbers = np.arange(times.max(initial=0) + 1)
    shares = np.bincount(times, minlength=len(numbers)) / num_gallery
    ax.step(numbers, shares, where="mid", color=styling.RIGHT, lw=1.8, label="gallery rows", gid="rows")
    ax.fill_between(numbers, shares, step="mid", color=styling.RIGHT, alpha=0.2, lw=0)
    even = binom.pmf(numbers, len(neighbors), min(neighbors.k / num_gallery, 1.0))
    ax.plot(numbers, even, ":", color=styling.MUTED, lw=1.6, label="were all rows alike", gid="even")
    ax.set_yscale("symlog", linthresh=1 / num_gallery)
    ax.set(ylim=(0, 1.3), ylabel="share of the gallery rows (%)")
    ax.set_xlabel(f"times among the {neighbors.k} nearest of {styling.count(len(neighbors), 'query')}")
    ticks = [0, *(share for share in (1e-4, 1e-3, 0.01, 0.1, 1) if share >= 1 / num_gallery)]
    ax.set_yticks(ticks, [f"{100 * share:g}" for share in ticks], minor=False)
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=9)
    skewness = float(skew(times)) if times.std() else 0.0
    found = f"{never / num_gallery:.1%} of the gallery is never found"
    most = f"one row {times.max(initial=0):,} times"
    styling.heading(ax, title or f"{found}, {most}", f"skewness {skewness:.2f}")
    return ax


def _highlighted(labels, highlight, name):
    """Labels as they are drawn, and their names: the classes that are not highlighted are one, and grey."""
    if not len(highlight):
        return labels, name
    if missing := sorted(set(highlight) - set(labels.tolist())):
        raise ValueError(f"highlight must hold labels of the examples, got {missing[0]}, which none has")
    drawn = np.where(np.isin(labels, list(highlight)), labels, UNKNOWN)
    return drawn, lambda label: "other classes" if label == UNKNOWN else name(label)


def _draw_points(ax, points, labels, classes, held_out, name, alpha):
    size = float(np.clip(24_000 / len(labels), 7, 42))
    for label in classes:
        color, marker = ("#9a9a9a", ".") if label == UNKNOWN else styling.class_style(label)
        hollow = label in held_out
        look = {"s": size, "facecolor": color, "edgecolor": "white", "linewidth": 0.25}
        if hollow:
            look = {"s": size * 1.5, "facecolor": "none", "edgecolor": color, "linewidth": 1.0}
        look |= {"alpha": alpha, "label": _legend_name(name(label), hollow), "gid": str(label)}
        ax.scatter(*points[labels == label].T, marker=marker, **look)
    if len(classes) <= _MOST_IN_LEGEND:
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
        legend = ax.legend(frameon=False, fontsize=9, handletextpad=0.2, **place)
        for handle in legend.legend_handles:
            handle.set(sizes=[42], alpha=0.9)


def _pairs(links, count):
    pairs = np.asarray(links)
    if not pairs.size:
        return np.empty((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(
            f"links must be integers of shape [num_links, 2], got {pairs.dtype} of shape {pairs.shape}"
        )
    if pairs.min() < 0 or pairs.max() >= count:
        raise ValueError(f"links must be positions from 0 to {count - 1}, got {pairs.min()} to {pairs.max()}")
    return pairs


def _draw_links(ax, points, labels, pairs):
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    for verdict, chosen in (("right", same), ("wrong", ~same)):
        if chosen.any():
            _, color, line = styling.VERDICTS[verdict]
            look = {"colors": color, "linestyles": [line], "linewidths": 1.1, "alpha": 0.8}
            lines = LineCollection(list(points[pairs[chosen]]), gid=f"{verdict} links", **look)
            ax.add_collection(lines, autolim=False)


def _legend_name(name, hollow):
    return styling.shorten(name, 1.4, 9) + (" (held out)" if hollow else "")


def _write_names(ax, points, labels, classes, held_out, name):
    """Write each name where its points lie densest, or nearby; return the boxes they cover.

    Of many classes, those whose name finds no room stay unnamed.
    """
    many = len(classes) > _MOST_IN_LEGEND
    size, weight = (7.5, "normal") if many else (9, "bold")
    extent = ax.get_window_extent()
    # A typographic point, in units of the map.
    scale = max(np.ptp(ax.get_xlim()) / extent.width, np.ptp(ax.get_ylim()) / extent.height)
    point = scale * ax.get_figure().dpi / 72
    height, taken = 1.3 * size * point, []
    counts = [(labels == label).sum() for label in classes]
    for position in np.argsort(counts, kind="stable")[::-1]:
        label = classes[position]
        hollow = label in held_out and not many
        text = styling.shorten(name(label), 1.0, size) if many else _legend_name(name(label), hollow)
        x, y = _densest(points[labels == label])
        half = len(text) * size * point * (0.28 if many else 0.31)
        x = float(np.clip(x, half, max(1 - half, half)))
        # Above a few points rather than over them; of many classes only where it is clear which is meant.
        steps = (1, -1) if many or counts[position] < 4 else (0, 1, -1, 2, -2, 3, -3)
        free = [y + s * height for s in steps if _is_free((x, y + s * height, half, height / 2), taken)]
        if not free and many:
            continue
        y = float(free[0] if free else y)
        taken.append((x, y, half, height / 2))
        rim = [effects.withStroke(linewidth=2.5, foreground="white")]
        look = {"fontsize": size, "fontweight": weight, "color": styling.INK, "path_effects": rim}
        ax.text(x, y, text, ha="center", va="center", zorder=6, **look)
    return taken


def _densest(points):
    """Return the middle of the quarter of the points that lie closest; their median may lie where none is."""
    thinned = points[:: -(-len(points) // 500)]
    quarter = np.argsort(cdist(thinned, thinned), axis=1, kind="stable")[:, : -(-len(thinned) // 4)]
    reach = np.linalg.norm(thinned[quarter[:, -1]] - thinned, axis=1)
    return np.median(thinned[quarter[reach.argmin()]], axis=0)


def _draw_images(ax, points, images, order, most, taken):
    """Draw images over their points, skipping those that would cover a name or another image."""
    scale = _THUMBNAIL / max(images.shape[1:3])
    half, drawn = (images.shape[2] * scale / 2, images.shape[1] * scale / 2), 0
    for i in order:
        x, y = points[i]
        if drawn == most:
            break
        if _is_free((x, y, *half), taken):
            taken.append((x, y, *half))
            drawn += 1
            extent = (x - half[0], x + half[0], y - half[1], y + half[1])
            show_pixels(ax, images[i], extent, zorder=4)


def _is_free(box, taken):
    x, y, half_width, half_height = box
    return all(abs(x - a) >= half_width + w or abs(y - b) >= half_height + h for a, b, w, h in taken)


def _edges(measured, k):
    """Distance of each pair of classes that is joined, by their places; the nearest pair first."""
    edges = {}
    for one, row in enumerate(measured):
        for other in np.argsort(row, kind="stable")[:k].tolist():
            pair = (min(one, other), max(one, other))
            edges[pair] = min(float(row[other]), edges.get(pair, np.inf))
    return dict(sorted(edges.items(), key=lambda edge: edge[1]))


def _draw_edges(ax, points, classes, edges):
    near, far = min(edges.values()), max(edges.values())
    for number, (pair, distance) in enumerate(edges.items()):
        share = (far - distance) / (far - near) if far > near else 1.0
        gid = f"edge: {classes[pair[0]]}-{classes[pair[1]]}"
        look = {"lw": 0.8 + 4 * share, "alpha": 0.25 + 0.4 * share, "solid_capstyle": "round"}
        ax.plot(*points[list(pair)].T, color=styling.RIGHT, zorder=1, gid=gid, **look)
        if number < _NUMBERS:
            ground = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
            look = {"fontsize": 8, "color": styling.MUTED, "zorder": 1.5, "bbox": ground}
            middle = points[list(pair)].mean(axis=0)
            ax.text(*middle, styling.number(distance), ha="center", va="center", **look)


def _draw_centers(ax, points, classes, held_out, name):
    for at, label in zip(points, classes, strict=True):
        color, marker = styling.class_style(label)
        look = {"facecolor": "white" if label in held_out else color, "edgecolor": color, "marker": marker}
        ax.scatter(*at, s=90, linewidth=1.6, zorder=2, gid=str(label), **look)
        look = {"ha": "center", "va": "bottom", "color": None, "fontweight": "bold", "zorder": 3}
        styling.write(ax, styling.shorten(name(label), 1.4, 9), at, (0, 8), **look)
