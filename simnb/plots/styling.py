"""The look of these figures for figures of your own."""

from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl

_SHEET = Path(__file__).parent / "simnb.mplstyle"


class style(AbstractContextManager):
    """Give figures of your own the fonts, lines and colours of these.

    ``plots.style()`` does so from then on; ``with plots.style():`` until the end of the block. Figures of
    ``simnb.plots`` do not need it. Text stays text in PDF and SVG files, and an SVG file is the same every
    time.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> from simnb import plots
        >>> with plots.style():
        ...     plt.rcParams["axes.spines.top"]
        False
    """

    def __init__(self):
        """Apply the style sheet, and remember what was before."""
        sheet = mpl.rc_params_from_file(_SHEET, use_default_template=False)
        self._before = {name: mpl.rcParams[name] for name in sheet}
        mpl.rcParams.update(sheet)

    def __exit__(self, *error):
        """Put back what was before."""
        mpl.rcParams.update(self._before)
