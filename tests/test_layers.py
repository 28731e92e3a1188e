import keras
import numpy as np
import pytest

from simnb.layers import MetricEmbedding


def test_it_is_a_dense_layer_with_unit_norm():
    layer = MetricEmbedding(4)
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    kernel, bias = layer.get_weights()
    dense = inputs @ kernel + bias
    np.testing.assert_allclose(outputs, dense / np.linalg.norm(dense, axis=1, keepdims=True), rtol=1e-5)
    assert layer.compute_output_shape((None, 3)) == (None, 4)


# What TensorFlow Similarity's public test expects: a kernel of ones gives 0.5 everywhere.
def test_value_of_the_field_holds():
    layer = MetricEmbedding(4, kernel_initializer="ones")
    outputs = keras.ops.convert_to_numpy(layer(np.array([[4.0] * 4, [1.0] * 4])))
    np.testing.assert_allclose(outputs, 0.5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_output_is_float32_under_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        hidden = keras.layers.Dense(3)(keras.Input((3,)))
        outputs = MetricEmbedding(2)(hidden)
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(hidden.dtype) != "float32"
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_a_zero_vector_stays_finite():
    layer = MetricEmbedding(2)
    assert np.isfinite(keras.ops.convert_to_numpy(layer(np.zeros((1, 3))))).all()


def test_a_saved_model_gives_the_same_embeddings(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, MetricEmbedding(2, use_bias=False, kernel_initializer="he_normal")(inputs))
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    x = np.ones((2, 3))
    np.testing.assert_array_equal(model.predict(x, verbose=0), copy.predict(x, verbose=0))
    assert copy.layers[-1].get_config()["use_bias"] is False


def test_a_bad_dim_is_named():
    for dim in (0, True, 2.5):
        with pytest.raises(ValueError, match=f"dim must be an integer of at least 1, got {dim}"):
            MetricEmbedding(dim)
    assert MetricEmbedding(np.int64(4)).get_config()["dim"] == 4
