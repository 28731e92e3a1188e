import math

import keras
import numpy as np
import pytest

from simnb.models import fast_resnet, fastest_precision
from simnb.models.fast import cpu_flags, precision_policy, whitening_kernel

SMALL = {"input_shape": (12, 10, 3), "embedding_size": 5, "widths": (4, 6)}


def images(count=40, seed=0):
    """Smooth images: neighboring pixels are alike, as in photographs."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 6, 5, 3))
    return np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2).astype(np.uint8)


def test_it_gives_unit_vectors_and_stays_below_a_million_and_a_half_parameters():
    assert fast_resnet().count_params() < 1_500_000
    vectors = keras.ops.convert_to_numpy(fast_resnet(**SMALL)(images(3)))
    assert vectors.shape == (3, 5)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_same_seed_gives_the_same_weights():
    one, same, other = (fast_resnet(**SMALL, seed=seed).get_weights() for seed in (3, 3, 4))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    kernels = [(a, b) for a, b in zip(one, other, strict=True) if a.ndim > 1]
    assert len(kernels) == 6
    assert not any(np.allclose(a, b) for a, b in kernels)


def test_a_residual_stage_adds_its_first_convolution_to_its_last():
    model = fast_resnet(**SMALL, depth=3, residual=True)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 1 + 2 * 3
    add = next(layer for layer in model.layers if isinstance(layer, keras.layers.Add))
    first, last = add.input
    parts = keras.Model(model.input, [first, last, add.output])
    outputs = [keras.ops.convert_to_numpy(part) for part in parts(images(3))]
    assert (outputs[0] != outputs[1]).any()
    np.testing.assert_allclose(outputs[0] + outputs[1], outputs[2], atol=1e-5)
    for layers_after in (fast_resnet(**SMALL, depth=3), fast_resnet(**SMALL, depth=1, residual=True)):
        assert not any(isinstance(layer, keras.layers.Add) for layer in layers_after.layers)


@pytest.mark.parametrize(("pooling", "pool"), [("max", np.max), ("average", np.mean)])
def test_the_end_pools_each_channel(pooling, pool):
    model = fast_resnet(**SMALL, pooling=pooling)
    before = next(layer for layer in model.layers if "global" in layer.name).input
    parts = keras.Model(model.input, [before, model.get_layer("embedding").input])
    channels, pooled = (keras.ops.convert_to_numpy(part) for part in parts(images(3)))
    np.testing.assert_allclose(pooled, pool(channels, axis=(1, 2)), rtol=1e-5)


def test_convolutions_may_begin_as_the_identity():
    first, second = [
        layer
        for layer in fast_resnet(**SMALL, identity=True).layers
        if "conv2d" in layer.name and layer.padding == "same"
    ][:2]
    picture = np.random.default_rng(0).normal(size=(1, 6, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(second(picture)), picture)
    wide = np.random.default_rng(1).normal(size=(1, 6, 5, 24)).astype(np.float32)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(first(wide)), wide[..., :4])


def test_gelu_is_not_cut_off_at_zero_and_survives_saving(tmp_path):
    model = fast_resnet(**SMALL, activation="gelu")
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    assert len(layers) == 1 + 2 * 2
    assert not any(isinstance(layer, keras.layers.ReLU) for layer in model.layers)
    values = np.linspace(-3, 3, 13).astype(np.float32)
    exact = values * (1 + np.vectorize(math.erf)(values / math.sqrt(2))) / 2
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layers[0](values)), exact, atol=2e-3)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    one, other = (keras.ops.convert_to_numpy(network(images(3))) for network in (copy, model))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_whitened_patches_are_uncorrelated_and_frozen():
    pictures = images(500).astype(np.float32) / 64 - 2
    kernel = whitening_kernel(pictures, 2)
    patches = np.lib.stride_tricks.sliding_window_view(pictures, (2, 2), axis=(1, 2))
    outputs = np.einsum("nhwcij,ijcf->nhwf", patches, kernel).reshape(-1, 12)
    moments = outputs.T @ outputs / len(outputs)
    np.testing.assert_allclose(moments - np.diag(np.diag(moments)), 0, atol=1e-2)
    assert np.diag(moments).max() <= 1.001
    model = fast_resnet(**SMALL, whiten=images(500))
    layer = model.get_layer("patches")
    np.testing.assert_allclose(layer.get_weights()[0], np.concatenate([kernel, -kernel], -1), atol=1e-3)
    assert not layer.trainable_variables
    assert fast_resnet(**SMALL).get_layer("patches").trainable_variables


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((0, 4, 4, 3), 2, "images must hold at least one example"),
        ((5, 4, 3, 3), 4, "size must be at most the 3 pixels of an image, got 4"),
        ((5, 4, 4), 2, "images must have shape"),
        ((5, 4, 4, 3), 0, "size must be an integer of at least 1"),
    ],
)
def test_patches_that_no_image_has_are_refused(shape, size, message):
    with pytest.raises(ValueError, match=message):
        whitening_kernel(np.ones(shape), size)


def test_mixed_precision_gives_nearly_the_same_float32_embedding():
    full = fast_resnet(**SMALL, precision="float32")
    mixed = fast_resnet(**SMALL, precision="mixed_bfloat16")
    a, b = (keras.ops.convert_to_numpy(model(images(4))) for model in (full, mixed))
    assert b.dtype == np.float32
    np.testing.assert_allclose(a, b, atol=0.1)
    assert not np.array_equal(a, b)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX computes in float32 on every CPU")
@pytest.mark.parametrize("flags", ["avx2 avx512_bf16", "avx512f amx_bf16 amx_tile"])
def test_a_cpu_that_multiplies_in_bfloat16_trains_in_it(flags, monkeypatch):
    assert fastest_precision(flags=flags.split()) == "mixed_bfloat16"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    expected = "float32" if keras.backend.backend() == "tensorflow" else "mixed_bfloat16"
    assert fastest_precision(flags=flags.split()) == expected


@pytest.mark.parametrize("flags", ["", "avx2 avx512f avx512_vnni", "avx_ne_convert avx_vnni", "bf16"])
def test_other_cpus_train_in_float32(flags):
    assert fastest_precision(flags=flags.split()) == "float32"


def test_what_the_cpu_can_do_is_read_where_linux_says_it(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert cpu_flags(cpuinfo) == {"fpu", "avx2", "amx_bf16"}
    assert cpu_flags(tmp_path / "none") == set()
    (tmp_path / "empty").write_text("")
    assert cpu_flags(tmp_path / "empty") == set()
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n")
    assert cpu_flags(tmp_path / "arm") == set()


def test_the_precision_is_the_same_however_busy_the_machine_is(monkeypatch):
    ticks = iter(range(0, 10**9, 977))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks) ** 1.7)
    assert {fastest_precision() for _ in range(50)} <= {"float32", "mixed_bfloat16"}
    assert len({fastest_precision() for _ in range(50)}) == 1
    assert precision_policy("auto").name == fastest_precision()


def test_it_is_saved_and_loaded_with_its_frozen_layer(tmp_path):
    model = fast_resnet(**SMALL, whiten=images())
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    one, other = (keras.ops.convert_to_numpy(network(images(3))) for network in (copy, model))
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert not copy.get_layer("patches").trainable


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"at least 9 pixels a side for 3 stages, got \(8, 32, 3\)"):
        fast_resnet((8, 32, 3))
    with pytest.raises(ValueError, match="each of widths must be an integer of at least 1, got 0"):
        fast_resnet(widths=(8, 0))
    with pytest.raises(ValueError, match="depth must be an integer of at least 1, got 0"):
        fast_resnet(depth=0)
    with pytest.raises(ValueError, match="residual must be True or False, got 'yes'"):
        fast_resnet(residual="yes")
    with pytest.raises(ValueError, match="identity must be True or False, got 1"):
        fast_resnet(identity=1)
    with pytest.raises(ValueError, match="activation must be one of gelu, relu; got 'swish'"):
        fast_resnet(activation="swish")
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        fast_resnet(seed=-1)
    with pytest.raises(ValueError, match=r"precision must be 'auto', 'float32', .* got 'half'"):
        fast_resnet(**SMALL, precision="half")
    with pytest.raises(
        ValueError, match=r"whiten must hold images of shape \(12, 10, 3\), got \(12, 12, 3\)"
    ):
        fast_resnet(**SMALL, whiten=np.zeros((2, 12, 12, 3)))
    with pytest.raises(ValueError, match="whiten must hold at least one example, got none"):
        fast_resnet(**SMALL, whiten=np.zeros((0, 12, 10, 3)))
