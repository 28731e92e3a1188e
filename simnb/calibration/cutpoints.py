"""Thresholds, and what they were chosen for: a metric to maximize, or a target to meet."""

import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnb import _checks
from simnb.calibration.curves import METRICS

#: The cutpoint that ``maximize`` gives.
OPTIMAL = "optimal"
_GOAL = re.compile(r"\s*(\w+)\s*(>=|<=)\s*([-+.\w]+)\s*")


@dataclass(frozen=True)
class Goal:
    """What a threshold is chosen for.

    Attributes:
        name: Name of the cutpoint.
        metric: One of ``METRICS``.
        target: The value to keep to; None to maximize the metric.
    """

    name: str
    metric: str
    target: float | None = None

    @property
    def sign(self) -> str:
        """``>=`` for metrics of which more is better, ``<=`` for the others."""
        return ">=" if METRICS[self.metric] else "<="

    def __str__(self) -> str:
        if self.target is None:
            return f"best {self.metric}"
        return f"{self.metric} {self.sign} {self.target:g}"

    def met(self, values: NDArray[np.floating] | float) -> NDArray[np.bool_] | bool:
        """Whether values of the metric keep to the target; NaN does not."""
        if self.target is None:
            raise ValueError(f"{self} has no target to keep to")
        return values >= self.target if METRICS[self.metric] else values <= self.target


@dataclass(frozen=True, eq=False)
class Cutpoint:
    """A threshold, what it was chosen for and what it does on the calibration queries.

    Attributes:
        goal: The ``Goal``.
        threshold: Largest distance that matches; with ``by_class`` the single one for all classes, which it
            can be compared with.
        rates: Every metric on the calibration queries, by name.
        confidence: Probability that a draw of calibration queries gives a threshold that keeps the target
            on new queries; None where nothing is promised.
        by_class: Largest distance that matches for each label, where every class has its own.
    """

    goal: Goal
    threshold: float
    rates: dict[str, float]
    confidence: float | None = None
    by_class: dict[int, float] | None = None

    #: Whether the goal was reached.
    met = True

    @property
    def name(self) -> str:
        """Name of the cutpoint."""
        return self.goal.name

    def __str__(self) -> str:
        return str(self.goal) + ("" if self.confidence is None else f" with confidence {self.confidence:g}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self}, threshold={self.threshold:.4g})"


class NotMet(Cutpoint):
    """A target that no threshold meets, with the threshold that comes closest.

    ``threshold`` and ``rates`` are the best that can be had; matching refuses to use them by this name.
    """

    met = False


def goals(maximize, targets):
    """What thresholds are to be chosen for, from the arguments of ``calibrate``, or ValueError."""
    found = []
    if maximize is not None:
        maximizable = [name for name, more_is_better in METRICS.items() if more_is_better]
        found.append(Goal(OPTIMAL, _checks.one_of(maximize, maximizable, name="maximize")))
    targets = {} if targets is None else [targets] if isinstance(targets, str) else targets
    if not hasattr(targets, "__iter__"):
        raise ValueError(f'targets must be a dict such as {{"precision": 0.95}}, got {targets!r}')
    if not isinstance(targets, Mapping):
        targets = {wanted: wanted for wanted in targets}
    found += [_goal(name, wanted) for name, wanted in targets.items()]
    if maximize is not None and OPTIMAL in targets:
        raise ValueError(f"names of targets must differ from {OPTIMAL!r}, which maximize gives")
    if not found:
        raise ValueError("calibrate needs a metric to maximize or targets to meet, got neither")
    return found


def _goal(name, wanted):
    example = 'such as {"careful": "precision >= 0.95"} or {"precision": 0.95}'
    if not isinstance(name, str):
        raise ValueError(f"names of targets must be strings, {example}; got {name!r}")
    metric, sign, value = name, None, wanted
    if isinstance(wanted, str):
        if not (parts := _GOAL.fullmatch(wanted)):
            raise ValueError(
                f"target {name!r} must be a metric, >= or <=, and a share, {example}; got {wanted!r}"
            )
        metric, sign, value = parts.groups()
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"target {name!r} must end in a number from 0 to 1, got {wanted!r}") from None
    _checks.one_of(metric, METRICS, name=f"metric of target {name!r}")
    percent = isinstance(value, numbers.Real) and 2 <= value <= 100
    hint = f"; for {value:g} % write {value / 100:g}" if percent else ""
    value = _checks.number(value, name=f"target {name!r}", at_least=0, at_most=1, hint=hint)
    goal = Goal(name, metric, value)
    if sign not in (None, goal.sign):
        better = "more" if METRICS[metric] else "less"
        raise ValueError(
            f"target {name!r} must be {metric} {goal.sign} {value:g} ({better} is better), got {wanted!r}"
        )
    return goal
