"""Sheets of images with captions: a batch, neighbors, rejected queries, confused classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from simnb import _checks
from simnb.data import Examples
from simnb.index import UNKNOWN, Neighbors
from simnb.matching import Matches
from simnb.metrics import known_queries
from simnb.plots import styling
from simnb.plots.pictures import displayable, look_up, show_pixels

_GAP = 0.08  # between images, in cells
_CAPTION = 8.5  # points
_LINE = _CAPTION * 1.4 / 72  # inches
_MARGIN = 0.06  # around the figure, in inches
_INDENT = 1.35  # where neighbors begin, in cells
_APART = 0.5  # before the neighbors of a name, in cells
_ARROW = 0.55  # between a query and its neighbor, in cells
_SPACE = 0.45  # between two mistakes
#: A sentence where there is no image.
_ALONE: dict[str, Any] = {"family": styling.SYMBOL_FONT, "fontsize": 9.5, "va": "center"}


def image_grid(
    images: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    columns: int = 8,
    title: str | None = None,
) -> Figure:
    """Draw the images of a batch.

    Where every row turns out to hold one class, as in the batches of ``simnb.samplers`` with
    ``columns=examples_per_class``, its name stands once, at the left; otherwise above each image.

    Args:
        images: Shape [num_examples, height, width, channels], with 1, 3 or 4 channels: integers of 0 to 255,
            or floats of 0 to 1, of -1 to 1 where any is negative, or of 0 to 255 where any exceeds 2.
        labels: Class of each image, shape [num_examples].
        class_names: Name of each class; the labels themselves by default.
        columns: Images in a row.
        title: Heading of the figure; counted from the labels by default.

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
        labels = _checks.labels(labels, count=count, of="images")
        by_row = columns > 1 and all(len(np.unique(labels[row])) == 1 for row in rows)
        name = styling.class_namer(class_names, labels)
        names = [styling.shorten(name(label), 1.4 if by_row else cell, 9) for label in labels]
    left = (0.075 * max(map(len, names)) + 0.15) / cell if by_row else 0
    above = _LINE / cell if labels is not None and not by_row else 0
    height = pixels.shape[1] / pixels.shape[2]
    step = height + above + _GAP
    ax = _canvas(left + min(columns, count) * (1 + _GAP), len(rows) * step, cell)
    for row, members in enumerate(rows):
        for column, i in enumerate(members):
            box = (left + column * (1 + _GAP), row * step + above, 1, height)
            _draw(ax, pixels[i], box, names[i] if above else "", above=True)
        if by_row:
            y = row * step + height / 2
            ax.text(left - 0.12, y, names[members[0]], ha="right", va="center", fontsize=9)
    shown = styling.count(count, "image")
    if labels is not None and by_row and UNKNOWN not in labels:
        shown = f"{styling.count(len(set(labels)), 'class')}, {shown}: each row shows one class"
    elif labels is not None:
        shown = styling.of_classes("image", labels)
    return _headed(ax, title or shown)


def neighbor_grid(
    queries: Examples,
    neighbors: Neighbors,
    gallery: Examples,
    *,
    num_queries: int = 5,
    threshold: float | None = None,
    notes: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw queries, one a line, each followed by its neighbors, nearest first.

    A neighbor of the query's class has a solid blue border and a ✓, any other a dashed vermilion one and a ✗.
    One beyond the threshold gives no answer, and leaves the query unknown: it is faded, with a dotted grey
    border and a ?. Where query or neighbor has no label, there is no border. Neighbors are looked up in the
    gallery by id; padded places stay empty.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        gallery: ``Examples`` that were indexed.
        num_queries: Draw this many, from the first.
        threshold: Largest distance that still matches; where it is left out, no neighbor is beyond it.
        notes: Some words below the name of each query; by default where its class is not in the gallery.
        title: Heading of the figure; counted from the labels by default.

    Returns:
        A ``Figure``.

    Raises:
        ValueError: If lengths differ, there is no query, or an id is not in the gallery.
    """
    places = look_up(queries, neighbors, gallery)
    labels = np.asarray(queries.labels)
    if notes is not None:
        _checks.same_length(notes, labels, "notes and queries")
    name = styling.class_namer(queries.class_names, labels, name="queries")
    neighbor_name = styling.class_namer(gallery.class_names, neighbors.labels.ravel(), name="neighbors")
    rows = range(min(_checks.positive_int(num_queries, name="num_queries"), len(neighbors)))
    asked, found = _pictures(queries, np.array(rows)), _pictures(gallery, places[: len(rows)])
    judged = (neighbors.labels != UNKNOWN) & (labels[:, None] != UNKNOWN)
    right = (neighbors.labels == labels[:, None]) & judged
    known = known_queries(labels, gallery.labels)
    cell = float(np.clip(8.8 / (_INDENT + neighbors.k * (1 + _GAP)), 0.8, 1.15))
    height, above = queries.images.shape[1] / queries.images.shape[2], _LINE / cell
    step = height + 2.35 * above + 0.06
    ax = _canvas(_INDENT + neighbors.k * (1 + _GAP), above + len(rows) * step, cell, least=5.6)
    for row in rows:
        box = (0, above + row * step, 1, height)
        _draw(ax, asked[row], box, name(labels[row]), weight="bold")
        absent = not known[row] and labels[row] != UNKNOWN
        note = styling.plain(notes[row]) if notes is not None else "not in gallery" if absent else ""
        if note:
            _caption(ax, note, (-0.15, box[1], 1.3, height), line=1)
        for column in np.flatnonzero(places[row] >= 0):
            beside = (_INDENT + column * (1 + _GAP), *box[1:])
            label, distance = neighbor_name(neighbors.labels[row, column]), neighbors.distances[row, column]
            # Compared in the dtype of the distances, as matching does.
            beyond = threshold is not None and distance > np.asarray(threshold, distance.dtype)
            verdict = "right" if right[row, column] else "wrong" if judged[row, column] else None
            symbol, color = _border(ax, beside, "unknown" if beyond else verdict)
            image = found[places[row, column]]
            _draw(ax, image, beside, f"{symbol} {label}".strip(), faded=beyond, color=color)
            _caption(ax, f"{styling.number(distance)}{' beyond' if beyond else ''}", beside, line=1)
    shown = slice(len(rows))
    unlabelled = labels[shown] == UNKNOWN
    return _headed_neighbors(ax, neighbors, right[shown], known[shown], unlabelled, threshold, title)


def compare_neighbors(
    queries: Examples,
    found: Mapping[str, Neighbors],
    gallery: Examples,
    *,
    num_queries: int = 5,
    title: str | None = None,
) -> Figure:
    """Draw queries, one a line, with what several embeddings find for them side by side, nearest first.

    A neighbor of the query's class has a solid blue border and a ✓ above it, any other a dashed vermilion
    one and a ✗. Beside each name stands for how many of the queries drawn its nearest neighbor is right.

    Args:
        queries: ``Examples`` that were searched.
        found: ``Neighbors`` of these queries by the name of what found them, drawn from left to right.
        gallery: ``Examples`` that were indexed.
        num_queries: Draw this many, from the first.
        title: Heading of the figure; counted from the labels by default.

    Returns:
        A ``Figure``.

    Raises:
        ValueError: If there is no name or no query, lengths differ, or an id is not in the gallery.
    """
    if not found:
        raise ValueError("found must hold the neighbors of at least one name, got none")
    places = {name: look_up(queries, neighbors, gallery) for name, neighbors in found.items()}
    labels = np.asarray(queries.labels)
    count = min(_checks.positive_int(num_queries, name="num_queries"), len(labels))
    asked = _pictures(queries, np.arange(count))
    cell = min(0.9, 8.8 / (1 + sum(_APART + n.k * (1 + _GAP) for n in found.values())))
    height, above = queries.images.shape[1] / queries.images.shape[2], _LINE / cell
    step, top = height + 1.25 * above + 0.06, 2.2 * above
    wide = 1 + sum(_APART + n.k * (1 + _GAP) for n in found.values())
    ax = _canvas(wide, top + count * step, cell)
    for row in range(count):
        _draw(ax, asked[row], (0, top + row * step, 1, height), "")
    _caption(ax, "query", (-0.2, above, 1.4, 0), above=True, weight="bold")
    left, rights = 1.0, {}
    for name, neighbors in found.items():
        left += _APART
        pictures = _pictures(gallery, places[name][:count])
        right = (neighbors.labels == labels[:, None]) & (neighbors.labels != UNKNOWN)
        rights[name] = int(right[:count, 0].sum())
        for row, column in np.argwhere(places[name][:count] >= 0):
            box = (left + column * (1 + _GAP), top + row * step, 1, height)
            symbol, color = _border(ax, box, "right" if right[row, column] else "wrong")
            _draw(ax, pictures[places[name][row, column]], box, symbol, above=True, color=color)
        width = neighbors.k * (1 + _GAP) - _GAP
        caption = f"{styling.plain(name)}: {rights[name]} of {count} right"
        _caption(ax, caption, (left - _APART / 2, above, width + _APART, 0), above=True, weight="bold")
        left += neighbors.k * (1 + _GAP)
    counts = ", ".join(f"{styling.plain(name)} {right}" for name, right in rights.items())
    total = styling.count(count, "query")
    note = "✓ solid: the query's class    ✗ dashed: another class    nearest first"
    return _headed(ax, title or f"Of {total} the nearest is right by: {counts}", note)


def rejected_grid(
    queries: Examples,
    neighbors: Neighbors,
    matches: Matches,
    gallery: Examples,
    *,
    num_queries: int = 8,
    title: str | None = None,
) -> Figure:
    """Draw queries that were rejected, each beside its nearest neighbor, and say what that did.

    An unknown query, whose class the gallery lacks, is kept out (✓, solid blue border). A known one is
    missed (?, dotted grey border); the words below it say whether its nearest neighbor was right or wrong.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        matches: ``Matches`` of these neighbors.
        gallery: ``Examples`` that were indexed.
        num_queries: Draw this many: the first whose rejection loses nothing, then the first whose nearest
            neighbor is right, half and half where there are enough of each. Where others are left out, the
            line below the title says so.
        title: Heading of the figure; counted over all rejected queries by default.

    Returns:
        A ``Figure``; where nothing was rejected, one that says so.

    Raises:
        ValueError: If lengths differ, there is no query, or an id is not in the gallery.
    """
    _checks.labelled(queries.labels, "rejected_grid")
    places = look_up(queries, neighbors, gallery)[:, 0]
    _checks.labels(matches.labels, count=len(neighbors), name="matches", of="neighbors")
    labels, nearest = np.asarray(queries.labels), neighbors.labels[:, 0]
    name = styling.class_namer(queries.class_names, labels, name="queries")
    neighbor_name = styling.class_namer(gallery.class_names, nearest, name="neighbors")
    held_out = ~known_queries(labels, gallery.labels)
    lost = ~held_out & (nearest == labels)
    rejected = np.flatnonzero(~matches.accepted)
    harmless, losses = rejected[~lost[rejected]], rejected[lost[rejected]]
    most = _checks.positive_int(num_queries, name="num_queries")
    shown = harmless[: most - min(len(losses), most // 2)]
    shown = np.concatenate([shown, losses[: most - len(shown)]])
    asked, found = _pictures(queries, shown), _pictures(gallery, places[shown])
    cell, height, across = 0.92, queries.images.shape[1] / queries.images.shape[2], min(4, max(len(shown), 1))
    step, pair = height + 3.3 * _LINE / cell + 0.12, 2 + _GAP + 0.3
    ax = _canvas(across * pair - 0.3, max(-(-len(shown) // across) * step, 0.5), cell, least=5.2)
    for place, query in enumerate(shown):
        box = (place % across * pair, place // across * step, 1, height)
        beside, both = (box[0] + 1 + _GAP, *box[1:]), (*box[:2], 2 + _GAP, height)
        _draw(ax, asked[query], box, name(labels[query]), weight="bold")
        if places[query] >= 0:
            _draw(ax, found[places[query]], beside, neighbor_name(nearest[query]))
            _caption(ax, styling.number(neighbors.distances[query, 0]), beside, line=1)
        why = f"nearest was {'right' if lost[query] else 'wrong'}" if places[query] >= 0 else "no neighbor"
        symbol, color = _border(ax, both, "right" if held_out[query] else "unknown")
        text = f"{symbol} kept out" if held_out[query] else f"{symbol} missed: {why}"
        _caption(ax, text, both, line=2, color=color)
    return _headed_rejected(ax, held_out[rejected], lost[rejected], lost[shown], neighbors, title)


def confused_pairs(
    queries: Examples,
    neighbors: Neighbors,
    gallery: Examples,
    *,
    num_pairs: int = 4,
    each: int = 3,
    title: str | None = None,
) -> Figure:
    """Draw the classes that are taken for one another most often, with images: a line for each pair.

    A mistake is a query whose nearest neighbor is of another class; those of both directions are counted
    together. Each is drawn as the query and its neighbor, the nearest first: the surest mistakes.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        gallery: ``Examples`` that were indexed.
        num_pairs: Draw this many pairs of classes.
        each: Draw this many mistakes of each.
        title: Heading of the figure; counted from the labels by default.

    Returns:
        A ``Figure``; where nothing is confused, one that says so.

    Raises:
        ValueError: If lengths differ, there is no query, or an id is not in the gallery.
    """
    _checks.labelled(queries.labels, "confused_pairs")
    places, labels = look_up(queries, neighbors, gallery)[:, 0], np.asarray(queries.labels)
    num_pairs = _checks.positive_int(num_pairs, name="num_pairs")
    each = _checks.positive_int(each, name="each")
    found = neighbors.labels[:, 0]
    name = styling.class_namer(queries.class_names, np.concatenate([labels, found]), name="queries")
    wrong = np.flatnonzero((labels != found) & (labels != UNKNOWN) & (found != UNKNOWN))
    pairs = np.sort(np.stack([labels[wrong], found[wrong]], axis=1), axis=1)
    pairs, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:num_pairs]
    drawn, counts = pairs[order], counts[order]
    cell, height = 0.85, queries.images.shape[1] / queries.images.shape[2]
    longest = max((len(name(label)) for label in drawn.ravel()), default=0)
    left = min(0.09 * longest, 1.3) / cell + 1.1
    step, wide = height + 1.3 * _LINE / cell + 0.16, 2 + _ARROW + _SPACE
    ax = _canvas(left + each * wide, max(len(drawn) * step, 0.5), cell, least=5.2)
    for row, (pair, count) in enumerate(zip(drawn, counts, strict=True)):
        middle, both = row * step + height / 2, "\n".join(styling.shorten(name(one), 1.3, 10) for one in pair)
        ax.text(0, middle, both, va="center", fontsize=10, fontweight="bold", color=styling.INK)
        ax.text(left - 0.5, middle, f"{count:,}", ha="right", va="center", fontsize=10, color=styling.WRONG)
        of_pair = wrong[np.isin(labels[wrong], pair) & np.isin(found[wrong], pair)]
        of_pair = of_pair[np.argsort(neighbors.distances[of_pair, 0], kind="stable")][:each]
        for column, query in enumerate(of_pair):
            box = (left + column * wide, row * step, 1, height)
            images = (queries.images[query : query + 1], gallery.images[places[query] : places[query] + 1])
            _draw_mistake(ax, images, (name(labels[query]), name(found[query])), box)
    if not len(drawn):
        ax.text(0, 0.25, "✓ No class is taken for another.", **_ALONE)
        return _headed(ax, title or f"None of {styling.count(len(labels), 'query')} is confused")
    total, several = styling.count(len(wrong), "mistake"), styling.count(len(drawn), "pair")
    text = f"{counts.sum():,} of {total} are among {several} of classes"
    note = "number: mistakes of a pair, both ways    arrow: the query, and what was nearest"
    return _headed(ax, title or text, note)


def _pictures(examples, positions):
    """What is needed of the images, by position."""
    positions = np.unique(positions[positions >= 0])
    if not len(positions):
        return {}
    images = displayable(np.asarray(examples.images[positions]))
    return dict(zip(positions.tolist(), images, strict=True))


def _headed_neighbors(ax, neighbors, right, known, unlabelled, threshold, title):
    top = _LINE / _cell_of(ax)
    _caption(ax, "query", (0, top, 1, 0), above=True, weight="bold")
    for column in range(neighbors.k):
        text = str(column + 1) if column else "nearest"
        _caption(ax, text, (_INDENT + column * (1 + _GAP), top, 1, 0), above=True)
    number = styling.distance_name(neighbors.distance)
    notes = [] if unlabelled.all() else ["✓ solid: the query's class    ✗ dashed: another class"]
    if threshold is not None:
        notes.append(f"? dotted: beyond {styling.number(threshold)}")
    found = f"{right[:, 0].sum()} of {styling.count(int(known.sum()), 'query')} found their own class nearest"
    strange = int((~known & ~unlabelled).sum())
    found += f"; {strange} of no indexed class" if strange else ""
    found += f"; {unlabelled.sum()} without a label" if unlabelled.any() else ""
    if unlabelled.all():
        found = f"{styling.count(len(known), 'query')} without a label, and what is nearest"
    return _headed(ax, title or found, "    ".join([*notes, f"number: {number}"]))


def _headed_rejected(ax, held_out, lost, lost_shown, neighbors, title):
    total = styling.count(len(neighbors), "query")
    if not len(lost):
        ax.text(0, 0.25, "✓ Every query got a label.", **_ALONE)
        return _headed(ax, title or f"None of {total} was rejected")
    number = styling.distance_name(neighbors.distance)
    note = f"left: query    right: its nearest neighbor, {number}    ✓ solid: kept out    ? dotted: missed"
    if len(lost_shown) < len(lost):
        kinds = {"not right": (~lost_shown).sum(), "right": lost_shown.sum()}
        first = [f"the first {count} whose nearest was {kind}" for kind, count in kinds.items() if count]
        note += f"    shown of {len(lost):,}: {', and '.join(first)}"
    counts = f"{held_out.sum():,} kept out, {(~held_out).sum():,} missed"
    counts += f"; {lost.sum():,} had the right neighbor"
    return _headed(ax, title or f"{len(lost):,} of {total} rejected: {counts}", note)


def _draw_mistake(ax, images, names, box):
    left, top, width, height = box
    for x, image, name in zip((left, left + 1 + _ARROW), images, names, strict=True):
        _draw(ax, displayable(np.asarray(image))[0], (x, top, width, height), name)
    look = {"fontsize": 13, "color": styling.WRONG, "family": styling.SYMBOL_FONT}
    ax.text(left + 1 + _ARROW / 2, top + height / 2, "→", ha="center", va="center", **look)


def _border(ax, box, verdict):
    """Frame ``box`` as a verdict is: solid, dashed or dotted; return the symbol and the colour of it.

    None is no verdict, and has neither frame nor symbol.
    """
    if verdict is None:
        return "", styling.INK
    left, top, width, height = box
    symbol, color, line = styling.VERDICTS[verdict]
    look = {"fill": False, "lw": 2.6, "ls": line, "ec": color, "clip_on": False, "gid": verdict}
    ax.add_patch(Rectangle((left, top), width, height, **look))
    return symbol, color


def _canvas(width, height, cell, *, least=4.5):
    """Axes without frame, in units of one image's width, which is ``cell`` inches; y grows downwards."""
    inches = max(width * cell, least)
    _, ax = plt.subplots(figsize=(inches + 2 * _MARGIN, height * cell))
    ax.set(xlim=(0, inches / cell), ylim=(height, 0), aspect="equal", anchor="NW")
    ax.axis("off")
    return ax


def _headed(ax, title, note=""):
    """Write title and note, and size the figure to canvas and heading; return the figure."""
    figure = ax.figure
    width = figure.get_figwidth()
    images = ax.get_ylim()[0] * _cell_of(ax)
    height = images + styling.heading(ax, title, note, inches=width - 2 * _MARGIN) / 72 + _MARGIN
    figure.set_size_inches(width, height)
    ax.set_position([_MARGIN / width, _MARGIN / height, 1 - 2 * _MARGIN / width, images / height])
    return figure


def _cell_of(ax):
    """Width of an image, in inches."""
    return (ax.figure.get_figwidth() - 2 * _MARGIN) / ax.get_xlim()[1]


def _draw(ax, image, box, caption, *, faded=False, **look):
    """Fit ``image`` into ``box`` (left, top, width, height), keeping its proportions; write its caption."""
    left, top, width, height = box
    scale = min(width / image.shape[1], height / image.shape[0])
    dx, dy = (width - scale * image.shape[1]) / 2, (height - scale * image.shape[0]) / 2
    extent = (left + dx, left + width - dx, top + height - dy, top + dy)
    show_pixels(ax, 255 - (255 - image) // 5 * 2 if faded else image, extent)
    if caption:
        _caption(ax, caption, box, **look)


def _caption(ax, text, box, *, line=0, above=False, color=styling.INK, weight="normal"):
    """Write ``text`` above ``box``, or on a line below it, cut to its width."""
    left, top, width, height = box
    cell = _cell_of(ax)
    y = top - 0.03 / cell if above else top + height + (0.05 + line * _LINE) / cell
    text, va = styling.shorten(text, (width + _GAP) * cell, _CAPTION), "bottom" if above else "top"
    look = {"fontsize": _CAPTION, "fontweight": weight, "family": styling.SYMBOL_FONT}
    look["color"] = styling.MUTED if line == 1 else color
    ax.text(left + width / 2, y, text, ha="center", va=va, **look)
