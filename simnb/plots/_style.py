"""The look every figure shares: colours, symbols, names, headings."""

import textwrap

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from simnb import _checks
from simnb._text import visible
from simnb.index import UNKNOWN

#: Blue and vermilion of Okabe and Ito: apart for every kind of colour vision, and in grey.
RIGHT, WRONG = "#0072B2", "#D55E00"
INK, MUTED, FAINT = "#222222", "#5f5f5f", "#dddddd"
#: Paul Tol's "muted" scheme and a dark grey; every class also has its own marker.
CLASS_COLORS = (
    "#332288", "#CC6677", "#117733", "#88CCEE", "#882255",
    "#DDCC77", "#44AA99", "#AA4499", "#999933", "#4d4d4d",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "d")
#: The font that is known to have both symbols; matplotlib ships it.
SYMBOL_FONT = "DejaVu Sans"


#: Symbol, colour and line of what is right, wrong, or beyond the threshold and so answered with Unknown.
_VERDICTS = {
    "right": ("✓", RIGHT, "-"),
    "wrong": ("✗", WRONG, (0, (2.2, 1.2))),
    "unknown": ("?", MUTED, (0, (0.6, 1.1))),
}


def verdict(right):
    """The name of a verdict that is one of two."""
    return "right" if right else "wrong"


def symbol(name):
    """A tick for right, a cross for wrong, a question mark for unknown."""
    return _VERDICTS[name][0]


def verdict_color(name):
    """Blue for right, vermilion for wrong, grey for unknown."""
    return _VERDICTS[name][1]


def border(ax, box, name):
    """Frame ``box`` (left, top, width, height): solid if right, dashed if wrong, dotted if unknown."""
    left, top, width, height = box
    _, color, line = _VERDICTS[name]
    patch = Rectangle((left, top), width, height, fill=False, lw=2.6, ls=line, ec=color, gid=name)
    patch.set_clip_on(False)
    return ax.add_patch(patch)


def class_style(label):
    """Colour and marker of a class, the same in every figure; no two of the first 110 are the same."""
    return CLASS_COLORS[label % len(CLASS_COLORS)], MARKERS[label % len(MARKERS)]


def count(number, noun):
    """A number and its noun, in the plural where there are several."""
    if number != 1:
        noun = {"class": "classes", "query": "queries"}.get(noun, f"{noun}s")
    return f"{number:,} {noun}"


def class_namer(class_names, labels, *, name="labels"):
    """Return a function from a label to its name, after checking that every label has one."""
    if class_names is None:
        return lambda label: "unknown" if label == UNKNOWN else str(label)
    highest, lowest = max(labels, default=UNKNOWN), min(labels, default=UNKNOWN)
    if highest >= len(class_names) or lowest < UNKNOWN:
        bad = highest if highest >= len(class_names) else lowest
        raise ValueError(
            f"class_names must name every one of the {name}, got {len(class_names)} names and label {bad}"
        )
    names = list(map(plain, class_names))
    return lambda label: "unknown" if label == UNKNOWN else names[label]


def plain(name):
    """A name as figures write it: on one line, and with no dollar sign that begins mathematics."""
    return visible(str(name)).replace("\n", r"\n").replace("$", r"\$")


def shorten(text, inches, size):
    """Cut ``text`` to what fits into ``inches`` at a font size, with an ellipsis."""
    room = max(int(inches * 72 / (0.54 * size)), 3)
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def number(distance):
    """A distance as figures print it."""
    size = abs(distance)
    if size >= 100:
        return f"{distance:,.0f}"
    return f"{distance:.3f}" if size >= 0.01 or size == 0 else f"{distance:.2g}"


def distance_name(name):
    """The name of a distance as figures print it, where it is known."""
    return f"{plain(name).replace('_', ' ')} distance" if name else "distance"


def heading(ax, title, note="", *, inches=None, above=0):
    """Put a bold title, and a muted note below it, over ``ax``; both wrap to its width.

    ``above`` is the room, in points, that something between note and axes needs. Returns the height of
    all this, in points.
    """
    if inches is None:
        # The layout comes later, and leaves several axes less room than they begin with.
        share = 0.85 if len(ax.get_figure().axes) > 1 else 1
        inches = share * ax.get_window_extent().width / ax.get_figure().dpi
    title, note = _wrap(title, inches, 11.5 * 1.08), _wrap(note, inches, 9)
    pad = 7 + above
    if note:
        ax.annotate(
            note,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, pad),
            textcoords="offset points",
            va="bottom",
            fontsize=9,
            color=MUTED,
            linespacing=1.25,
            family=SYMBOL_FONT,
        )
        pad += 5 + 13 * (note.count("\n") + 1)
    ax.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=pad)
    return pad + 16 * (title.count("\n") + 1)


def plain_axes(ax, figsize):
    """Return ``ax``, or new axes, without the upper and right spines."""
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    return ax


def check_examples(examples, *, name):
    """Return ``examples`` if it has what ``Examples`` has, with one label and id for each image."""
    missing = [n for n in ("images", "labels", "class_names", "ids") if not hasattr(examples, n)]
    if missing:
        raise ValueError(
            f"{name} must be Examples with images, labels, class_names and ids, "
            f"got {type(examples).__name__} without {', '.join(missing)}"
        )
    _checks.images(examples.images, name=f"{name}.images")
    _checks.not_empty(examples.images, name=name)
    for field in ("labels", "ids"):
        values, count = getattr(examples, field), len(examples.images)
        _checks.labels(values, count=count, name=f"{name}.{field}", of=f"{name}.images")
    return examples


def _wrap(text, inches, size):
    room = max(int(inches * 72 / (0.53 * size)), 12)
    return visible("\n".join(textwrap.fill(line, room) for line in text.split("\n")))
