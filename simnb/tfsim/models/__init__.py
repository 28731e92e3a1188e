"""Models that index, look up, calibrate and match what they embed."""

from simnb.tfsim._left_out import missing
from simnb.tfsim.models.contrastive import ContrastiveModel, create_contrastive_model
from simnb.tfsim.models.similarity import SimilarityModel

__all__ = ["SimilarityModel", "ContrastiveModel", "create_contrastive_model"]

__getattr__ = missing(__name__)
