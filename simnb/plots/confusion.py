"""The confusion matrix, with a column for what was rejected."""

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from simnb import _checks
from simnb.index import UNKNOWN
from simnb.plots import _style

_MOST_NUMBERS = 21  # rows or columns up to which cells carry numbers
_MOST_TICKS = 26


def confusion_matrix(
    labels, predicted, *, class_names=None, known_labels=None, normalize=True, ax=None, title=None
):
    """Draw which class each query was given: a row for every true class, a column for every answer.

    The last column is "Unknown", for the queries that were rejected. It is the right one for classes the
    gallery lacks, whose rows come last and are marked "held out". The right cell of each row is outlined.

    Args:
        labels: True class of each query, shape [num_queries].
        predicted: Label given to each query, ``UNKNOWN`` where it was rejected, shape [num_queries].
        class_names: Name of each class; the labels themselves when left out.
        known_labels: The classes of the gallery. When left out, every class but ``UNKNOWN``.
        normalize: Show percent of each row rather than numbers of queries.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the share of right answers when left out.

    Returns:
        The ``Axes``. Above 20 classes cells carry no numbers and only some classes are named.

    Raises:
        ValueError: If there is no query, lengths differ, a label has no name, or an answer is not among
            the known labels.
    """
    labels = _checks.not_empty(_checks.labels(labels), name="labels")
    predicted = _checks.labels(predicted, count=len(labels), name="predicted", of="labels")
    known = _known(labels, predicted, known_labels)
    truth = np.unique(labels)
    held_out = truth[~np.isin(truth, known) & (truth != UNKNOWN)]
    rows = np.concatenate([truth[np.isin(truth, known)], held_out, truth[truth == UNKNOWN]])
    columns = np.append(known, UNKNOWN)
    counts = _count(labels, predicted, rows, columns)
    name = _style.class_namer(class_names, np.concatenate([rows, columns]))
    values = 100 * counts / counts.sum(axis=1, keepdims=True) if normalize else counts
    size = float(np.clip(0.5 * len(columns) + 2.4, 4.6, 8.8))
    height = size * float(np.clip((len(rows) + 3) / (len(columns) + 4), 0.4, 1.2))
    room = size - 0.5 - 0.07 * _longest(rows, held_out, name) if ax is None else None
    ax = _style.plain_axes(ax, (size, max(height, 3.6)))
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=100 if normalize else None, aspect="auto")
    unit = "share of the row (%)" if normalize else "queries"
    ax.figure.colorbar(image, ax=ax, label=unit, fraction=0.046, pad=0.02).outline.set_visible(False)
    right = np.array([np.argmax(columns == (row if row in known else UNKNOWN)) for row in rows])
    _outline(ax, right, len(columns))
    if max(len(rows), len(columns)) <= _MOST_NUMBERS:
        _write_cells(ax, values, image, normalize)
    _name_axes(ax, rows, columns, held_out, name)
    share = counts[np.arange(len(rows)), right].sum() / len(labels)
    answers = _style.count(len(labels), "answer")
    _style.heading(ax, title or f"{share:.1%} of {answers} are handled rightly (outlined)", inches=room)
    return ax


def _known(labels, predicted, known_labels):
    if known_labels is None:
        known = np.union1d(labels, predicted)
    else:
        known = np.unique(_checks.labels(known_labels, name="known_labels"))
        stray = np.setdiff1d(predicted, np.append(known, UNKNOWN))
        if len(stray):
            raise ValueError(
                f"predicted must be among known_labels or UNKNOWN, got {stray[0]}; "
                "known_labels are the classes of the gallery"
            )
    return known[known != UNKNOWN]


def _count(labels, predicted, rows, columns):
    counts = np.zeros((len(rows), len(columns)), np.int64)
    by_row, by_column = np.argsort(rows), np.argsort(columns)
    at_row = by_row[np.searchsorted(rows, labels, sorter=by_row)]
    at_column = by_column[np.searchsorted(columns, predicted, sorter=by_column)]
    np.add.at(counts, (at_row, at_column), 1)
    return counts


def _outline(ax, right, num_columns):
    inset = 0.04 if num_columns <= _MOST_NUMBERS else 0.0
    boxes = [
        Rectangle((x - 0.5 + inset, y - 0.5 + inset), 1 - 2 * inset, 1 - 2 * inset)
        for y, x in enumerate(right)
    ]
    width = 1.6 if inset else 0.5
    ax.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=_style.INK, linewidth=width))
    ax.axvline(num_columns - 1.5, color=_style.MUTED, lw=1)


def _write_cells(ax, values, image, normalize):
    for (y, x), value in np.ndenumerate(values):
        if value == 0:
            continue
        text = ("<1" if value < 1 else f"{value:.0f}") if normalize else f"{value:,}"
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color="white" if dark else _style.INK)


def _name_axes(ax, rows, columns, held_out, name):
    y = _ticks(len(rows), [*np.flatnonzero(np.isin(rows, held_out))[:1], *np.flatnonzero(rows == UNKNOWN)])
    x = _ticks(len(columns), [len(columns) - 1])
    ax.set_yticks(y, [_text(rows[i], held_out, name) for i in y])
    # Vertical where many stand side by side.
    angle = 45 if len(columns) <= _MOST_NUMBERS else 90
    ha = "right" if angle == 45 else "center"
    ax.set_xticks(
        x,
        [_text(columns[i], (), name) for i in x],
        rotation=angle,
        ha=ha,
        rotation_mode="anchor" if angle == 45 else None,
    )
    ax.tick_params(length=0 if len(columns) <= _MOST_NUMBERS else 3)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="answer", ylabel="true class")


def _text(label, held_out, name):
    if label == UNKNOWN:
        return "Unknown"
    return _style.shorten(name(label), 1.5, 9) + (" (held out)" if label in held_out else "")


def _longest(rows, held_out, name):
    return max(len(_text(label, held_out, name)) for label in rows)


def _ticks(count, always):
    """Positions to name: all of a few; of many, evenly spread ones, and ``always`` these."""
    if count <= _MOST_TICKS:
        return list(range(count))
    step = -(-count // _MOST_TICKS)
    spread = [i for i in range(0, count, step) if all(abs(i - j) >= step for j in always)]
    return sorted({*spread, *map(int, always)})
