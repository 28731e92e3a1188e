"""Losses with the argument names and defaults of TensorFlow Similarity; ``simnb.losses`` computes them."""

from simnb import losses
from simnb._keras import keras, ops
from simnb.losses import two_views
from simnb.tfsim._left_out import missing
from simnb.tfsim.distances import distance_canonicalizer

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
        """Initialize the loss of ``simnb.losses``; ``self.distance`` is what ``compile`` reads."""
        kwargs = given.pop("kwargs")
        given = {name: value for name, value in given.items() if name not in ("self", "__class__")}
        self.distance = distance_canonicalizer(given.get("distance", "cosine"))
        if "distance" in given:
            given["distance"] = self.distance.name
        super().__init__(**options, **kwargs)
        self._given = {**given, **kwargs}

    def get_config(self):
        """The arguments."""
        return dict(self._given)


def _only_cosine(distance, *, of):
    if distance_canonicalizer(distance).name != "cosine":
        raise ValueError(f'{of} takes distance="cosine", which its paper defines it for, got {distance!r}')


@_register
class TripletLoss(_Given, losses.TripletLoss):
    """``simnb.losses.TripletLoss``; a margin of None is the soft margin."""

    def __init__(
        self,
        distance="cosine",
        positive_mining_strategy="hard",
        negative_mining_strategy="semi-hard",
        margin=None,
        name="TripletLoss",
        **kwargs,
    ):
        """Take the arguments."""
        self._set_up(
            locals(),
            positive_mining=positive_mining_strategy,
            negative_mining=negative_mining_strategy,
            margin=margin,
            distance=distance_canonicalizer(distance).name,
            name=name,
        )


@_register
class PNLoss(_Given, losses.PNLoss):
    """``simnb.losses.PNLoss``; a margin of None is the soft margin."""

    def __init__(
        self,
        distance="cosine",
        positive_mining_strategy="hard",
        negative_mining_strategy="semi-hard",
        margin=None,
        name="PNLoss",
        **kwargs,
    ):
        """Take the arguments."""
        self._set_up(
            locals(),
            positive_mining=positive_mining_strategy,
            negative_mining=negative_mining_strategy,
            margin=margin,
            distance=distance_canonicalizer(distance).name,
            name=name,
        )


@_register
class MultiSimilarityLoss(_Given, losses.MultiSimilarityLoss):
    """``simnb.losses.MultiSimilarityLoss``; ``lmda - (center - 1)`` is its ``lam``."""

    def __init__(
        self,
        distance="cosine",
        alpha=2.0,
        beta=40.0,
        epsilon=0.1,
        lmda=0.5,
        center=1.0,
        name="MultiSimilarityLoss",
        **kwargs,
    ):
        """Take the arguments."""
        _only_cosine(distance, of="MultiSimilarityLoss")
        self._set_up(
            locals(),
            alpha=alpha,
            beta=beta,
            epsilon=epsilon,
            lam=lmda - (center - 1),
            name=name,
        )


@_register
class CircleLoss(_Given, losses.CircleLoss):
    """``simnb.losses.CircleLoss``."""

    def __init__(
        self,
        distance="cosine",
        gamma=80.0,
        margin=0.4,
        name="CircleLoss",
        **kwargs,
    ):
        """Take the arguments."""
        _only_cosine(distance, of="CircleLoss")
        self._set_up(
            locals(),
            gamma=gamma,
            margin=margin,
            name=name,
        )


@_register
class SoftNearestNeighborLoss(_Given, losses.SoftNearestNeighborLoss):
    """``simnb.losses.SoftNearestNeighborLoss``."""

    def __init__(self, distance="sql2", temperature=1, name="SoftNearestNeighborLoss", **kwargs):
        """Take the arguments."""
        self._set_up(
            locals(), temperature=temperature, distance=distance_canonicalizer(distance).name, name=name
        )


@_register
class LiftedStructLoss(_Given, losses.LiftedStructureLoss):
    """``simnb.losses.LiftedStructureLoss``, over euclidean distances of what it is given, as in its paper."""

    def __init__(
        self,
        distance="cosine",
        margin=1.0,
        name="LiftedStructLoss",
        **kwargs,
    ):
        """Take the arguments."""
        self._set_up(
            locals(),
            margin=margin,
            name=name,
        )


class _OfTwo(keras.losses.Loss):
    """A loss of two sets of embeddings, row i of one belonging to row i of the other."""

    def __init__(self, name, kwargs):
        super().__init__(name=name, **kwargs)

    def get_config(self):
        """The arguments."""
        return dict(self._given)


def _remember(loss, given):
    kwargs = given.pop("kwargs")
    given = {name: value for name, value in given.items() if name not in ("self", "__class__")}
    loss._given = {**given, **kwargs}


def _interleaved(one, other):
    """Labels and embeddings as the losses over pairs take them: row i of each has label i."""
    labels = ops.repeat(ops.arange(ops.shape(one)[0]), 2)
    both = ops.stack([one, other], axis=1)
    return labels, ops.reshape(both, (-1, both.shape[-1]))


@_register
class MultiNegativesRankLoss(_OfTwo):
    """``simnb.losses.multiple_negatives_ranking_loss`` from queries to keys, temperature 1 / ``scale``.

    Called with query and key embeddings, row i of one belonging to row i of the other.
    """

    def __init__(self, name="MultipleNegativesRankingLoss", distance="inner_product", scale=20, **kwargs):
        """Take the arguments."""
        super().__init__(name, kwargs)
        self.distance = distance_canonicalizer(distance)
        distance = self.distance.name
        _remember(self, locals())
        self._options = {"temperature": 1 / scale, "distance": distance}

    def call(self, query_embeddings, key_embeddings):
        """Loss of each query, shape [batch]."""
        pairs = _interleaved(query_embeddings, key_embeddings)
        return losses.multiple_negatives_ranking_loss(*pairs, **self._options)[::2]


@_register
class SimCLRLoss(_OfTwo):
    """``simnb.losses.nt_xent_loss`` of two views, rows of one and the other."""

    def __init__(self, temperature=0.05, name="simclr", **kwargs):
        """Take the arguments."""
        super().__init__(name, kwargs)
        self.temperature = temperature
        _remember(self, locals())

    def call(self, za, zb):
        """Loss of each view, shape [2 batch]."""
        return losses.nt_xent_loss(*_interleaved(za, zb), temperature=self.temperature)


@_register
class SimSiamLoss(_OfTwo):
    """``simnb.losses.two_views.simsiam_loss``: between a projection, without gradient, and a prediction.

    ``projection_type`` is ``negative_cosine_sim`` or ``cosine_distance``, which differ by 1.
    """

    def __init__(self, projection_type="negative_cosine_sim", margin=0.001, name="simsiam", **kwargs):
        """Take the arguments; ``margin`` guarded a division, and is without effect."""
        if projection_type not in ("negative_cosine_sim", "cosine_distance"):
            raise ValueError(
                "projection_type must be 'negative_cosine_sim' or 'cosine_distance', got "
                f"{projection_type!r}; of an angle the gradient is not bounded"
            )
        super().__init__(name, kwargs)
        self.projection_type = projection_type
        _remember(self, locals())

    def call(self, projector, predictor):
        """Loss of each row, shape [batch]."""
        loss = two_views.simsiam_loss(projector, predictor)
        return loss if self.projection_type == "negative_cosine_sim" else 1 + loss


@_register
class Barlow(_OfTwo):
    """``simnb.losses.two_views.barlow_twins_loss``; ``lambda_`` is its ``off_diagonal``."""

    def __init__(self, lambda_=5e-3, margin=1e-12, name="barlow", **kwargs):
        """Take the arguments."""
        super().__init__(name, kwargs)
        self._options = {"off_diagonal": lambda_, "epsilon": margin}
        _remember(self, locals())

    def call(self, za, zb):
        """Loss of the batch, shape []."""
        return two_views.barlow_twins_loss(za, zb, **self._options)


@_register
class VicReg(_OfTwo):
    """``simnb.losses.two_views.vicreg_loss``; ``lambda_``, ``mu`` and ``nu`` are the paper's."""

    def __init__(self, std_const=1e-4, lambda_=25, mu=25, nu=1, name="vicreg", **kwargs):
        """Take the arguments."""
        super().__init__(name, kwargs)
        self._options = {"invariance": lambda_, "variance": mu, "covariance": nu, "epsilon": std_const}
        _remember(self, locals())

    def call(self, za, zb):
        """Loss of the batch, shape []."""
        return two_views.vicreg_loss(za, zb, **self._options)


@_register
class XBM(keras.losses.Loss):
    """``simnb.losses.CrossBatchMemory``, of a size that ``compile`` finds out.

    Args:
        loss: A loss over pairs of this module.
        memory_size: Embeddings that are remembered.
        warmup_steps: Steps before the memory is used.
        name: Name of the loss.
    """

    def __init__(self, loss, memory_size, warmup_steps=0, name=None, **kwargs):
        """Take the arguments; the memory is made once the length of an embedding is known."""
        super().__init__(name=name or "XBM", **kwargs)
        self.loss, self.memory_size, self.warmup_steps = loss, memory_size, warmup_steps
        self.distance = loss.distance
        self.memory = None

    def build(self, dim):
        """Make the memory for embeddings of ``dim`` values; ``SimilarityModel.compile`` calls it."""
        self.memory = losses.CrossBatchMemory(self.loss, self.memory_size, dim, start=self.warmup_steps)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Loss of the batch, reduced."""
        if self.memory is None:
            raise ValueError("XBM needs the length of an embedding: call build(dim), as compile does")
        return self.memory(y_true, y_pred, sample_weight)

    def get_config(self):
        """The arguments."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "memory_size": self.memory_size,
            "warmup_steps": self.warmup_steps,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        """Make it again, with an empty memory."""
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})
