"""What distances and rates may be, and where they stand on an axis; infinity has a place at its edge."""

from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator, PercentFormatter

from simnb import _checks
from simnb.plots import _style

_BEYOND = 0.07  # of the axis, from the last finite distance to infinity
_MARGIN = 0.025
_SHAPES = ("one number", "numbers of shape [n]", "[num_repeats, n]")


@dataclass(frozen=True)
class DistanceAxis:
    """An axis that has every given distance on it.

    Attributes:
        low: Where the finite distances begin: 0, unless they lie far from it.
        high: Where they end.
        below: Whether there is -inf, which stands before ``low``.
        above: Whether there is inf, which stands behind ``high``.
    """

    low: float
    high: float
    below: bool
    above: bool

    @classmethod
    def of(cls, *values) -> "DistanceAxis":
        """The axis of some arrays or numbers; from 0 to 1 where none of them is finite."""
        values = np.concatenate([np.ravel(np.asarray(each, np.float64)) for each in values])
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        if 0 <= low < 0.25 * high or low == high > 0:
            low = 0.0
        if low == high:
            high = 0.0 if low < 0 else 1.0
        return cls(float(low), float(high), bool((values == -np.inf).any()), bool((values == np.inf).any()))

    def place(self, values):
        """Where distances are drawn: themselves, and infinity at an edge; float64 of the same shape."""
        beyond = _BEYOND * (self.high - self.low)
        return np.nan_to_num(
            np.asarray(values, np.float64), nan=np.nan, neginf=self.low - beyond, posinf=self.high + beyond
        )

    @property
    def limits(self) -> tuple[float, float]:
        """The ends of the axis."""
        low, high = self.place([-np.inf if self.below else self.low, np.inf if self.above else self.high])
        margin = _MARGIN * (high - low)
        return float(low - margin), float(high + margin)

    def dress(self, ax, label):
        """Give the x axis its limits and label, and infinity its tick."""
        ax.set(xlim=self.limits, xlabel=label)
        if self.below or self.above:
            ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
            ticks = ticks[(ticks >= self.low) & (ticks <= self.high)].tolist()
            names = [f"{tick:.10g}" for tick in ticks]
            if not any("e" in name for name in names):
                decimals = max((len(name.partition(".")[2]) for name in names), default=0)
                names = [f"{tick:.{decimals}f}" for tick in ticks]
            if self.below:
                ticks, names = [float(self.place(-np.inf)), *ticks], ["−∞", *names]  # noqa: RUF001
            if self.above:
                ticks, names = [*ticks, float(self.place(np.inf))], [*names, "∞"]
            ax.set_xticks(ticks, names, family=_style.SYMBOL_FONT)


def distances(values, *, name):
    """Return ``values`` as a floating array of shape [n] without NaN, or raise ValueError."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != 1:
        raise ValueError(f"{name} must be numbers of shape [n], got {array.dtype} of shape {array.shape}")
    _checks.not_empty(array, name=name)
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if np.isnan(array).any():
        raise ValueError(f"{name} must not be NaN, got {np.isnan(array).sum()} of {len(array)}")
    return array


def rates(values, *, name, of="", nan=False, dims=(1,)):
    """Return ``values`` as float64 rates from 0 to 1, or raise ValueError; ``of`` ends the message."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim not in dims or not array.size:
        shapes = " or ".join(_SHAPES[dim] for dim in dims)
        raise ValueError(f"{name} must be {shapes}, got {array.dtype} of shape {array.shape}{of}")
    array = array.astype(np.float64)
    bad = ~((array >= 0) & (array <= 1))  # NaN, too
    if nan:
        bad &= ~np.isnan(array)
    if bad.any():
        also = " or NaN" if nan else ""
        raise ValueError(f"{name} must be from 0 to 1{also}, got {array[bad][0]:g}{of}")
    return array


def percent(rate):
    """A rate as titles print it: with a decimal where it needs one."""
    text = f"{100 * rate:.1f}".removesuffix(".0")
    return f"{text}%"


def percent_axis(axis):
    """Let an axis of rates show percent; its label says so."""
    axis.set_major_formatter(PercentFormatter(1.0, symbol=""))
