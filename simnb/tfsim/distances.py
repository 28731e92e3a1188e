"""Distances by class, name or alias; ``simnb.distances`` computes them."""

from typing import Any, Self

from simnb._keras import keras, ops
from simnb._types import Tensor
from simnb.distances import pairwise

__all__ = [
    "Distance",
    "InnerProductSimilarity",
    "CosineDistance",
    "EuclideanDistance",
    "SquaredEuclideanDistance",
    "ManhattanDistance",
    "SNRDistance",
    "distance_canonicalizer",
    "DISTANCES",
]


class Distance:
    """All distances between two sets of embeddings; smaller is closer, for every one of them.

    Attributes:
        name: The name in ``simnb.distances.DISTANCES``.
        aliases: Other names that are understood.
    """

    name = ""
    aliases: tuple[str, ...] = ()

    def call(self, query_embeddings: Tensor, key_embeddings: Tensor) -> Tensor:
        """Distances, shape [num_queries, num_keys], of embeddings of shape [num, dim]."""
        query, key = (ops.convert_to_tensor(each, "float32") for each in (query_embeddings, key_embeddings))
        return pairwise(query, key, self.name, ops=ops)

    def __call__(self, query_embeddings: Tensor, key_embeddings: Tensor) -> Tensor:
        """What ``call`` gives."""
        return self.call(query_embeddings, key_embeddings)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def get_config(self) -> dict[str, Any]:
        """The options: there are none."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make it again."""
        return cls(**config)


def _distance(name, aliases):
    def register(cls):
        cls.name, cls.aliases = name, aliases
        return keras.saving.register_keras_serializable(package="simnb.tfsim")(cls)

    return register


@_distance("inner_product", ("ip",))
class InnerProductSimilarity(Distance):
    """The inner product, negated: smaller is closer, as for all the others."""


@_distance("cosine", ())
class CosineDistance(Distance):
    """1 - cosine similarity."""


@_distance("euclidean", ("l2", "pythagorean"))
class EuclideanDistance(Distance):
    """Length of the difference."""


@_distance("squared_euclidean", ("sql2", "sqeuclidean"))
class SquaredEuclideanDistance(Distance):
    """Squared length of the difference."""


@_distance("manhattan", ("l1", "taxicab"))
class ManhattanDistance(Distance):
    """Sum of absolute differences."""


@_distance("snr", ("signal-to-noise-ratio",))
class SNRDistance(Distance):
    """Variance of the difference, divided by that of the query."""


DISTANCES = (
    InnerProductSimilarity,
    EuclideanDistance,
    SquaredEuclideanDistance,
    ManhattanDistance,
    CosineDistance,
    SNRDistance,
)


def distance_canonicalizer(user_distance: str | Distance) -> Distance:
    """The ``Distance`` of a name, an alias or a ``Distance``.

    Raises:
        ValueError: If there is none, or it is a class of the user's own, which the index would not know.
    """
    name = getattr(user_distance, "name", user_distance)
    known = {each: cls for cls in DISTANCES for each in (cls.name, *cls.aliases)}
    if str(name).lower() not in known:
        raise ValueError(f"distance must be one of {', '.join(sorted(known))}; got {user_distance!r}")
    return known[str(name).lower()]()
