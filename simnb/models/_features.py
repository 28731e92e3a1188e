"""The network of an embedder: what stands before it, and how its features become one vector."""

from dataclasses import dataclass, field

from simnb import _checks
from simnb._keras import keras
from simnb._types import KerasObject
from simnb.layers import GeneralizedMeanPooling1D, GeneralizedMeanPooling2D

__all__ = ["POOLINGS", "Source", "pool", "pooling_layer"]

#: By the rank of the features: [batch, tokens, dim] or [batch, height, width, dim].
_LAYERS = {
    3: {
        "gem": GeneralizedMeanPooling1D,
        "average": keras.layers.GlobalAveragePooling1D,
        "max": keras.layers.GlobalMaxPooling1D,
    },
    4: {
        "gem": GeneralizedMeanPooling2D,
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
    },
}
POOLINGS = ("gem", "average", "max", "class_token")


@dataclass(frozen=True)
class Source:
    """A network and what it wants: where an embedder begins."""

    name: str
    network: KerasObject  # images to features, [batch, dim], [batch, tokens, dim] or a map
    input_shape: tuple[int | None, ...]  # of images as the embedder takes them
    pooling: str | None  # unless another one is asked for
    preprocessing: list[KerasObject] = field(default_factory=list)  # layers
    extra_tokens: int = 0  # those before the tokens of the patches; the first of them is the class token
    embedding_size: int = 0  # unless another one is asked for; 0 for the features themselves
    trainable: str = "head"  # unless something else is asked for


def pool(features: KerasObject, source: Source, pooling: str | None) -> KerasObject:
    """One vector per image, of features as a source gives them."""
    name, rank = pooling or source.pooling or "", len(features.shape)
    if rank == 2:
        if name:
            raise ValueError(
                f"pooling must be None for {source.name}, which gives one vector per image by itself, "
                f"got {name!r}"
            )
        return features
    if name == "class_token":
        if rank != 3 or not source.extra_tokens:
            raise ValueError(f"pooling must not be 'class_token' for {source.name}, which has no such token")
        return features[:, 0]
    _checks.one_of(name, _LAYERS[rank], name="pooling")
    return pooling_layer(name, rank=rank)(features[:, source.extra_tokens :] if rank == 3 else features)


def pooling_layer(name: str, *, rank: int = 4) -> KerasObject:
    """The layer of ``gem``, ``average`` or ``max``."""
    # In float32 under every policy: sums over positions lose digits in 16 bits.
    return _LAYERS[rank][name](dtype="float32", name="pooling")
