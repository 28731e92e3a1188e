"""Widgets to play with: a map of embeddings, a threshold, a search, a training to watch, a circle, a quiz."""

import importlib
from typing import TYPE_CHECKING

from simnb.projection import project

if TYPE_CHECKING:
    from simnb.widgets.circle_explorer import CircleExplorer
    from simnb.widgets.projector import Projector
    from simnb.widgets.quiz import Quiz
    from simnb.widgets.search_box import SearchBox
    from simnb.widgets.threshold_explorer import ThresholdExplorer
    from simnb.widgets.training_monitor import TrainingMonitor

__all__ = [
    "Projector",
    "ThresholdExplorer",
    "SearchBox",
    "TrainingMonitor",
    "CircleExplorer",
    "Quiz",
    "project",
]

_MODULES = {
    "Projector": "projector",
    "ThresholdExplorer": "threshold_explorer",
    "SearchBox": "search_box",
    "TrainingMonitor": "training_monitor",
    "CircleExplorer": "circle_explorer",
    "Quiz": "quiz",
}


def __getattr__(name: str) -> object:
    """Import a widget when it is asked for: only then are ipywidgets and anywidget needed, or Keras."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"simnb.widgets.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("anywidget", "ipywidgets", "traitlets"):
            raise
        raise ModuleNotFoundError(
            f'simnb.widgets.{name} needs {error.name}: pip install "simnb[widgets]"', name=error.name
        ) from error


def __dir__() -> list[str]:
    """Return the public names, which are not attributes before they are asked for."""
    return __all__
