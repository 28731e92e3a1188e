"""What holds for every loss over pairs."""

import keras
import numpy as np
import pytest

from simnb import losses
from simnb.losses._pairs import PairLoss

values = keras.ops.convert_to_numpy

BATCHES = {
    "one class": ([3, 3, 3], np.array([[1.0, 0], [0, 1], [0.6, 0.8]])),
    "one example": ([0], np.array([[1.0, 0]])),
    "no positive": ([0, 1, 2], np.array([[1.0, 0], [0, 1], [0.6, 0.8]])),
    "identical": ([0, 0, 1, 1], np.tile([[0.6, 0.8]], (4, 1))),
    "all zero": ([0, 0, 1, 1], np.zeros((4, 2))),
    "one zero": ([0, 0, 1, 1], np.array([[0.0, 0], [0, 1], [1, 0.1], [0.1, 1]])),
    "huge": ([0, 0, 1, 1], 1e4 * np.array([[1.0, 0], [0, 1], [1, 0.1], [0.1, 1]])),
}
# What an anchor of these batches lacks.
MISSING = {"one class": {"negative"}, "no positive": {"positive"}, "one example": {"positive", "negative"}}


@pytest.mark.parametrize("batch_name", BATCHES)
def test_degenerate_batches_have_finite_losses_and_gradients(variant, batch_name, value_and_gradient):
    total, gradient = value_and_gradient(variant, *BATCHES[batch_name])
    assert np.isfinite(total)
    assert np.isfinite(gradient).all()
    missing = MISSING.get(batch_name, set())
    if missing & set(variant.needs) or batch_name == "one example":
        assert total == 0.0
        assert not gradient.any()
    elif missing:
        assert total > 0.0


def test_an_anchor_without_a_positive_has_no_loss_and_no_gradient(variant, batch, value_and_gradient):
    lone = 6
    assert (batch[0] == batch[0][lone]).sum() == 1
    total, gradient = value_and_gradient(lambda y, e: variant(y, e)[lone], *batch)
    assert (total == 0.0) == ("positive" in variant.needs)
    assert (not gradient.any()) == ("positive" in variant.needs)


def test_gradients_equal_finite_differences(variant, value_and_gradient):
    if variant.make is losses.CircleLoss:
        pytest.skip("its gradient holds the weights fixed; test_margins.py has a loop for that")
    rng = np.random.default_rng(2)
    labels, embeddings = rng.integers(0, 3, 8), rng.normal(0.2, 1, (8, 4))
    _, gradient = value_and_gradient(variant, labels, embeddings)
    step = 1e-3
    for i, j in [(0, 0), (3, 1), (7, 3)]:
        ahead, behind = embeddings.copy(), embeddings.copy()
        ahead[i, j] += step
        behind[i, j] -= step
        rise = values(variant(labels, ahead)).sum() - values(variant(labels, behind)).sum()
        assert gradient[i, j] == pytest.approx(rise / 2 / step, rel=0.05, abs=0.02)


def test_the_order_of_the_batch_does_not_matter(variant, batch):
    labels, embeddings = batch
    order = np.random.default_rng(5).permutation(12)
    if variant.make is losses.MultipleNegativesRankingLoss:
        order = np.lexsort([np.arange(12), labels])  # its queries and keys go by the order in a class
    shuffled = values(variant(labels[order], embeddings[order]))
    np.testing.assert_allclose(shuffled, values(variant(labels, embeddings))[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_embeddings_are_computed_in_float32(variant, batch, dtype):
    labels, embeddings = batch
    half = keras.ops.cast(embeddings, dtype)
    result = variant(labels, half)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    in_float32 = values(variant(labels, keras.ops.cast(half, "float32")))
    np.testing.assert_array_equal(values(result), in_float32)


def test_a_class_averages_its_function_and_survives_serialization(variant, batch):
    labels, embeddings = batch
    loss = variant.make(**variant.options)
    expected = values(variant(labels, embeddings)).mean()
    assert expected > 0
    assert float(loss(labels, embeddings)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(labels[:, None], embeddings)) == pytest.approx(expected, rel=1e-6)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is variant.make
    assert copy.get_config() == loss.get_config()
    assert float(copy(labels, embeddings)) == pytest.approx(expected, rel=1e-6)


def test_every_option_is_kept(variant):
    config = variant.make(**variant.options).get_config()
    assert variant.options.items() <= config.items()
    assert config["name"] == variant.of_each.__name__


def test_every_public_loss_over_pairs_is_tested_here(every_class):
    public = {getattr(losses, name) for name in losses.__all__}
    classes = {each for each in public if isinstance(each, type) and issubclass(each, PairLoss)}
    assert set(every_class) == classes


def test_the_defaults_of_class_and_function_agree(make, batch):
    loss = make()
    function = getattr(losses, loss.name)
    assert float(loss(*batch)) == pytest.approx(values(function(*batch)).mean(), rel=1e-6)


def test_large_labels_do_not_run_together_in_float32(make, batch):
    labels, embeddings = batch
    expected = float(make()(labels, embeddings))
    for offset in (2**24, 2**40):
        assert float(make()(labels + offset, embeddings)) == pytest.approx(expected, rel=1e-6)
        assert float(make()(labels[:, None] + offset, embeddings)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_never_a_loss_of_zero(variant, batch, bad):
    labels, embeddings = batch
    one, every = embeddings.copy(), np.full_like(embeddings, bad)
    one[3, 2] = bad
    assert np.isnan(values(variant(labels, one)))[3]
    assert np.isnan(values(variant(labels, every))).all()
    assert np.isnan(float(variant.make(**variant.options)(labels, one)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("positive_mining", ["easy", "semi-hard", "hard"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("loss", [losses.triplet_loss, losses.pn_loss])
def test_no_way_of_mining_hides_an_embedding_that_is_not_finite(loss, batch, bad, positive_mining, distance):
    labels, one = batch
    one[3, 2] = bad
    assert np.isnan(values(loss(labels, one, positive_mining=positive_mining, distance=distance)))[3]


def test_a_dtype_that_cannot_tell_labels_apart_is_refused(make, batch):
    for dtype in ("float16", "bfloat16", "mixed_bfloat16"):
        with pytest.raises(ValueError, match="dtype must be float32 or float64, got '"):
            make(dtype=dtype)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has no float64 unless it is asked for")
def test_float64_is_accepted(make, batch):
    expected = float(make()(*batch))
    assert float(make(dtype="float64")(*batch)) == pytest.approx(expected)


def test_reduction_and_sample_weights_are_those_of_keras(make, batch):
    loss = make(reduction=None)
    each = values(loss(*batch))
    assert each.shape == (12,)
    assert float(make()(*batch)) == pytest.approx(each.mean(), rel=1e-6)
    assert loss.get_config()["reduction"] is None
    weights = np.arange(12.0)
    weighted = values(loss(*batch, sample_weight=weights))
    np.testing.assert_allclose(weighted, each * weights, rtol=1e-6)


def test_bad_input_is_named(make, batch):
    labels, embeddings = batch
    function = getattr(losses, make().name)
    with pytest.raises(ValueError, match=r"embeddings must have shape \[batch, dim\], got \(12,\)"):
        function(labels, embeddings[:, 0])
    with pytest.raises(ValueError, match=r"labels must be .* got \(12, 4\); one-hot labels become integers"):
        function(np.eye(4)[labels], embeddings)
    with pytest.raises(ValueError, match="labels and embeddings must have the same length, got 3 and 12"):
        function(labels[:3], embeddings)


@pytest.mark.parametrize(
    ("convert", "complaint"),
    [
        (lambda labels: labels + 0.5, "labels must be integers, got dtype float64"),
        (lambda labels: labels.astype("float32"), "labels must be integers, got dtype float32"),
        (
            lambda labels: [f"class {label}" for label in labels],
            "integers, got dtype .*from_arrays turns strings",
        ),
        (lambda labels: labels - 1, "labels must be 0 or above, got -1; -1 stands for unknown"),
    ],
)
def test_labels_that_are_no_classes_are_refused(make, batch, convert, complaint):
    labels, embeddings = convert(batch[0]), batch[1]
    with pytest.raises(ValueError, match=complaint):
        make()(labels, embeddings)
    with pytest.raises(ValueError, match=complaint):
        getattr(losses, make().name)(labels, embeddings)


def test_float_labels_are_refused_in_a_tensor_too(make, batch):
    labels = keras.ops.convert_to_tensor(batch[0].astype("float32"))
    with pytest.raises(ValueError, match="labels must be integers, got dtype float32"):
        make()(labels, batch[1])


@pytest.mark.parametrize(
    ("make_name", "option", "complaint"),
    [
        ("TripletLoss", {"positive_mining": "soft"}, "positive_mining must be one of easy, .*; got 'soft'"),
        ("TripletLoss", {"margin": -1}, "margin must be a number of at least 0, got -1; None"),
        ("TripletLoss", {"distance": "l2"}, "distance must be one of"),
        ("BatchAllTripletLoss", {"margin": -1}, "margin must be a number of at least 0, got -1; None"),
        ("BatchAllTripletLoss", {"distance": "l2"}, "distance must be one of"),
        (
            "PNLoss",
            {"margin": float("nan")},
            "margin must be a number of at least 0, got nan",
        ),
        ("PNLoss", {"negative_mining": "medium"}, "negative_mining must be one of"),
        ("PNLoss", {"distance": "l2"}, "distance must be one of"),
        ("ContrastiveLoss", {"margin": -1}, "margin must be a number of at least 0, got -1"),
        ("LiftedStructureLoss", {"margin": -0.5}, "margin must be a number of at least 0, got -0.5"),
        ("MultiSimilarityLoss", {"alpha": 0}, "alpha must be a number above 0, got 0"),
        ("MultiSimilarityLoss", {"beta": -1}, "beta must be a number above 0, got -1"),
        ("CircleLoss", {"gamma": 0}, "gamma must be a number above 0, got 0"),
        ("CircleLoss", {"margin": -0.4}, "margin must be a number of at least 0, got -0.4"),
        ("SoftNearestNeighborLoss", {"temperature": 0}, "temperature must be a number above 0, got 0"),
        ("SoftNearestNeighborLoss", {"distance": "l2"}, "distance must be one of"),
        ("MultipleNegativesRankingLoss", {"temperature": -1}, "temperature must be a number above 0, got -1"),
        ("MultipleNegativesRankingLoss", {"distance": "l2"}, "distance must be one of"),
        ("NTXentLoss", {"temperature": 0}, "temperature must be a number above 0, got 0"),
        (
            "SupervisedContrastiveLoss",
            {"temperature": float("nan")},
            "temperature must be .* above 0, got nan",
        ),
    ],
)
def test_a_bad_option_is_named(make_name, option, complaint):
    with pytest.raises(ValueError, match=complaint):
        getattr(losses, make_name)(**option)


@pytest.mark.parametrize(
    "loss",
    [
        losses.triplet_loss,
        losses.batch_all_triplet_loss,
        losses.pn_loss,
        losses.soft_nearest_neighbor_loss,
        losses.multiple_negatives_ranking_loss,
    ],
)
def test_a_bad_name_is_named_by_the_functions_too(loss, batch):
    with pytest.raises(ValueError, match=r"distance must be one of .*; got 'l2'"):
        loss(*batch, distance="l2")
    if loss in (losses.triplet_loss, losses.pn_loss):
        with pytest.raises(ValueError, match="negative_mining must be one of"):
            loss(*batch, negative_mining="medium")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow traces graphs of unknown batch size"
)
def test_a_graph_of_unknown_batch_size_is_traced(every_class, batch):
    import tensorflow as tf

    every = [make() for make in every_class]
    signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, None], tf.float32)]
    graph = tf.function(lambda y, e: [loss(y, e) for loss in every], input_signature=signature)
    in_graph = [float(loss) for loss in graph(*batch)]
    np.testing.assert_allclose(in_graph, [float(loss(*batch)) for loss in every], rtol=1e-5)
