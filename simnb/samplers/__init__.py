"""Batches made for metric learning: several examples of each of a few classes, or two views of each image."""

from simnb.samplers.balanced import BalancedBatches
from simnb.samplers.streams import balance
from simnb.samplers.two_views import TwoViewBatches

__all__ = ["BalancedBatches", "TwoViewBatches", "balance"]
