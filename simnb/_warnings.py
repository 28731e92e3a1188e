"""Warnings that name the user's line, however deep in the package they arise."""

import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)


def warn(message, category=RuntimeWarning):
    """Warn, naming the first line outside of this package that led here."""
    level, frame = 2, sys._getframe(1)  # 2 is the caller of this
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
