"""The look that all figures share: the style sheet, colours, symbols, words, headings and axes."""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from simnb import _checks
from simnb._text import visible
from simnb.index import UNKNOWN

_SHEET = Path(__file__).parent / "simnb.mplstyle"
#: Blue and vermilion of Okabe and Ito: apart for every kind of colour vision, and in grey.
RIGHT, WRONG = "#0072B2", "#D55E00"
INK, MUTED, FAINT = "#222222", "#5f5f5f", "#dddddd"
#: Paul Tol's "muted" scheme and a dark grey; every class also has its own marker.
CLASS_COLORS = (
    "#332288", "#CC6677", "#117733", "#88CCEE", "#882255",
    "#DDCC77", "#44AA99", "#AA4499", "#999933", "#4d4d4d",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "d")
#: The font that is known to have the symbols of all verdicts; matplotlib ships it.
SYMBOL_FONT = "DejaVu Sans"
DASHED = (0, (4, 1.6))
#: The line that marks a threshold or a target.
MARK: dict[str, Any] = {"color": INK, "lw": 1.2, "ls": (0, (4, 3))}
_BEYOND = 0.07  # of the axis, from the last finite distance to infinity
_MARGIN = 0.025


#: Symbol, colour and line of what is right, wrong, or beyond the threshold and so answered with Unknown.
VERDICTS = {
    "right": ("✓", RIGHT, "-"),
    "wrong": ("✗", WRONG, (0, (2.2, 1.2))),
    "unknown": ("?", MUTED, (0, (0.6, 1.1))),
}


class style(AbstractContextManager):
    """Give figures of your own the fonts, lines and colours of these.

    ``plots.style()`` does so from then on; ``with plots.style():`` until the end of the block. Figures of
    ``simnb.plots`` do not need it. Text stays text in PDF and SVG files; an SVG file is always the same.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> from simnb import plots
        >>> with plots.style():
        ...     plt.rcParams["axes.spines.top"]
        False
    """

    def __init__(self) -> None:
        sheet = mpl.rc_params_from_file(_SHEET, use_default_template=False)
        self._before = {name: mpl.rcParams[name] for name in sheet}
        mpl.rcParams.update(sheet)

    def __exit__(self, *error: object) -> None:
        mpl.rcParams.update(self._before)


def class_style(label: int) -> tuple[str, str]:
    """Colour and marker of a class, the same in every figure; no two of the first 110 are the same."""
    return CLASS_COLORS[label % len(CLASS_COLORS)], MARKERS[label % len(MARKERS)]


def count(number: int, noun: str) -> str:
    """A number and its noun, in the plural where there are several."""
    if number != 1:
        noun = {"class": "classes", "query": "queries"}.get(noun, f"{noun}s")
    return f"{number:,} {noun}"


def of_classes(noun: str, labels: NDArray[np.int64]) -> str:
    """Such as "9 images of 2 classes, 3 without a label"."""
    labelled = labels[labels != UNKNOWN]
    without = len(labels) - len(labelled)
    classes = f" of {count(len(np.unique(labelled)), 'class')}" if len(labelled) else ""
    missing = f", {without if classes else 'all'} without a label" if without else ""
    return count(len(labels), noun) + classes + missing


def class_namer(
    class_names: Sequence[str] | None, labels: Iterable[int], *, name: str = "labels"
) -> Callable[[int], str]:
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


def plain(name: object) -> str:
    """A name as figures write it: on one line, and with no dollar sign that begins mathematics."""
    return visible(str(name)).replace("\n", r"\n").replace("$", r"\$")


def shorten(text: str, inches: float, size: float) -> str:
    """Cut ``text`` to what fits into ``inches`` at a font size, with an ellipsis."""
    room = max(int(inches * 72 / (0.54 * size)), 3)
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def number(distance: float) -> str:
    """A distance as figures print it."""
    size = abs(distance)
    if size >= 100:
        return f"{distance:,.0f}"
    return f"{distance:.3f}" if size >= 0.01 or size == 0 else f"{distance:#.2g}"


def percent(rate: float) -> str:
    """A rate as titles print it: with a decimal where it needs one."""
    text = f"{100 * rate:.1f}".removesuffix(".0")
    return f"{text}%"


def points(difference: float) -> str:
    """A difference of two rates as figures print it: in points, for it is no share of anything."""
    return f"{percent(difference).removesuffix('%')} points"


def limit_name(threshold: float, before: str = "") -> str:
    """A threshold as figures print it, with a word before it; what it does where it is infinite."""
    extremes = {-np.inf: "reject everything", np.inf: "accept everything"}
    return extremes.get(float(threshold)) or f"{before}{number(threshold)}"


def distance_name(name: str | None) -> str:
    """The name of a distance as figures print it, where it is known."""
    return f"{plain(name).replace('_', ' ')} distance" if name else "distance"


def check_distances(values: ArrayLike, *, name: str) -> NDArray[np.floating]:
    """Return ``values`` as a floating array of shape [n] without NaN, or raise ValueError."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != 1:
        raise ValueError(f"{name} must be numbers of shape [n], got {array.dtype} of shape {array.shape}")
    _checks.not_empty(array, name=name)
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if np.isnan(array).any():
        raise ValueError(f"{name} must not be NaN, got {np.isnan(array).sum()} of {len(array)}")
    return array


def check_rates(
    values: ArrayLike, *, name: str, of: str = "", nan: bool = False, repeats: bool = False
) -> NDArray[np.float64]:
    """Return ``values`` as float64 rates from 0 to 1, or raise ValueError; ``of`` ends the message."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 1 + repeats) or not array.size:
        shape = "[n] or [num_repeats, n]" if repeats else "[n]"
        raise ValueError(
            f"{name} must be numbers of shape {shape}, got {array.dtype} of shape {array.shape}{of}"
        )
    array = array.astype(np.float64)
    bad = ~((array >= 0) & (array <= 1)) & ~(nan & np.isnan(array))
    if bad.any():
        also = " or NaN" if nan else ""
        raise ValueError(f"{name} must be from 0 to 1{also}, got {array[bad][0]:g}{of}")
    return array


def plain_axes(ax: Axes | None, figsize: tuple[float, float] | None = None) -> Axes:
    """Return ``ax``, or new axes, without the upper and right spines."""
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    return ax


def percent_axis(ax: Axes, which: str, *, grid: Literal["both", "x", "y"] | None = None) -> None:
    """Let the axes of rates, ``x``, ``y`` or ``xy``, show percent, as their labels say; draw a grid."""
    for name in which:
        # 0.5 and 95, where PercentFormatter writes 0, or 95.0 beside 97.5.
        getattr(ax, f"{name}axis").set_major_formatter(lambda share, _: f"{100 * share:g}")
    if grid:
        ax.grid(axis=grid, color=FAINT, lw=0.8)


def write(
    ax: Axes, text: str, at: tuple[Any, Any], offset: tuple[float, float], *, within: str = "", **look: Any
) -> None:
    """Write small text ``offset`` points from ``at``, whose parts in ``within`` are shares of the axes."""
    where = ("axes fraction" if "x" in within else "data", "axes fraction" if "y" in within else "data")
    options: dict[str, Any] = {"fontsize": 9, "color": INK, **look}
    ax.annotate(text, at, xycoords=where, xytext=offset, textcoords="offset points", **options)


def heading(ax: Axes, title: str, note: str = "", *, inches: float | None = None, above: float = 0) -> float:
    """Put a bold title, and a muted note below it, over ``ax``; both wrap to its width.

    ``above`` is the room, in points, that something between note and axes needs. Returns the height of
    all this, in points.
    """
    if inches is None:
        # The layout comes later, and leaves several axes less room than they begin with.
        share = 0.85 if len(ax.figure.axes) > 1 else 1
        inches = share * ax.get_window_extent().width / ax.figure.dpi
    title, note = wrap(title, inches, 11.5 * 1.08), wrap(note, inches, 9)
    pad = 7 + above
    if note:
        look = {"va": "bottom", "color": MUTED, "linespacing": 1.25, "family": SYMBOL_FONT}
        write(ax, note, (0, 1), (0, pad), within="xy", **look)
        pad += 5 + 13 * (note.count("\n") + 1)
    ax.set_title(title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=pad)
    return pad + 16 * (title.count("\n") + 1)


def wrap(text: str, inches: float, size: float) -> str:
    """``text`` on lines of at most so many inches, at a font size in points."""
    room = max(int(inches * 72 / (0.53 * size)), 12)
    return visible("\n".join(textwrap.fill(line, room) for line in text.split("\n")))


def label_above(ax: Axes, x: float, text: str, limits: tuple[float, float]) -> None:
    """Write above ``ax`` what stands at ``x``, so that it ends within the limits of the axis."""
    at, low, high = np.log((x, *limits)) if ax.get_xscale() == "log" else (x, *limits)
    share = (at - low) / (high - low)
    side = "left" if share < 0.12 else "right" if share > 0.88 else "center"
    write(ax, text, (x, 1), (0, 3), within="y", ha=side, va="bottom")


class DistanceAxis:
    """An axis of arrays or numbers, from 0 unless they lie far from it; infinity stands beyond its ends.

    A logarithmic one has 0, where there is any, at its left edge.
    """

    def __init__(self, *values: ArrayLike, log: bool = False) -> None:
        every = np.concatenate([np.ravel(np.asarray(each, np.float64)) for each in values])
        self.log = log and bool((every[np.isfinite(every)] > 0).any())
        self.zero = self.log and bool((every == 0).any())
        every = self._scaled(every)
        finite = every[np.isfinite(every)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        if self.log:
            self.low, self.high = low, max(high, low + 0.1)
            self.below, self.above = bool((every == -np.inf).any()), bool((every == np.inf).any())
            return
        if 0 <= low < 0.25 * high or low == high > 0:
            low = 0.0
        if low == high:
            high = 0.0 if low < 0 else 1.0
        self.low, self.high = low, high
        self.below, self.above = bool((every == -np.inf).any()), bool((every == np.inf).any())

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where distances are drawn: themselves, or their logarithms, and infinity at an edge; float64."""
        beyond = _BEYOND * (self.high - self.low)
        return np.nan_to_num(
            self._scaled(values), nan=np.nan, neginf=self.low - beyond, posinf=self.high + beyond
        )

    def _scaled(self, values):
        values = np.asarray(values, np.float64)
        if not self.log:
            return values
        with np.errstate(divide="ignore"):
            return np.log10(np.maximum(values, 0))

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the axis."""
        beyond = _BEYOND * (self.high - self.low)
        low, high = self.low - beyond * self.below, self.high + beyond * self.above
        margin = _MARGIN * (high - low)
        return float(low - margin), float(high + margin)

    def dress(self, ax: Axes, label: str) -> None:
        """Give the x axis its limits and label, and infinity its tick."""
        ax.set(xlim=self.limits, xlabel=label)
        if self.log:
            self._dress_log(ax)
            return
        if not self.below and not self.above:
            return
        values = np.asarray(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(self.low, self.high))
        ticks = values[(values >= self.low) & (values <= self.high)].tolist()
        names = [f"{tick:.10g}" for tick in ticks]
        if not any("e" in name for name in names):
            decimals = max((len(name.partition(".")[2]) for name in names), default=0)
            names = [f"{tick:.{decimals}f}" for tick in ticks]
        if self.below:
            ticks, names = [float(self.place(-np.inf)), *ticks], ["−∞", *names]  # noqa: RUF001
        if self.above:
            ticks, names = [*ticks, float(self.place(np.inf))], [*names, "∞"]
        ax.set_xticks(ticks, names, family=SYMBOL_FONT)

    def _dress_log(self, ax):
        decades = range(int(np.floor(self.low)), int(np.ceil(self.high)) + 1)
        steps = (1, 2, 5) if self.high - self.low < 2 else (1,)
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [tick for tick in ticks if self.low - 1e-9 <= np.log10(tick) <= self.high + 1e-9]
        if len(ticks) < 3:  # less than a decade
            even = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(10**self.low, 10**self.high)
            ticks = [tick for tick in even.tolist() if 10**self.low <= tick <= 10**self.high]
        places, names = [float(np.log10(tick)) for tick in ticks], [f"{tick:g}" for tick in ticks]
        if self.below:
            names = ["0" if self.zero else "−∞", *names]  # noqa: RUF001
            places = [float(self.place(-np.inf if not self.zero else 0)), *places]
        if self.above:
            places, names = [*places, float(self.place(np.inf))], [*names, "∞"]
        ax.set_xticks(places, names, family=SYMBOL_FONT)
        minor = [step * 10.0**decade for decade in decades for step in range(1, 10)]
        minor = [tick for tick in minor if self.low <= np.log10(tick) <= self.high]
        ax.set_xticks(np.log10(minor), minor=True)
