"""Metrics of rankings; ``simnb.metrics`` computes them."""

import numpy as np

from simnb import metrics

__all__ = ["RetrievalMetric", "RecallAtK", "PrecisionAtK", "MapAtK", "BNDCG"]


class RetrievalMetric:
    """A metric of the neighbors of queries.

    Args:
        name: What it is called.
        k: Neighbors that are looked at.
        average: ``micro``, the mean over queries, or ``macro``, over classes.

    Raises:
        ValueError: If an option is given that was left out.
    """

    def __init__(
        self, name="", k=5, average="micro", *, distance_threshold=np.inf, drop_closest_lookup=False
    ):
        """Keep the options."""
        if distance_threshold != np.inf:
            raise ValueError(
                "distance_threshold must be left out: a threshold belongs to matching "
                "(model.calibrate, model.evaluate_classification), a ranking has none"
            )
        if drop_closest_lookup:
            raise ValueError(
                "drop_closest_lookup must be False: keep queries out of the index, or use "
                "simnb.metrics.recall_at_k(..., query_ids=ids), which leaves out each query itself by its id"
            )
        self._name, self.k, self.average = name, k, average

    @property
    def name(self):
        """With k, as in ``recall@5``."""
        return f"{self._name}@{self.k}"

    def compute(self, neighbors, labels, gallery_labels):
        """The metric of ``Neighbors`` of queries of these labels in a gallery of those."""
        raise NotImplementedError


class RecallAtK(RetrievalMetric):
    """Share of queries that find their class among k."""

    def __init__(self, name="recall", **options):
        """Keep the options."""
        super().__init__(name, **options)

    def compute(self, neighbors, labels, gallery_labels):
        """``simnb.metrics.recall_at_k``."""
        return metrics.recall_at_k(neighbors, labels, self.k, average=self.average)


class PrecisionAtK(RetrievalMetric):
    """Share of right ones among k, or among as many as there are to find."""

    def __init__(self, r=None, clip_at_r=False, name="precision", **options):
        """Keep the options; ``r`` is not needed, the gallery knows it."""
        super().__init__(name, **options)
        self.clip_at_r = clip_at_r

    @property
    def name(self):
        """With k, or R."""
        return "R_Precision" if self.clip_at_r else super().name

    def compute(self, neighbors, labels, gallery_labels):
        """``simnb.metrics.precision_at_k``, or ``r_precision`` where it is clipped."""
        if self.clip_at_r:
            return metrics.r_precision(neighbors, labels, gallery_labels, average=self.average)
        return metrics.precision_at_k(neighbors, labels, self.k, average=self.average)


class MapAtK(RetrievalMetric):
    """Mean average precision of k neighbors, or of as many as there are to find."""

    def __init__(self, r=None, clip_at_r=False, name="map", **options):
        """Keep the options; ``r`` is not needed, the gallery knows it."""
        super().__init__(name, **options)
        self.clip_at_r = clip_at_r

    @property
    def name(self):
        """With k, or R."""
        return "map@R" if self.clip_at_r else super().name

    def compute(self, neighbors, labels, gallery_labels):
        """``simnb.metrics.map_at_k``, or ``map_at_r`` where it is clipped."""
        if self.clip_at_r:
            return metrics.map_at_r(neighbors, labels, gallery_labels, average=self.average)
        return metrics.map_at_k(neighbors, labels, gallery_labels, self.k, average=self.average)


class BNDCG(RetrievalMetric):
    """Normalized discounted cumulative gain of k neighbors, each right or wrong."""

    def __init__(self, name="ndcg", **options):
        """Keep the options."""
        super().__init__(name, **options)

    def compute(self, neighbors, labels, gallery_labels):
        """``simnb.metrics.ndcg_at_k``."""
        return metrics.ndcg_at_k(neighbors, labels, gallery_labels, self.k, average=self.average)
