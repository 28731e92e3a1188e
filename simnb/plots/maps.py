"""A map of the embeddings in two dimensions."""

import matplotlib.patheffects as effects
import numpy as np
from scipy.spatial.distance import cdist

from simnb import _checks
from simnb.index import UNKNOWN
from simnb.plots import _style
from simnb.plots._canvas import displayable
from simnb.projection import METHODS, check_points, project

_MOST_IN_LEGEND = 20
_THUMBNAIL = 0.058  # of the map's width


def embedding_map(
    embeddings,
    labels,
    *,
    images=None,
    class_names=None,
    held_out=(),
    points=None,
    method="tsne",
    num_images=60,
    seed=0,
    ax=None,
    title=None,
):
    """Draw embeddings as points on a plane, so that neighbors lie together.

    Classes differ in colour and marker, and their names stand where their points lie densest.

    Args:
        embeddings: Shape [num_examples, dim].
        labels: Class of each, shape [num_examples]; ``UNKNOWN`` is drawn as small grey dots.
        images: Images of the same examples, shape [num_examples, height, width, channels]. Some of them
            are drawn over their points, where they do not cover one another.
        class_names: Name of each class; the labels themselves when left out.
        held_out: Classes that training never saw; drawn hollow and named so.
        points: Positions that ``simnb.projection.project`` gave, shape [num_examples, 2]; made here when left
            out.
        method: How they were made, or are: ``tsne``, ``pca`` or ``umap``, as in ``project``.
        num_images: Draw at most this many images.
        seed: Seed of the choice of images, and of ``project``.
        ax: Axes to draw into; new ones when left out.
        title: What to see.

    Returns:
        The ``Axes``. Distances on a t-SNE map are not those between the embeddings, and its note says so.

    Raises:
        ValueError: If there is no embedding, lengths differ, a label has no name, the method is unknown,
            or t-SNE or UMAP is asked for fewer than 4 embeddings.
    """
    embeddings = _checks.not_empty(_checks.embeddings(embeddings), name="embeddings")
    labels = _checks.labels(labels, count=len(embeddings))
    _checks.one_of(method, METHODS, name="method")
    seed = _checks.seed(seed)
    if images is not None:
        images = displayable(images)
        if len(images) != len(embeddings):
            raise ValueError(
                f"images and embeddings must have the same length, got {len(images)} and {len(embeddings)}"
            )
    name = _style.class_namer(class_names, labels)
    if points is None:
        points = project(embeddings, method, seed=seed)
    points = _to_unit_square(check_points(points, embeddings))
    height = max(float(np.ptp(points[:, 1])), 0.4) + 0.08
    room = 7.0 if ax is None else None
    ax = _style.plain_axes(ax, (7.9, 1.1 + 5.3 * height))
    bottom = (points[:, 1].min() + points[:, 1].max() - height) / 2
    ax.set(xlim=(-0.04, 1.04), ylim=(bottom, bottom + height), aspect="equal", xticks=[], yticks=[])
    ax.set(xlabel=f"{METHODS[method]} 1", ylabel=f"{METHODS[method]} 2")
    classes = np.unique(labels)
    _draw_points(ax, points, labels, classes, set(held_out), name)
    taken = _write_names(ax, points, labels, classes, set(held_out), name)
    if images is not None:
        order = np.random.default_rng(seed).permutation(len(images))
        _draw_images(ax, points, images, order, num_images, taken)
    kept = f"{METHODS[method]} keeps only neighborhoods"
    note = f"Far apart on this map need not be far apart in the embedding: {kept}."
    if method == "pca":
        note = "Two directions out of many: what overlaps here may lie far apart in the embedding."
    if len(held_out):
        note += "\nHollow: held out of training."
    shown = f"{_style.count(len(labels), 'embedding')} of {_style.count(len(classes), 'class')}"
    _style.heading(ax, title or f"{shown}: does each class form a group?", note, inches=room)
    return ax


def _to_unit_square(points):
    low, high = points.min(axis=0), points.max(axis=0)
    span = max(float((high - low).max()), 1e-12)
    return (points - (low + high) / 2) / span + 0.5


def _draw_points(ax, points, labels, classes, held_out, name):
    size = float(np.clip(24_000 / len(labels), 7, 42))
    for label in classes:
        color, marker = ("#9a9a9a", ".") if label == UNKNOWN else _style.class_style(label)
        hollow = label in held_out
        at = points[labels == label]
        ax.scatter(
            at[:, 0], at[:, 1], s=size * (1.5 if hollow else 1), marker=marker, gid=str(label),
            facecolor="none" if hollow else color, edgecolor=color if hollow else "white",
            linewidth=1.0 if hollow else 0.25, alpha=0.9, label=_legend_name(name(label), hollow),
        )  # fmt: skip
    if len(classes) <= _MOST_IN_LEGEND:
        legend = ax.legend(
            loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9, handletextpad=0.2
        )
        for handle in legend.legend_handles:
            handle.set_sizes([42])


def _legend_name(name, hollow):
    return _style.shorten(name, 1.4, 9) + (" (held out)" if hollow else "")


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
        text = _style.shorten(name(label), 1.0, size) if many else _legend_name(name(label), hollow)
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
        ax.text(
            x, y, text, ha="center", va="center", fontsize=size, fontweight=weight, color=_style.INK,
            zorder=6, path_effects=[effects.withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
    return taken


def _densest(points):
    """Return the middle of the quarter of the points that lie closest; their median may lie where none is."""
    some = points[:: -(-len(points) // 500)]
    quarter = np.argsort(cdist(some, some), axis=1, kind="stable")[:, : -(-len(some) // 4)]
    reach = np.linalg.norm(some[quarter[:, -1]] - some, axis=1)
    return np.median(some[quarter[reach.argmin()]], axis=0)


def _draw_images(ax, points, images, order, most, taken):
    """Draw images over their points, skipping those that would cover a name or another image."""
    scale = _THUMBNAIL / max(images.shape[1:3])
    half = images.shape[2] * scale / 2, images.shape[1] * scale / 2
    drawn = 0
    for i in order:
        x, y = points[i]
        if drawn == most:
            break
        if not _is_free((x, y, *half), taken):
            continue
        taken.append((x, y, *half))
        drawn += 1
        gray = images.shape[-1] == 1
        ax.imshow(
            images[i, ..., 0] if gray else images[i],
            extent=(x - half[0], x + half[0], y - half[1], y + half[1]),
            cmap="gray" if gray else None, vmin=0, vmax=255, aspect="equal", zorder=4,
            interpolation="nearest" if max(images.shape[1:3]) <= 64 else "auto",
        )  # fmt: skip


def _is_free(box, taken):
    x, y, half_width, half_height = box
    return all(abs(x - a) >= half_width + w or abs(y - b) >= half_height + h for a, b, w, h in taken)
