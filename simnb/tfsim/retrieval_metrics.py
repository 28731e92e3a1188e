"""Metrics of rankings; ``simnb.metrics`` computes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simnb import metrics
from simnb.index import Neighbors

__all__ = ["RetrievalMetric", "RecallAtK", "PrecisionAtK", "MapAtK", "BNDCG"]


class RetrievalMetric:
    """A metric of the neighbors of queries.

    Args:
        name: What it is called; empty for its own name.
        k: Neighbors that are looked at.
        average: ``micro``, the mean over queries, or ``macro``, over classes.
        distance_threshold: Must stay infinite: a ranking has no threshold.
        drop_closest_lookup: Must stay False: queries are kept out of the index, or left out by their ids.

    Raises:
        ValueError: If ``distance_threshold`` or ``drop_closest_lookup`` is given.
    """

    _own_name = ""

    def __init__(
        self,
        name: str = "",
        k: int = 5,
        average: str = "micro",
        *,
        distance_threshold: float = np.inf,
        drop_closest_lookup: bool = False,
    ) -> None:
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
        self._name, self.k, self.average = name or self._own_name, k, average

    @property
    def name(self) -> str:
        """With k, as in ``recall@5``."""
        return f"{self._name}@{self.k}"

    def compute(self, neighbors: Neighbors, labels: ArrayLike, gallery_labels: ArrayLike) -> float:
        """The metric of ``neighbors`` of queries.

        Args:
            neighbors: What a search found for each query.
            labels: Class of each query, shape [num_queries].
            gallery_labels: Class of each row that was searched in, shape [num_gallery].
        """
        raise NotImplementedError


class RecallAtK(RetrievalMetric):
    """Share of queries that find their class among k; arguments as in ``RetrievalMetric``."""

    _own_name = "recall"

    def compute(self, neighbors: Neighbors, labels: ArrayLike, gallery_labels: ArrayLike) -> float:
        """``simnb.metrics.recall_at_k``."""
        return metrics.recall_at_k(neighbors, labels, self.k, average=self.average)


class BNDCG(RetrievalMetric):
    """Normalized discounted cumulative gain of k neighbors; arguments as in ``RetrievalMetric``."""

    _own_name = "ndcg"

    def compute(self, neighbors: Neighbors, labels: ArrayLike, gallery_labels: ArrayLike) -> float:
        """``simnb.metrics.ndcg_at_k``."""
        return metrics.ndcg_at_k(neighbors, labels, gallery_labels, self.k, average=self.average)


class PrecisionAtK(RetrievalMetric):
    """Share of right neighbors among k, or among as many as there are to find.

    Args:
        r: Has no effect: the labels of the gallery say how many there are to find.
        clip_at_r: Whether to look at as many neighbors as there are to find, and not at k.
        name: This and the following are those of ``RetrievalMetric``.
    """

    _own_name, _clipped_name = "precision", "R_Precision"

    def __init__(
        self,
        r: Mapping[int, int] | None = None,
        clip_at_r: bool = False,
        name: str = "",
        k: int = 5,
        average: str = "micro",
        **left_out: Any,
    ) -> None:
        super().__init__(name, k, average, **left_out)
        self.clip_at_r = clip_at_r

    @property
    def name(self) -> str:
        """With k, or R."""
        return self._clipped_name if self.clip_at_r else super().name

    def compute(self, neighbors: Neighbors, labels: ArrayLike, gallery_labels: ArrayLike) -> float:
        """``simnb.metrics.precision_at_k``, or ``r_precision`` where it is clipped."""
        if self.clip_at_r:
            return metrics.r_precision(neighbors, labels, gallery_labels, average=self.average)
        return metrics.precision_at_k(neighbors, labels, self.k, average=self.average)


class MapAtK(PrecisionAtK):
    """Mean average precision of k neighbors, or of as many as there are to find, as in ``PrecisionAtK``."""

    _own_name, _clipped_name = "map", "map@R"

    def compute(self, neighbors: Neighbors, labels: ArrayLike, gallery_labels: ArrayLike) -> float:
        """``simnb.metrics.map_at_k``, or ``map_at_r`` where it is clipped."""
        if self.clip_at_r:
            return metrics.map_at_r(neighbors, labels, gallery_labels, average=self.average)
        return metrics.map_at_k(neighbors, labels, gallery_labels, self.k, average=self.average)
