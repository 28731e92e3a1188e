"""Models that index, look up, calibrate and match what they embed."""

from simnb.tfsim import _left_out
from simnb.tfsim.models.contrastive import ContrastiveModel, create_contrastive_model
from simnb.tfsim.models.similarity import SimilarityModel

__all__ = ["SimilarityModel", "ContrastiveModel", "create_contrastive_model"]

__getattr__ = _left_out.missing(__name__)
__path__ += _left_out.PATH
