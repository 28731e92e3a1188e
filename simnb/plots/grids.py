"""Figures made of images: a batch, the neighbors of queries, the queries that were rejected."""

import numpy as np

from simnb import _checks
from simnb.index import UNKNOWN
from simnb.metrics import known_queries
from simnb.plots import _style
from simnb.plots._canvas import GAP, LINE, canvas, caption, cell_height, cell_of, displayable, draw, headed

_INDENT = 1.35  # where neighbors begin, in cells


def image_grid(images, labels=None, *, class_names=None, columns=8, title=None):
    """Draw the images of a batch.

    Where every row turns out to hold one class, as in the batches of ``simnb.samplers`` with
    ``columns=examples_per_class``, its name stands once, at the left; otherwise above each image.

    Args:
        images: Shape [num_examples, height, width, channels], with 1, 3 or 4 channels. Integers are
            0 to 255; floats are 0 to 1, or -1 to 1 where any is negative, or 0 to 255 where any
            exceeds 2.
        labels: Class of each image, shape [num_examples].
        class_names: Name of each class; the labels themselves when left out.
        columns: Images in a row.
        title: What to see; counted from the labels when left out.

    Returns:
        A ``Figure``.

    Raises:
        ValueError: If there is no image, a shape or length is wrong, or a label has no name.
    """
    pixels = displayable(images)
    count, columns = len(pixels), _checks.positive_int(columns, name="columns")
    rows = [range(start, min(start + columns, count)) for start in range(0, count, columns)]
    cell = min(0.95, 7.6 / min(columns, count))
    names, by_row = [""] * count, False
    if labels is not None:
        labels = _checks.labels(labels, count=count, of="images").tolist()
        by_row = columns > 1 and all(len({labels[i] for i in row}) == 1 for row in rows)
        name = _style.class_namer(class_names, labels)
        names = [_style.shorten(name(label), 1.4 if by_row else cell, 9) for label in labels]
    left = (0.075 * max(map(len, names)) + 0.15) / cell if by_row else 0
    above = LINE / cell if labels is not None and not by_row else 0
    height = cell_height(pixels)
    step = height + above + GAP
    ax = canvas(left + min(columns, count) * (1 + GAP), len(rows) * step, cell)
    for row, members in enumerate(rows):
        for column, i in enumerate(members):
            box = (left + column * (1 + GAP), row * step + above, 1, height)
            draw(ax, pixels[i], box)
            if above:
                caption(ax, names[i], box, above=True)
        if by_row:
            y = row * step + height / 2
            ax.text(left - 0.12, y, names[members[0]], ha="right", va="center", fontsize=9)
    return headed(ax, title or _grid_title(labels, count, by_row))


def neighbor_grid(queries, neighbors, gallery, *, num_queries=5, threshold=None, title=None):
    """Draw queries, one a line, each followed by its neighbors, nearest first.

    A neighbor of the query's class has a solid blue border and a ✓, any other a dashed vermilion one and a ✗.
    One beyond the threshold gives no answer, and leaves the query unknown: it is faded, with a dotted grey
    border and a ?. Neighbors are looked up in the gallery by id; padded places stay empty.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        gallery: ``Examples`` that were indexed.
        num_queries: Draw this many, from the first.
        threshold: Largest distance that still matches; where it is left out, no neighbor is beyond it.
        title: What to see; counted from the labels when left out.

    Returns:
        A ``Figure``.

    Raises:
        ValueError: If lengths differ, there is no query, or an id is not in the gallery.
    """
    places = look_up(queries, neighbors, gallery)
    labels = np.asarray(queries.labels)
    name = _style.class_namer(queries.class_names, labels, name="queries")
    neighbor_name = _style.class_namer(gallery.class_names, neighbors.labels.ravel(), name="neighbors")
    rows = range(min(_checks.positive_int(num_queries, name="num_queries"), len(neighbors)))
    asked, found = _pictures(queries, np.array(rows)), _pictures(gallery, places[: len(rows)])
    right = (neighbors.labels == labels[:, None]) & (neighbors.labels != UNKNOWN)
    known = known_queries(labels, gallery.labels)
    cell = float(np.clip(8.8 / (_INDENT + neighbors.k * (1 + GAP)), 0.8, 1.15))
    height, above = cell_height(queries.images), LINE / cell
    step = height + 2.35 * above + 0.06
    ax = canvas(_INDENT + neighbors.k * (1 + GAP), above + len(rows) * step, cell, least=5.6)
    for row in rows:
        box = (0, above + row * step, 1, height)
        draw(ax, asked[row], box)
        caption(ax, name(labels[row]), box, weight="bold")
        if not known[row]:
            caption(ax, "not in gallery", (-0.15, box[1], 1.3, height), line=1)
        for column in np.flatnonzero(places[row] >= 0):
            beside = (_INDENT + column * (1 + GAP), *box[1:])
            label, distance = neighbor_name(neighbors.labels[row, column]), neighbors.distances[row, column]
            image, ok = found[places[row, column]], right[row, column]
            _draw_neighbor(ax, image, beside, label, distance, right=ok, threshold=threshold)
    return _headed_neighbors(ax, neighbors, right[: len(rows)], known[: len(rows)], threshold, title)


def rejected_grid(queries, neighbors, matches, gallery, *, num_queries=8, title=None):
    """Draw queries that were rejected, each beside its nearest neighbor, and say what that did.

    A query was spared a wrong label (✓, solid blue border) where the gallery lacks its class or the nearest
    neighbor is of another one, and lost the right one (✗, dashed vermilion border) otherwise.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        matches: ``Matches`` of these neighbors.
        gallery: ``Examples`` that were indexed.
        num_queries: Draw this many rejected queries: the first that were spared, then the first that
            were lost, half and half where there are enough of each.
        title: What to see; counted over all rejected queries when left out.

    Returns:
        A ``Figure``; where nothing was rejected, one that says so.

    Raises:
        ValueError: If lengths differ, there is no query, or an id is not in the gallery.
    """
    places = look_up(queries, neighbors, gallery)[:, 0]
    _checks.labels(matches.labels, count=len(neighbors), name="matches", of="neighbors")
    labels, nearest = np.asarray(queries.labels), neighbors.labels[:, 0]
    name = _style.class_namer(queries.class_names, labels, name="queries")
    neighbor_name = _style.class_namer(gallery.class_names, nearest, name="neighbors")
    held_out = ~known_queries(labels, gallery.labels)
    lost = ~held_out & (nearest == labels)
    rejected = np.flatnonzero(~matches.accepted)
    shown = _some_of_each(rejected, lost[rejected], _checks.positive_int(num_queries, name="num_queries"))
    asked, found = _pictures(queries, shown), _pictures(gallery, places[shown])
    cell, height, across = 0.92, cell_height(queries.images), min(4, max(len(shown), 1))
    step, pair = height + 3.3 * LINE / cell + 0.12, 2 + GAP + 0.3
    ax = canvas(across * pair - 0.3, max(-(-len(shown) // across) * step, 0.5), cell, least=5.2)
    for place, query in enumerate(shown):
        box = (place % across * pair, place // across * step, 1, height)
        beside, both = (box[0] + 1 + GAP, *box[1:]), (*box[:2], 2 + GAP, height)
        draw(ax, asked[query], box)
        caption(ax, name(labels[query]), box, weight="bold")
        if places[query] >= 0:
            draw(ax, found[places[query]], beside)
            caption(ax, neighbor_name(nearest[query]), beside)
            caption(ax, _style.number(neighbors.distances[query, 0]), beside, line=1)
        ok = not lost[query]
        verdict = _style.verdict(ok)
        _style.border(ax, both, verdict)
        text = f"{_style.symbol(verdict)} {_reason(ok, held_out[query], places[query])}"
        caption(ax, text, both, line=2, color=_style.verdict_color(verdict))
    return _headed_rejected(ax, lost[rejected], lost[shown], neighbors, title)


def look_up(queries, neighbors, gallery):
    """Position in the gallery of every neighbor, shape [num_queries, k]; -1 in padded places."""
    _style.check_examples(queries, name="queries")
    _style.check_examples(gallery, name="gallery")
    if len(neighbors) != len(queries.images):
        raise ValueError(
            "queries and neighbors must have the same length, "
            f"got {len(queries.images)} and {len(neighbors)}; index both the same way"
        )
    ids = np.asarray(gallery.ids)
    order = np.argsort(ids, kind="stable")
    at = order[np.minimum(np.searchsorted(ids, neighbors.ids, sorter=order), len(ids) - 1)]
    padded = neighbors.ids < 0
    missing = np.unique(neighbors.ids[(ids[at] != neighbors.ids) & ~padded])
    if len(missing):
        raise ValueError(
            f"gallery must hold every id in neighbors, but lacks {len(missing)}, for example {missing[0]}; "
            "pass the examples that were indexed"
        )
    return np.where(padded, -1, at)


def _pictures(examples, positions):
    """What is needed of the images, by position."""
    positions = np.unique(positions[positions >= 0])
    if not len(positions):
        return {}
    images = displayable(np.asarray(examples.images[positions]))
    return dict(zip(positions.tolist(), images, strict=True))


def _draw_neighbor(ax, image, box, label, distance, *, right, threshold):
    # Compared in the dtype of the distances, as matching does.
    beyond = threshold is not None and distance > np.asarray(threshold, distance.dtype)
    draw(ax, image, box, faded=beyond)
    verdict = "unknown" if beyond else _style.verdict(right)
    _style.border(ax, box, verdict)
    caption(ax, f"{_style.symbol(verdict)} {label}", box, color=_style.verdict_color(verdict))
    caption(ax, f"{_style.number(distance)}{' beyond' if beyond else ''}", box, line=1)


def _some_of_each(rejected, lost, most):
    """The first of the queries rejected rightly, then the first losses: half and half where possible."""
    rightly, losses = rejected[~lost], rejected[lost]
    rightly = rightly[: most - min(len(losses), most // 2)]
    return np.concatenate([rightly, losses[: most - len(rightly)]])


def _reason(ok, held_out, place):
    if not ok:
        return "lost: nearest was right"
    if held_out:
        return "spared: class not in gallery"
    return "spared: nearest is wrong" if place >= 0 else "spared: no neighbor"


def _grid_title(labels, count, by_row):
    images = _style.count(count, "image")
    if labels is None:
        return images
    classes = _style.count(len(set(labels)), "class")
    return f"{classes}, {images}: each row shows one class" if by_row else f"{images} of {classes}"


def _headed_neighbors(ax, neighbors, right, known, threshold, title):
    top = LINE / cell_of(ax)
    caption(ax, "query", (0, top, 1, 0), above=True, weight="bold")
    for column in range(neighbors.k):
        text = str(column + 1) if column else "nearest"
        caption(ax, text, (_INDENT + column * (1 + GAP), top, 1, 0), above=True)
    number = _style.distance_name(neighbors.distance)
    note = "✓ solid: the query's class    ✗ dashed: another class"
    if threshold is not None:
        note += f"    ? dotted: beyond the threshold {_style.number(threshold)}"
    note += f"    number: {number}"
    found = f"{right[:, 0].sum()} of {_style.count(int(known.sum()), 'query')} found their own class nearest"
    if not known.all():
        found += f"; {(~known).sum()} of no indexed class"
    return headed(ax, title or found, note)


def _headed_rejected(ax, lost, lost_shown, neighbors, title):
    total = _style.count(len(neighbors), "query")
    if not len(lost):
        ax.text(0, 0.25, "✓ Every query got a label.", family=_style.SYMBOL_FONT, fontsize=9.5, va="center")
        return headed(ax, title or f"None of {total} was rejected")
    number = _style.distance_name(neighbors.distance)
    note = f"Left: the query. Right: its nearest neighbor and their {number}."
    if len(lost_shown) < len(lost):
        note += f" Shown: {(~lost_shown).sum()} spared, {lost_shown.sum()} lost."
    counts = f"{(~lost).sum():,} spared a wrong label, {lost.sum():,} lost the right one"
    return headed(ax, title or f"{len(lost):,} of {total} rejected: {counts}", note)
