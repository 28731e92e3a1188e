"""What captions and tables of a collection say."""

import numpy as np
from numpy.typing import NDArray

from simnb import _table


class FirstRows:
    """A result that shows itself as a table of its first rows, and says how many more there are."""

    def __repr__(self) -> str:
        head, rows = self._rows()
        return "\n".join([self._caption(), *([_table.as_text(head, rows)] if rows else []), *self._more()])

    def _repr_html_(self) -> str:
        more = "".join(f"<p>{line}</p>" for line in self._more())
        return _table.as_html(*self._rows(), caption=self._caption()) + more

    def _caption(self) -> str:
        raise NotImplementedError

    def _rows(self) -> tuple[list[str], list[list[str]]]:
        raise NotImplementedError

    def _more(self) -> list[str]:
        raise NotImplementedError


def listed(values: NDArray, most: int = 5) -> str:
    """The first of some ids, for a table."""
    return ", ".join(map(str, values[:most].tolist())) + (", ..." if len(values) > most else "")


def count(number: int, one: str, several: str | None = None) -> str:
    """Such as ``1 group`` and ``1,200 groups``."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def about(pairs: float) -> str:
    """An expected number of pairs, as a table says it."""
    return "unknown" if np.isnan(pairs) else f"{pairs:.2g}" if pairs < 99.5 else f"{pairs:,.0f}"
