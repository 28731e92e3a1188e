"""Figures of images, neighbors, thresholds, mistakes and embeddings, drawn by matplotlib."""

from simnb.plots.confusion import confusion_matrix
from simnb.plots.curves import metric_curves, precision_recall, training_curves
from simnb.plots.distributions import pair_distances, spread
from simnb.plots.grids import image_grid, neighbor_grid, rejected_grid
from simnb.plots.maps import embedding_map
from simnb.plots.tradeoffs import rates_by_size, recall_against_time

__all__ = [
    "image_grid",
    "training_curves",
    "spread",
    "pair_distances",
    "embedding_map",
    "neighbor_grid",
    "metric_curves",
    "precision_recall",
    "confusion_matrix",
    "rejected_grid",
    "recall_against_time",
    "rates_by_size",
]
