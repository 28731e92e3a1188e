"""Figures of what goes wrong: classes taken for one another, and rows that are found too often."""

import numpy as np

from simnb import _checks
from simnb.index import UNKNOWN
from simnb.plots import _style
from simnb.plots._canvas import LINE, canvas, caption, cell_height, displayable, draw, headed
from simnb.plots.grids import look_up

_ARROW = 0.55  # between a query and its neighbor, in cells
_SPACE = 0.45  # between two mistakes


def confused_pairs(queries, neighbors, gallery, *, num_pairs=4, each=3, title=None):
    """Draw the classes that are taken for one another most often, with images: a line for each pair.

    A mistake is a query whose nearest neighbor is of another class; those of both directions are counted
    together. Each is drawn as the query and its neighbor, the nearest first: the surest mistakes.

    Args:
        queries: ``Examples`` that were searched.
        neighbors: ``Neighbors`` of these queries.
        gallery: ``Examples`` that were indexed.
        num_pairs: Draw this many pairs of classes.
        each: Draw this many mistakes of each.
        title: What to see; counted from the labels when left out.

    Returns:
        A ``Figure``; where nothing is confused, one that says so.

    Raises:
        ValueError: If lengths differ, there is no query, or an id is not in the gallery.
    """
    places, labels = look_up(queries, neighbors, gallery)[:, 0], np.asarray(queries.labels)
    num_pairs = _checks.positive_int(num_pairs, name="num_pairs")
    each = _checks.positive_int(each, name="each")
    found = neighbors.labels[:, 0]
    name = _style.class_namer(queries.class_names, np.concatenate([labels, found]), name="queries")
    wrong = np.flatnonzero((labels != found) & (labels != UNKNOWN) & (found != UNKNOWN))
    pairs, counts = _most_frequent(np.sort(np.stack([labels[wrong], found[wrong]], axis=1), axis=1))
    drawn = pairs[:num_pairs]
    cell, height = 0.85, cell_height(queries.images)
    longest = max((len(name(label)) for label in drawn.ravel()), default=0)
    left = min(0.09 * longest, 1.3) / cell + 1.1
    step, wide = height + 1.3 * LINE / cell + 0.16, 2 + _ARROW + _SPACE
    ax = canvas(left + each * wide, max(len(drawn) * step, 0.5), cell, least=5.2)
    for row, (pair, count) in enumerate(zip(drawn, counts, strict=False)):
        _name_pair(ax, [name(label) for label in pair], count, (left - 0.5, row * step + height / 2))
        of_pair = wrong[np.isin(labels[wrong], pair) & np.isin(found[wrong], pair)]
        of_pair = of_pair[np.argsort(neighbors.distances[of_pair, 0], kind="stable")][:each]
        for column, query in enumerate(of_pair):
            box = (left + column * wide, row * step, 1, height)
            images = (queries.images[query : query + 1], gallery.images[places[query] : places[query] + 1])
            _draw_mistake(ax, images, (name(labels[query]), name(found[query])), box)
    if not len(pairs):
        text = "✓ No class is taken for another."
        ax.text(0, 0.25, text, family=_style.SYMBOL_FONT, fontsize=9.5, va="center")
        return headed(ax, title or f"None of {_style.count(len(labels), 'query')} is confused")
    total, several = _style.count(len(wrong), "mistake"), _style.count(len(drawn), "pair")
    text = f"{counts[:num_pairs].sum():,} of {total} are among {several} of classes"
    note = "number: mistakes of a pair, both ways    arrow: the query, and what was nearest"
    return headed(ax, title or text, note)


def _name_pair(ax, names, count, at):
    both = "\n".join(_style.shorten(name, 1.3, 10) for name in names)
    ax.text(0, at[1], both, va="center", fontsize=10, fontweight="bold", color=_style.INK)
    ax.text(*at, f"{count:,}", ha="right", va="center", fontsize=10, color=_style.WRONG)


def _draw_mistake(ax, images, names, box):
    left, top, width, height = box
    for x, image, name in zip((left, left + 1 + _ARROW), images, names, strict=True):
        draw(ax, displayable(np.asarray(image))[0], (x, top, width, height))
        caption(ax, name, (x, top, width, height))
    look = {"fontsize": 13, "color": _style.WRONG, "family": _style.SYMBOL_FONT}
    ax.text(left + 1 + _ARROW / 2, top + height / 2, "→", ha="center", va="center", **look)


def hubness(neighbors, num_gallery, *, ax=None, title=None):
    """Draw how often each gallery row is among the neighbors of a query.

    In many dimensions a few rows, the hubs, are near to everything, and many others are near to nothing:
    wrong answers come from the first, and the second are never found. Were all rows alike, the numbers would
    follow the dotted line, a binomial distribution.

    Args:
        neighbors: ``Neighbors`` of the queries.
        num_gallery: How many rows the gallery has; those that are never found are among them.
        ax: Axes to draw into; new ones when left out.
        title: What to see; the skewness and the rows that are never found when left out.

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
    times = np.concatenate([np.zeros(never, np.int64), times])
    ax = _style.plain_axes(ax, (6.8, 3.6))
    numbers = np.arange(times.max(initial=0) + 1)
    shares = np.bincount(times, minlength=len(numbers)) / num_gallery
    ax.step(numbers, shares, where="mid", color=_style.RIGHT, lw=1.8, label="gallery rows", gid="rows")
    ax.fill_between(numbers, shares, step="mid", color=_style.RIGHT, alpha=0.2, lw=0)
    even = binom.pmf(numbers, len(neighbors), min(neighbors.k / num_gallery, 1.0))
    ax.plot(numbers, even, ":", color=_style.MUTED, lw=1.6, label="were all rows alike", gid="even")
    ax.set_yscale("symlog", linthresh=1 / num_gallery)
    ax.set(
        xlabel=f"times among the {neighbors.k} nearest of {_style.count(len(neighbors), 'query')}",
        ylabel="share of the gallery rows (%)",
        ylim=(0, 1.3),
    )
    ticks = [0, *(share for share in (1e-4, 1e-3, 0.01, 0.1, 1) if share >= 1 / num_gallery)]
    ax.set_yticks(ticks, [f"{100 * share:g}" for share in ticks], minor=False)
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=9)
    skewness = float(skew(times)) if times.std() else 0.0
    often = (
        f"{never / num_gallery:.1%} of the gallery are never found, one row {times.max(initial=0):,} times"
    )
    _style.heading(ax, title or often, f"skewness {skewness:.2f}")
    return ax


def _most_frequent(pairs):
    """Pairs of classes and how often each is there, the most frequent first."""
    if not len(pairs):
        return np.empty((0, 2), np.int64), np.empty(0, np.int64)
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return unique[order], counts[order]
