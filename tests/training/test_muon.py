import keras
import numpy as np
import pytest

from simnb.training import Muon


def kernels(seed=0):
    """A convolution kernel, a bias, a dense kernel and proxies, as variables with gradients."""
    rng = np.random.default_rng(seed)
    shapes = {"conv/kernel": (3, 3, 4, 8), "conv/bias": (8,), "dense/kernel": (8, 5), "proxies/p": (6, 5)}
    variables = [
        keras.Variable(rng.normal(size=shape).astype("float32"), name=name.replace("/", "_"))
        for name, shape in shapes.items()
    ]
    gradients = [keras.ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32")) for v in variables]
    return variables, gradients


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def orthogonal(kernel):
    return Muon().zeropower_via_newtonschulz5(keras.ops.convert_to_tensor(kernel), 5)


@pytest.mark.parametrize("shape", [(36, 8), (5, 20), (7, 7)])
def test_an_orthogonalized_matrix_has_the_same_singular_vectors_and_values_near_one(shape):
    matrix = np.random.default_rng(1).normal(size=shape).astype("float32")
    result = values(orthogonal(keras.ops.convert_to_tensor(matrix)))
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    singular = left.T @ result @ right.T
    assert (np.diag(singular) > 0.4).all()
    assert (np.diag(singular) < 1.3).all()
    np.testing.assert_allclose(singular, np.diag(np.diag(singular)), atol=1e-3)


def test_a_matrix_of_zeros_stays_one():
    assert not values(orthogonal(keras.ops.zeros((4, 3)))).any()


def test_a_convolution_kernel_is_one_matrix():
    kernel = np.random.default_rng(2).normal(size=(3, 3, 4, 8)).astype("float32")
    as_matrix = values(orthogonal(keras.ops.reshape(kernel, (36, 8))))
    np.testing.assert_array_equal(values(orthogonal(kernel)).reshape(36, 8), as_matrix)


def by_hand(variables, gradients, steps, rate, momentum, decay, ratio):
    """The same updates in NumPy, in float64, gradients being the same in each step."""
    result = []
    for variable, gradient in zip(variables, gradients, strict=True):
        w, g = values(variable).astype("float64"), values(gradient).astype("float64")
        m, s = np.zeros_like(w), np.zeros_like(w)
        for t in range(1, steps + 1):
            if w.ndim < 2 or "proxies" in variable.path:
                m, s = 0.9 * m + 0.1 * g, 0.99 * s + 0.01 * g * g
                w = w - ratio * rate * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.99**t)) + 1e-8)
                continue
            w = w - w * decay * rate
            m = momentum * m + g
            x = (g + momentum * m).reshape(-1, w.shape[-1])
            x = x / np.linalg.norm(x)
            for _ in range(5):
                x = 3.4445 * x + (-4.7750 * (x @ x.T) + 2.0315 * (x @ x.T) @ (x @ x.T)) @ x
            w = w - rate * x.reshape(w.shape)
        result.append(w)
    return result


@pytest.mark.parametrize("decay", [None, 0.1])
def test_three_steps_equal_the_formulas(decay):
    variables, gradients = kernels()
    expected = by_hand(variables, gradients, 3, 0.1, 0.7, decay or 0.0, 0.05)
    optimizer = Muon(0.1, momentum=0.7, weight_decay=decay, adam_ratio=0.05)
    for _ in range(3):
        optimizer.apply(gradients, variables)
    for variable, wanted in zip(variables, expected, strict=True):
        np.testing.assert_allclose(values(variable), wanted, atol=2e-4)


def test_held_norms_are_those_of_orthonormal_columns_and_turn_a_kernel_alike_however_large_it_was():
    results = []
    for size in (1.0, 50.0):
        variables, gradients = kernels()
        conv, bias, dense, _ = variables
        for kernel in (conv, dense):
            kernel.assign(size * kernel.value)
        Muon(0.1, hold_norms=True).apply(gradients, variables)
        results.append([values(variable) for variable in (conv, dense, bias)])
    for small, large in zip(*results, strict=True):
        np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-6)
    before, update = values(kernels()[0][0]), values(orthogonal(kernels()[1][0]))
    np.testing.assert_allclose(
        results[0][0], before * np.sqrt(8) / np.linalg.norm(before) - 0.1 * update, rtol=1e-4, atol=1e-5
    )


def test_keras_calls_what_ours_replaces_and_nothing_is_updated_without_it(monkeypatch):
    # These methods are not documented: another version of Keras may name or call them otherwise.
    called = []
    for name in ("_should_use_adamw", "_adamw_update_step", "zeropower_via_newtonschulz5"):
        assert callable(getattr(keras.optimizers.Muon, name))
        ours = getattr(Muon, name)
        monkeypatch.setattr(
            Muon, name, lambda *args, name=name, ours=ours: called.append(name) or ours(*args)
        )
    variables, gradients = kernels()
    Muon(0.1, weight_decay=0.1).apply(gradients, variables)
    assert called.count("_adamw_update_step") == 2
    assert called.count("zeropower_via_newtonschulz5") == 2
    assert called.count("_should_use_adamw") >= 4


def test_the_state_has_the_order_of_the_files_written_before():
    variables, gradients = kernels()
    optimizer = Muon(0.1)
    optimizer.apply(gradients, variables)
    bias, proxies = variables[1], variables[3]
    shapes = [tuple(v.shape) for v in optimizer.variables]
    assert shapes == [(), (), *(tuple(v.shape) for v in variables), tuple(bias.shape), tuple(proxies.shape)]


def test_variables_of_16_bits_are_trained_too():
    variables, gradients = kernels()
    half = [keras.Variable(v, dtype="bfloat16", name=v.name) for v in variables]
    Muon(1.0, adam_ratio=0.5).apply([keras.ops.cast(g, "bfloat16") for g in gradients], half)
    for before, after in zip(variables, half, strict=True):
        assert keras.backend.standardize_dtype(after.dtype) == "bfloat16"
        assert not np.allclose(values(before), values(keras.ops.cast(after, "float32")), atol=5e-2)


def test_it_survives_serialization():
    optimizer = Muon(0.3, momentum=0.5, adam_layers=("proxies", "head"), weight_decay=0.01, hold_norms=True)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is Muon
    assert copy.get_config() == optimizer.get_config()
    first, gradients = kernels()
    second, _ = kernels()
    optimizer.apply(gradients, first)
    copy.apply(gradients, second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(values(a), values(b))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="momentum must be a number of at least 0 and below 1, got 1"):
        Muon(momentum=1)
    with pytest.raises(ValueError, match="adam_ratio must be a number above 0, got 0"):
        Muon(adam_ratio=0)
    with pytest.raises(
        ValueError, match="iterations_of_newton_schulz must be an integer of at least 1, got 0"
    ):
        Muon(iterations_of_newton_schulz=0)
    with pytest.raises(ValueError, match="hold_norms must be True or False, got 'no'"):
        Muon(hold_norms="no")


@pytest.mark.parametrize("option", [{"nesterov": False}, {"exclude_layers": ["dense"]}, {"muon_a": 1.0}])
def test_options_of_kerass_muon_that_a_configuration_would_lose_are_refused(option):
    with pytest.raises(TypeError, match=f"multiple values for keyword argument '{next(iter(option))}'"):
        Muon(**option)
