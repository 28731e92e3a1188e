"""Numbers as captions and tables say them."""

import numpy as np
from numpy.typing import NDArray


def listed(values: NDArray, most: int = 5) -> str:
    """The first of some ids, for a table."""
    return ", ".join(map(str, values[:most].tolist())) + (", ..." if len(values) > most else "")


def count(number: int, one: str, several: str | None = None) -> str:
    """Such as ``1 group`` and ``1,200 groups``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def about(pairs: float) -> str:
    """An expected number of pairs, as a table says it."""
    return "unknown" if np.isnan(pairs) else f"{pairs:.2g}" if pairs < 99.5 else f"{pairs:,.0f}"
