"""How good the retrieval is, how good the answers are, and how sure the figures are.

``retrieval_scores`` scores every query; the other retrieval metrics are its means, ``per_class`` its means by
class, ``bootstrap_mean`` their intervals and ``compare`` the difference of two systems. ``report`` puts every
metric of one set of queries into one table.
"""

from simnb.metrics.intervals import (
    Comparison,
    Interval,
    bootstrap_auroc,
    bootstrap_mean,
    bootstrap_ratio,
    compare,
    match_intervals,
    open_set_intervals,
)
from simnb.metrics.matches import evaluate_matches, known_queries, match_rates
from simnb.metrics.open_set import aupr, auroc, detection_and_identification_rate, fpr_at_recall
from simnb.metrics.reporting import Report, report
from simnb.metrics.retrieval import (
    map_at_k,
    map_at_r,
    mean_reciprocal_rank,
    ndcg_at_k,
    per_class,
    precision_at_k,
    r_precision,
    rank_statistics,
    recall_at_k,
    retrieval_scores,
)
from simnb.metrics.verification import Pairs, Roc, clustering_scores, equal_error_rate, pairs, roc, tar_at_far

__all__ = [
    "retrieval_scores",
    "recall_at_k",
    "precision_at_k",
    "map_at_k",
    "ndcg_at_k",
    "r_precision",
    "map_at_r",
    "mean_reciprocal_rank",
    "rank_statistics",
    "per_class",
    "match_rates",
    "evaluate_matches",
    "known_queries",
    "auroc",
    "aupr",
    "fpr_at_recall",
    "detection_and_identification_rate",
    "Pairs",
    "Roc",
    "pairs",
    "roc",
    "equal_error_rate",
    "tar_at_far",
    "clustering_scores",
    "Interval",
    "Comparison",
    "bootstrap_mean",
    "bootstrap_ratio",
    "bootstrap_auroc",
    "open_set_intervals",
    "match_intervals",
    "compare",
    "Report",
    "report",
]
