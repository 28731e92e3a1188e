"""More than one device gives what one device gives. The devices are in processes of their own."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from simnb import _replicas
from simnb.losses import TripletLoss

SCRIPT = Path(__file__).parent / "distribution"
SECONDS = 600  # where other work runs beside them; only what hangs takes as long
REDUCTIONS = ["sum_over_batch_size", "mean_with_sample_weight", "sum", "none"]
needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute belongs to the TensorFlow backend"
)
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="keras.distribution distributes on JAX alone"
)


def run(folder, command, *environments):
    """What the script prints, in one process an environment; the first that fails ends the others."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "no_proxy": "127.0.0.1"}
    processes = []
    try:
        for i, environment in enumerate(environments):
            everything = {**os.environ, **quiet, **environment, "PYTHONPATH": os.pathsep.join(sys.path)}
            with (folder / f"{i}.json").open("w") as output, (folder / f"{i}.log").open("w") as log:
                arguments = [sys.executable, str(SCRIPT), command]
                process = subprocess.Popen(arguments, env=everything, stdout=output, stderr=log)
                processes.append(process)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            codes = [process.poll() for process in processes]
            if any(codes) or None not in codes:
                break
            time.sleep(0.05)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    codes = [process.returncode for process in processes]
    logs = "".join(f"\n--- {i}\n{(folder / f'{i}.log').read_text()[-5000:]}" for i in range(len(codes)))
    assert not any(codes), f"exit status {codes}, -9 where it was ended, after {SECONDS} s at most{logs}"
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(len(codes))]


def assert_same(got, expected):
    """To 1e-5 of the largest."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    (results,) = run(tmp_path_factory.mktemp("mirrored"), "mirrored", {"KERAS_BACKEND": "tensorflow"})
    return results


@needs_tensorflow
@pytest.mark.parametrize("last", [0, 1, 2])
def test_fit_over_two_devices_gives_the_weights_of_one_however_the_last_batch_splits(mirrored, last):
    result = mirrored["pairs"][last]
    assert_same(*result["weights"])
    assert_same(*result["loss"])


@needs_tensorflow
@pytest.mark.parametrize("kind", ["proxies", "memory"])
def test_fit_over_two_devices_trains_proxies_and_fills_the_memory_as_one_device_does(mirrored, kind):
    (result,) = mirrored[kind]
    assert_same(*result["weights"])
    assert_same(*result["loss"])


@needs_tensorflow
def test_a_killed_training_over_two_devices_goes_on_to_the_weights_of_one(mirrored):
    assert_same(*mirrored["recipe"])


@needs_tensorflow
def test_every_device_remembers_the_whole_batches(mirrored):
    one, other, alone = mirrored["memory"][0]["memory"]
    assert one == other
    assert_same(one, alone)


@needs_tensorflow
def test_a_memory_made_outside_of_the_scope_is_refused(mirrored):
    assert "inside the scope of the strategy" in mirrored["refused"][0]


@needs_tensorflow
def test_a_first_batch_that_does_not_split_evenly_is_refused_before_keras_fails_on_it(mirrored):
    assert "split evenly over the 2 replicas" in mirrored["refused"][1]


@needs_tensorflow
@pytest.mark.parametrize("kind", ["pair reductions", "proxy reductions"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_uneven_replicas_add_up_to_the_gradient_of_the_whole_batch(mirrored, kind, reduction):
    result = mirrored[kind][reduction]
    assert_same(*result["gradients"])
    if reduction == "none":
        assert [len(values) for values in result["losses"]] == [5, 2]
        assert_same(np.concatenate(result["losses"]), result["loss"])
    else:
        assert_same(np.sum(result["losses"], axis=0), result["loss"])


@needs_tensorflow
def test_a_replica_without_examples_changes_nothing(mirrored):
    assert_same(*mirrored["one example"]["softmax"]["gradients"])


@needs_tensorflow
def test_without_gathering_the_gradient_is_another(mirrored):
    got, expected = np.array(mirrored["pair reductions"]["not gathered"]["gradients"])
    assert np.abs(got - expected).max() > 0.1 * np.abs(expected).max()


@needs_tensorflow
def test_a_plain_loop_over_two_workers_gives_the_weights_of_one_process(tmp_path):
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, other)]
    tasks = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in range(2)]
    environments = [{"KERAS_BACKEND": "tensorflow", "TF_CONFIG": json.dumps(task)} for task in tasks]
    for result in run(tmp_path, "worker", *environments):
        assert_same(*result["weights"])
        assert_same(*result["losses"])
        assert "strategy.run, not with fit" in result["refused"]


@needs_jax
def test_keras_distribution_on_jax_gives_the_weights_of_one_device(tmp_path):
    flags = "--xla_force_host_platform_device_count=2"
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    ((one, two),) = run(tmp_path, "sharded", environment)
    assert (one["devices"], two["devices"]) == (1, 2)
    assert_same(two["weights"], one["weights"])
    assert_same(two["loss"], one["loss"])


def test_on_one_device_nothing_is_gathered():
    rows = keras.ops.ones((3, 2))
    assert _replicas.gather(rows, None) == (rows, None)
    assert _replicas.share(rows, rows, reduction="sum") is rows


@needs_tensorflow
def test_keras_distribution_on_tensorflow_is_refused():
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0"]))
    try:
        with pytest.raises(ValueError, match=r"unset on the TensorFlow backend, .* got DataParallel"):
            TripletLoss()(np.array([0, 0, 1]), np.eye(3, dtype="float32"))
    finally:
        keras.distribution.set_distribution(None)
