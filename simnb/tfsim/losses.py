"""Losses with the argument names and defaults of TensorFlow Similarity; ``simnb.losses`` computes them."""

from typing import Any, Self

from simnb import losses
from simnb._keras import keras, ops
from simnb._types import KerasObject, Tensor
from simnb.losses import two_views
from simnb.tfsim._left_out import missing
from simnb.tfsim.distances import Distance, distance_canonicalizer

__all__ = [
    "MultiSimilarityLoss",
    "TripletLoss",
    "CircleLoss",
    "PNLoss",
    "SoftNearestNeighborLoss",
    "LiftedStructLoss",
    "MultiNegativesRankLoss",
    "XBM",
    "SimCLRLoss",
    "SimSiamLoss",
    "Barlow",
    "VicReg",
]

__getattr__ = missing(__name__)

_register = keras.saving.register_keras_serializable(package="simnb.tfsim")


class _Given:
    """Arguments by the names that TensorFlow Similarity gave them, kept as the configuration."""

    def _set_up(self, given, **options):
        """Initialize the loss that follows in the bases with ``options``.

        Args:
            given: ``locals()`` of ``__init__``; ``compile`` reads its ``distance`` as an attribute.
            **options: What the other loss takes, but for the name.
        """
        given = {name: value for name, value in given.items() if name not in ("self", "__class__")}
        kwargs = given.pop("kwargs")
        if "distance" in given:
            self.distance = distance_canonicalizer(given["distance"])
            given["distance"] = self.distance.name
        super().__init__(**options, name=given["name"], **kwargs)
        self._given = {**given, **kwargs}

    def get_config(self) -> dict[str, Any]:
        """The arguments it was made with."""
        return dict(self._given)


def _only_cosine(distance, *, of):
    if distance_canonicalizer(distance).name != "cosine":
        raise ValueError(f'{of} takes distance="cosine", which its paper defines it for, got {distance!r}')


class MinedLoss(_Given):
    """The options of the two losses over mined triplets."""

    _called = ""

    def __init__(
        self,
        distance: str | Distance = "cosine",
        positive_mining_strategy: str = "hard",
        negative_mining_strategy: str = "semi-hard",
        margin: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        name = name or self._called
        self._set_up(
            locals(),
            positive_mining=positive_mining_strategy,
            negative_mining=negative_mining_strategy,
            margin=margin,
            distance=distance_canonicalizer(distance).name,
        )


@_register
class TripletLoss(MinedLoss, losses.TripletLoss):
    """``simnb.losses.TripletLoss``; a margin of None is the soft margin."""

    _called = "TripletLoss"


@_register
class PNLoss(MinedLoss, losses.PNLoss):
    """``simnb.losses.PNLoss``; a margin of None is the soft margin."""

    _called = "PNLoss"


@_register
class MultiSimilarityLoss(_Given, losses.MultiSimilarityLoss):
    """``simnb.losses.MultiSimilarityLoss``; ``lmda - (center - 1)`` is its ``lam``."""

    def __init__(
        self,
        distance: str | Distance = "cosine",
        alpha: float = 2.0,
        beta: float = 40.0,
        epsilon: float = 0.1,
        lmda: float = 0.5,
        center: float = 1.0,
        name: str = "MultiSimilarityLoss",
        **kwargs: Any,
    ) -> None:
        _only_cosine(distance, of="MultiSimilarityLoss")
        self._set_up(locals(), alpha=alpha, beta=beta, epsilon=epsilon, lam=lmda - (center - 1))


@_register
class CircleLoss(_Given, losses.CircleLoss):
    """``simnb.losses.CircleLoss``."""

    def __init__(
        self,
        distance: str | Distance = "cosine",
        gamma: float = 80.0,
        margin: float = 0.4,
        name: str = "CircleLoss",
        **kwargs: Any,
    ) -> None:
        _only_cosine(distance, of="CircleLoss")
        self._set_up(locals(), gamma=gamma, margin=margin)


@_register
class SoftNearestNeighborLoss(_Given, losses.SoftNearestNeighborLoss):
    """``simnb.losses.SoftNearestNeighborLoss``."""

    def __init__(
        self,
        distance: str | Distance = "sql2",
        temperature: float = 1,
        name: str = "SoftNearestNeighborLoss",
        **kwargs: Any,
    ) -> None:
        self._set_up(locals(), temperature=temperature, distance=distance_canonicalizer(distance).name)


@_register
class LiftedStructLoss(_Given, losses.LiftedStructureLoss):
    """``simnb.losses.LiftedStructureLoss``, over euclidean distances of what it is given, as in its paper."""

    def __init__(
        self,
        distance: str | Distance = "cosine",
        margin: float = 1.0,
        name: str = "LiftedStructLoss",
        **kwargs: Any,
    ) -> None:
        self._set_up(locals(), margin=margin)


def _interleaved(one, other):
    """Labels and embeddings as the losses over pairs take them: row i of each has label i."""
    labels = ops.repeat(ops.arange(ops.shape(one)[0]), 2)
    both = ops.stack([one, other], axis=1)
    return labels, ops.reshape(both, (-1, both.shape[-1]))


@_register
class MultiNegativesRankLoss(_Given, keras.losses.Loss):
    """``simnb.losses.multiple_negatives_ranking_loss`` from queries to keys, temperature 1 / ``scale``.

    Called with query and key embeddings, row i of one belonging to row i of the other.
    """

    def __init__(
        self,
        name: str = "MultipleNegativesRankingLoss",
        distance: str | Distance = "inner_product",
        scale: float = 20,
        **kwargs: Any,
    ) -> None:
        self._set_up(locals())
        self._options = {"temperature": 1 / scale, "distance": self.distance.name}

    def call(self, query_embeddings: Tensor, key_embeddings: Tensor) -> Tensor:
        """Loss of each query, shape [batch]."""
        pairs = _interleaved(query_embeddings, key_embeddings)
        return losses.multiple_negatives_ranking_loss(*pairs, **self._options)[::2]


@_register
class SimCLRLoss(_Given, keras.losses.Loss):
    """``simnb.losses.nt_xent_loss`` of two views, rows of one and the other."""

    def __init__(self, temperature: float = 0.05, name: str = "simclr", **kwargs: Any) -> None:
        self._set_up(locals())
        self.temperature = temperature

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        """Loss of each view, shape [2 batch]."""
        return losses.nt_xent_loss(*_interleaved(za, zb), temperature=self.temperature)


@_register
class SimSiamLoss(_Given, keras.losses.Loss):
    """``simnb.losses.two_views.simsiam_loss``: between a projection, without gradient, and a prediction.

    ``projection_type`` is ``negative_cosine_sim`` or ``cosine_distance``, which differ by 1. ``margin`` has
    no effect: it guarded a division.
    """

    def __init__(
        self,
        projection_type: str = "negative_cosine_sim",
        margin: float = 0.001,
        name: str = "simsiam",
        **kwargs: Any,
    ) -> None:
        if projection_type not in ("negative_cosine_sim", "cosine_distance"):
            raise ValueError(
                "projection_type must be 'negative_cosine_sim' or 'cosine_distance', got "
                f"{projection_type!r}; of an angle the gradient is not bounded"
            )
        self._set_up(locals())
        self.projection_type = projection_type

    def call(self, projector: Tensor, predictor: Tensor) -> Tensor:
        """Loss of each row, shape [batch]."""
        loss = two_views.simsiam_loss(projector, predictor)
        return loss if self.projection_type == "negative_cosine_sim" else 1 + loss


@_register
class Barlow(_Given, keras.losses.Loss):
    """``simnb.losses.two_views.barlow_twins_loss``; ``lambda_`` is its ``off_diagonal``."""

    def __init__(
        self, lambda_: float = 5e-3, margin: float = 1e-12, name: str = "barlow", **kwargs: Any
    ) -> None:
        self._set_up(locals())
        self._options = {"off_diagonal": lambda_, "epsilon": margin}

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        """Loss of the batch, shape []."""
        return two_views.barlow_twins_loss(za, zb, **self._options)


@_register
class VicReg(_Given, keras.losses.Loss):
    """``simnb.losses.two_views.vicreg_loss``; ``lambda_``, ``mu`` and ``nu`` are the paper's."""

    def __init__(
        self,
        std_const: float = 1e-4,
        lambda_: float = 25,
        mu: float = 25,
        nu: float = 1,
        name: str = "vicreg",
        **kwargs: Any,
    ) -> None:
        self._set_up(locals())
        self._options = {"invariance": lambda_, "variance": mu, "covariance": nu, "epsilon": std_const}

    def call(self, za: Tensor, zb: Tensor) -> Tensor:
        """Loss of the batch, shape []."""
        return two_views.vicreg_loss(za, zb, **self._options)


@_register
class XBM(keras.losses.Loss):
    """``simnb.losses.CrossBatchMemory``, of a size that ``compile`` finds out.

    Args:
        loss: A loss over pairs of this module.
        memory_size: How many embeddings are remembered.
        warmup_steps: Steps before the memory is used.
        name: Name of the loss; None for ``XBM``.
        **kwargs: For ``keras.losses.Loss``.
    """

    def __init__(
        self,
        loss: KerasObject,
        memory_size: int,
        warmup_steps: int = 0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or "XBM", **kwargs)
        self.loss, self.memory_size, self.warmup_steps = loss, memory_size, warmup_steps
        self.distance = loss.distance
        self.memory: losses.CrossBatchMemory | None = None

    def build(self, dim: int) -> None:
        """Make the memory for embeddings of ``dim`` values; ``SimilarityModel.compile`` calls it."""
        self.memory = losses.CrossBatchMemory(self.loss, self.memory_size, dim, start=self.warmup_steps)

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Loss of the batch, reduced."""
        if self.memory is None:
            raise ValueError("XBM needs the length of an embedding: call build(dim), as compile does")
        return self.memory(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The arguments it was made with."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "memory_size": self.memory_size,
            "warmup_steps": self.warmup_steps,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make it again, with an empty memory."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})
