"""What lookups and calibrations return."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "Lookup",
    "CalibrationResults",
    "Tensor",
    "FloatTensor",
    "IntTensor",
    "BoolTensor",
    "PandasDataFrame",
]

# Of annotations; nothing is checked by them.
Tensor = FloatTensor = IntTensor = BoolTensor = PandasDataFrame = Any


@dataclass(eq=False)
class Lookup:
    """One neighbor of a query.

    Attributes:
        rank: 1 for the nearest.
        distance: To the query; never squared unless the distance is called so.
        label: Class, or None where it was indexed without.
        embedding: Shape [dim] float32.
        data: What was given as ``data`` when it was indexed, or None.
    """

    rank: int
    distance: float
    label: int | None = None
    embedding: np.ndarray | None = None
    data: Any = None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Lookup)
            and (self.rank, self.distance, self.label) == (other.rank, other.distance, other.label)
            and np.array_equal(np.asarray(self.embedding), np.asarray(other.embedding))
            and np.array_equal(self.data, other.data)
        )


@dataclass
class CalibrationResults:
    """What ``calibrate`` found.

    Attributes:
        cutpoints: By name (``optimal`` and the targets that were met) a dict of ``name``, ``value`` (of the
            calibration metric), ``distance`` and every metric.
        thresholds: By name of a metric, and ``distance`` and ``value``, an array with an entry for each
            distance that was seen, ascending.
    """

    cutpoints: dict[str, dict[str, Any]]
    thresholds: dict[str, np.ndarray]
