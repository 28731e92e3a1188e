"""Figures of images, neighbors, thresholds, mistakes and embeddings, drawn by matplotlib."""

from simnb.plots.calibration import distance_shift, match_distances, promise_kept, reliability_diagram
from simnb.plots.circle import embedding_circle, mining_arcs, mining_rings
from simnb.plots.classes import confusion_matrix, rates_by_class, thresholds_by_class
from simnb.plots.comparisons import (
    few_shot_errors,
    rates_by_shots,
    rates_by_size,
    recall_against_time,
    spread,
)
from simnb.plots.curves import metric_curves, precision_recall, training_curves
from simnb.plots.graphs import graph_walk
from simnb.plots.grids import (
    compare_neighbors,
    confused_pairs,
    image_grid,
    neighbor_grid,
    rejected_grid,
)
from simnb.plots.maps import class_graph, embedding_map, hubness, pair_distances
from simnb.plots.outcomes import match_outcomes, outcome_shares
from simnb.plots.parts import similar_parts
from simnb.plots.styling import style

__all__ = [
    "style",
    "image_grid",
    "training_curves",
    "spread",
    "pair_distances",
    "embedding_map",
    "embedding_circle",
    "mining_arcs",
    "mining_rings",
    "class_graph",
    "neighbor_grid",
    "compare_neighbors",
    "metric_curves",
    "precision_recall",
    "match_distances",
    "match_outcomes",
    "outcome_shares",
    "thresholds_by_class",
    "promise_kept",
    "distance_shift",
    "reliability_diagram",
    "rates_by_class",
    "confusion_matrix",
    "similar_parts",
    "rejected_grid",
    "confused_pairs",
    "hubness",
    "graph_walk",
    "recall_against_time",
    "rates_by_size",
    "rates_by_shots",
    "few_shot_errors",
]
