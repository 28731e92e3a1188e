"""Training an embedder: the recipe, its optimizer and schedule, and what watches over it."""

from simnb.training.head import fit_head
from simnb.training.metric_model import MetricModel
from simnb.training.monitor import RetrievalMonitor
from simnb.training.muon import Muon
from simnb.training.recipe import fit, one_cycle

__all__ = ["MetricModel", "Muon", "RetrievalMonitor", "fit", "fit_head", "one_cycle"]
