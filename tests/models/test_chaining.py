"""A network and a head as one embedder."""

import keras
import numpy as np
import pytest

from simnb.layers import MetricEmbedding
from simnb.models import TorchEmbedder, chain, embed, mirrored, set_trainable
from simnb.models._pixels import expects_bytes
from simnb.models.backbone import Backbone
from simnb.training import fit_head

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def network(seed=0):
    inputs = keras.Input((4, 4, 3))
    start = keras.initializers.GlorotUniform(seed=seed)
    inner = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(6, 2, kernel_initializer=start)])
    x = Backbone(inner, name="backbone")(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.Flatten()(x), name="network")


def test_network_and_head_are_one_embedder_that_is_saved_and_loaded(tmp_path):
    backbone = network()
    features = embed(backbone, IMAGES)  # of length 1, which the network's own outputs are not
    head = fit_head(features, LABELS, embedding_size=5, hidden=4, steps=3)
    whole = chain(backbone, head)
    expected = keras.ops.convert_to_numpy(head(features))
    np.testing.assert_allclose(embed(whole, IMAGES), expected, atol=1e-5)
    assert (whole.name, whole.output_shape) == ("network_head", (None, 5))
    whole.save(tmp_path / "whole.keras")
    loaded = keras.saving.load_model(tmp_path / "whole.keras")
    np.testing.assert_array_equal(embed(loaded, IMAGES), embed(whole, IMAGES))
    assert mirrored(loaded).output_shape == (None, 5)


def test_weights_are_shared_pixels_are_known_and_the_network_can_be_frozen():
    backbone = network()
    head = fit_head(embed(backbone, IMAGES), LABELS, steps=1)
    whole = chain(backbone, head)
    assert expects_bytes(whole)
    assert {id(w) for w in whole.weights} == {id(w) for w in [*backbone.weights, *head.weights]}
    set_trainable(whole, "head")
    assert {id(w) for w in whole.trainable_weights} == {id(w) for w in head.trainable_weights}
    set_trainable(whole, 1)
    assert len(whole.trainable_weights) == len(head.trainable_weights) + 2


def test_a_plain_sequence_of_layers_can_be_chained_and_a_chain_gets_a_second_head():
    layers = [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(9)]
    whole = keras.Sequential(layers)
    for _ in range(2):
        before = embed(whole, IMAGES)
        head = fit_head(before, LABELS, embedding_size=9, steps=1)
        whole = chain(whole, head)
        expected = keras.ops.convert_to_numpy(head(before))
        np.testing.assert_allclose(embed(whole, IMAGES), expected, atol=1e-5)


def test_what_does_not_fit_is_refused():
    features = keras.Input((9,))
    head = keras.Model(features, MetricEmbedding(3)(features))
    with pytest.raises(ValueError, match=r"it takes \(None, 9\), and the embedder gives \(None, 54\)"):
        chain(network(), head)
    with pytest.raises(ValueError, match=r"embedder must be a Keras model made of layers, .* got function"):
        chain(lambda images: images, head)
    torch = object.__new__(TorchEmbedder)
    with pytest.raises(ValueError, match=r"got TorchEmbedder; a function does .*: lambda images: head\("):
        chain(torch, head)
    with pytest.raises(ValueError, match=r"head must be a Keras model made of layers, .* got Sequential"):
        chain(network(), keras.Sequential([MetricEmbedding(3)]))
