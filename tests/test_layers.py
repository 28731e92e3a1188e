import keras
import numpy as np
import pytest

from simnb.layers import GeneralizedMeanPooling1D, GeneralizedMeanPooling2D, MetricEmbedding, Proxies
from simnb.losses import NormalizedSoftmaxLoss

values = keras.ops.convert_to_numpy


def gradient(function, inputs):
    """Gradient of the sum of ``function(inputs)``, on the backend in use."""

    def total(tensor):
        return keras.ops.sum(function(tensor))

    tensor = keras.ops.convert_to_tensor(np.asarray(inputs, "float32"))
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return values(jax.grad(total)(tensor))
    if backend == "torch":
        tensor.requires_grad_()
        total(tensor).backward()
        return values(tensor.grad)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = total(tensor)
    return values(tape.gradient(value, tensor))


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def mixed_precision(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy(before)


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


def test_every_output_is_float32_under_mixed_precision(mixed_precision):
    maps = keras.layers.Conv2D(3, 1)(keras.Input((4, 4, 3)))
    pooled = GeneralizedMeanPooling2D()(maps)
    hidden = keras.layers.Dense(3)(pooled)
    embeddings = MetricEmbedding(2)(hidden)
    for half in (maps, hidden):
        assert keras.backend.standardize_dtype(half.dtype) != "float32"
    for outputs in (pooled, embeddings, Proxies(5)(embeddings)):
        assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_a_zero_vector_and_its_gradient_stay_finite():
    embedding, proxies = MetricEmbedding(2), Proxies(3)
    proxies.build((None, 2))
    weights = keras.ops.convert_to_tensor([1.0, 2.0])
    for function in (lambda x: embedding(x) * weights, lambda x: proxies(embedding(x)), proxies):
        zeros = np.zeros((1, 2), "float32")
        embedding(zeros)
        assert np.isfinite(values(function(zeros))).all()
        assert np.isfinite(gradient(function, zeros)).all()


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


def test_proxies_give_cosine_similarities():
    layer = Proxies(3, seed=5)
    inputs = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
    outputs = values(layer(inputs))
    (proxies,) = layer.get_weights()
    assert proxies.shape == (3, 2)
    assert len(layer.trainable_weights) == 1
    for i, embedding in enumerate(inputs.astype("float64")):
        for j, proxy in enumerate(proxies.astype("float64")):
            cosine = embedding @ proxy / np.linalg.norm(embedding) / np.linalg.norm(proxy)
            assert outputs[i, j] == pytest.approx(cosine, abs=1e-6)
    assert layer.compute_output_shape((None, 2)) == (None, 3)


def test_the_seed_decides_the_proxies():
    def start(seed):
        layer = Proxies(200, seed=seed)
        layer.build((None, 50))
        return layer.get_weights()[0]

    np.testing.assert_array_equal(start(3), start(3))
    assert (start(3) != start(4)).any()
    # Norms near 1, in every direction.
    assert np.linalg.norm(start(3), axis=1).mean() == pytest.approx(1.0, abs=0.05)
    assert np.abs(start(3).mean(axis=0)).max() < 0.05


def test_an_embedder_is_trained_with_proxies_saved_with_them_and_used_without(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(4, dtype="uint8"), 8)
    x = (np.eye(4)[labels] + 0.1 * rng.normal(size=(32, 4))).astype("float32")
    start = keras.initializers.GlorotUniform(seed=0)
    inputs = keras.Input((4,))
    embedder = keras.Model(inputs, MetricEmbedding(3, kernel_initializer=start)(inputs))
    model = keras.Model(embedder.input, Proxies(4, seed=1)(embedder.output))
    model.compile(keras.optimizers.Adam(0.05), NormalizedSoftmaxLoss())
    before, proxies_before = embedder.get_weights()[0], model.layers[-1].get_weights()[0]
    losses = model.fit(x, labels, batch_size=16, epochs=20, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert (embedder.get_weights()[0] != before).any()
    assert (model.layers[-1].get_weights()[0] != proxies_before).any()
    assert (model.predict(x, verbose=0).argmax(axis=1) == labels).mean() > 0.9

    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    assert type(copy.loss) is NormalizedSoftmaxLoss
    assert copy.layers[-1].get_config()["num_classes"] == 4
    assert copy.layers[-1].get_config()["seed"] == 1
    assert embedder.predict(x, verbose=0).shape == (32, 3)


def test_bad_proxies_are_named():
    with pytest.raises(ValueError, match="num_classes must be an integer of at least 1, got 0"):
        Proxies(0)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got None"):
        Proxies(3, seed=None)
    with pytest.raises(ValueError, match=r"embeddings must have shape \[batch, dim\], got \(None, 4, 2\)"):
        Proxies(3).build((None, 4, 2))


def generalized_mean_by_hand(positions, p, epsilon=1e-6):
    total = 0.0
    for x in positions:
        total += max(x, epsilon) ** p
    return (total / len(positions)) ** (1 / p)


@pytest.mark.parametrize("p", [1.0, 2.5, 3.0])
@pytest.mark.parametrize(
    ("layer", "shape"), [(GeneralizedMeanPooling2D, (2, 3, 4, 5)), (GeneralizedMeanPooling1D, (2, 6, 5))]
)
def test_generalized_mean_pooling_is_its_formula(layer, shape, p):
    x = np.random.default_rng(0).normal(0.5, 1, shape).astype("float32")  # negative ones too
    outputs = values(layer(p)(x))
    flat = x.reshape(2, -1, 5).astype("float64")
    for i in range(2):
        for channel in range(5):
            expected = generalized_mean_by_hand(flat[i, :, channel], p)
            assert outputs[i, channel] == pytest.approx(expected, rel=1e-5)
    first = layer(p, data_format="channels_first")(np.moveaxis(x, -1, 1))
    np.testing.assert_allclose(values(first), outputs, rtol=1e-6)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_generalized_mean_pooling_has_the_shapes_of_average_pooling(data_format, keepdims):
    options = {"data_format": data_format, "keepdims": keepdims}
    for rank, ours, keras_ones in (
        (4, GeneralizedMeanPooling2D, keras.layers.GlobalAveragePooling2D),
        (3, GeneralizedMeanPooling1D, keras.layers.GlobalAveragePooling1D),
    ):
        shape = (2, 3, 4, 5)[:rank]
        x = np.random.default_rng(0).uniform(0, 9, shape).astype("float32")
        expected = keras_ones(**options)
        assert ours(**options).compute_output_shape(shape) == expected.compute_output_shape(shape)
        # p = 1 is the average.
        np.testing.assert_allclose(values(ours(1, **options)(x)), values(expected(x)), rtol=1e-5)


def test_a_large_p_comes_near_the_maximum_whatever_the_scale():
    x = np.random.default_rng(0).uniform(0.1, 1, (2, 4, 4, 3)).astype("float32")
    for scale in (1e-3, 1.0, 1e4):
        pooled = values(GeneralizedMeanPooling2D(1000.0)(scale * x))
        np.testing.assert_allclose(pooled, scale * x.max(axis=(1, 2)), rtol=0.01)


def test_gradients_of_pooling_equal_finite_differences():
    x = np.random.default_rng(0).uniform(0.1, 2, (1, 2, 3, 2))
    layer = GeneralizedMeanPooling2D(3.0)
    got = gradient(layer, x)
    for place in [(0, 0, 0, 0), (0, 1, 2, 1)]:
        channel = x[..., place[-1]]
        step = np.zeros_like(channel)
        step[place[:-1]] = 1e-6
        ahead = generalized_mean_by_hand((channel + step).ravel(), 3.0)
        behind = generalized_mean_by_hand((channel - step).ravel(), 3.0)
        assert got[place] == pytest.approx((ahead - behind) / 2e-6, rel=1e-4)


def test_the_gradient_of_p_equals_finite_differences():
    x = np.random.default_rng(0).uniform(0.1, 2, (1, 2, 3, 2)).astype("float32")
    layer = GeneralizedMeanPooling2D(2.0)
    layer.build(x.shape)

    def pooled(p):
        return layer.stateless_call([p], [], x)[0]

    flat = x.reshape(-1, 2).astype("float64")
    ahead, behind = (sum(generalized_mean_by_hand(flat[:, c], p) for c in (0, 1)) for p in (2.001, 1.999))
    assert gradient(pooled, 2.0) == pytest.approx((ahead - behind) / 0.002, rel=1e-4)


def test_pooling_nothing_but_zeros_gives_epsilon_and_finite_gradients():
    zeros = np.zeros((1, 2, 2, 3), "float32")
    layer = GeneralizedMeanPooling2D(3.0, epsilon=1e-4)
    np.testing.assert_allclose(values(layer(zeros)), 1e-4, rtol=1e-4)
    assert not gradient(layer, zeros).any()
    assert np.isfinite(gradient(lambda p: layer.stateless_call([p], [], zeros)[0], 3.0))
    one = zeros.copy()
    one[0, 1, 0, 2] = 2.0
    assert np.isfinite(gradient(layer, one)).all()
    assert gradient(layer, one)[0, 1, 0, 2] > 0.1


def test_pooling_keeps_nan():
    x = np.ones((1, 2, 2, 2), "float32")
    x[0, 1, 1, 0] = np.nan
    pooled = values(GeneralizedMeanPooling2D()(x))
    assert np.isnan(pooled[0, 0])
    assert pooled[0, 1] == pytest.approx(1.0)


def test_p_is_trained_kept_at_1_or_above_and_saved(tmp_path):
    inputs = keras.Input((2, 2, 3))
    model = keras.Model(inputs, GeneralizedMeanPooling2D(1.5, epsilon=1e-3, keepdims=True)(inputs))
    x = np.random.default_rng(0).uniform(0, 2, (8, 2, 2, 3)).astype("float32")
    least, most = x.min(axis=(1, 2), keepdims=True), x.max(axis=(1, 2), keepdims=True)
    model.compile(keras.optimizers.SGD(0.2), "mse")
    model.fit(x, most, epochs=3, verbose=0)
    p = float(values(model.layers[-1].p))
    assert p > 1.6
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    config = copy.layers[-1].get_config()
    assert (config["p"], config["epsilon"], config["keepdims"]) == (1.5, 1e-3, True)
    copy.compile(keras.optimizers.SGD(50.0), "mse")
    copy.fit(x, least, epochs=2, verbose=0)
    assert float(values(copy.layers[-1].p)) == 1.0


def test_p_can_be_frozen():
    layer = GeneralizedMeanPooling1D(2.0, trainable=False)
    layer.build((None, 4, 3))
    assert layer.trainable_weights == []
    assert float(values(layer.p)) == 2.0


def test_bad_pooling_is_named():
    for p in (0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"p must be a number of at least 1, got {p}"):
            GeneralizedMeanPooling2D(p)
    with pytest.raises(ValueError, match="epsilon must be a number above 0, got 0"):
        GeneralizedMeanPooling1D(epsilon=0)
    with pytest.raises(
        ValueError, match="data_format must be one of channels_first, channels_last; got 'NHWC'"
    ):
        GeneralizedMeanPooling2D(data_format="NHWC")
    with pytest.raises(ValueError, match="expected ndim=4, found ndim=3"):
        GeneralizedMeanPooling2D()(np.zeros((2, 3, 4)))
