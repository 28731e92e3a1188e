"""Which precision a model computes in, chosen by what the processor can do."""

import functools
import os
import platform
from pathlib import Path

from simnb._keras import keras

PRECISIONS = ("float32", "mixed_bfloat16")
#: Instructions that multiply matrices of bfloat16, as Linux names them. oneDNN, through which TensorFlow and
#: PyTorch compute on x86, trains faster with these; without them it only emulates bfloat16.
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})


def fastest_precision(*, flags=None):
    """The faster of float32 and mixed bfloat16 for training convolutions on this machine.

    The choice depends on what the processor says it can do, not on a timing, so it is always the same on one
    machine. NVIDIA GPUs of compute capability 8.0 and above and TPUs gain from bfloat16. So do x86 CPUs with
    AVX512-BF16 or AMX, under Linux, with TensorFlow or PyTorch; other CPUs emulate it and are several times
    slower. What is not known to gain gets float32.

    Args:
        flags: Names of what the CPU can do, as in ``/proc/cpuinfo``; those of this machine when left out.

    Returns:
        ``"mixed_bfloat16"`` or ``"float32"``.
    """
    accelerated = _accelerator_gains()
    if accelerated is None:
        accelerated = _cpu_gains(cpu_flags() if flags is None else frozenset(flags))
    return "mixed_bfloat16" if accelerated else "float32"


@functools.cache
def cpu_flags(cpuinfo="/proc/cpuinfo"):
    """Names of what an x86 CPU can do, as Linux lists it; none on other systems and CPUs.

    Of ARM CPUs, Apple's among them, it is not known that training gains, even where they have bfloat16.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    try:
        text = Path(cpuinfo).read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux; no x86 Mac can do it
        return frozenset()
    found = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(found.partition(":")[2].split())


def precision_policy(precision):
    """The Keras dtype policy of a name, of ``"auto"``, or, for None, the one that Keras is set to.

    Raises:
        ValueError: If there is no such policy.
    """
    if precision is None:
        return keras.config.dtype_policy()
    try:
        return keras.dtype_policies.get(fastest_precision() if precision == "auto" else precision)
    except (TypeError, ValueError):
        raise ValueError(
            f"precision must be 'auto', 'float32', 'mixed_bfloat16' or another Keras dtype policy, "
            f"got {precision!r}"
        ) from None


def _cpu_gains(flags):
    backend = keras.backend.backend()
    without_onednn = backend == "tensorflow" and os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") in (
        "0",
        "false",
    )
    # XLA, through which JAX computes, turns bfloat16 into float32 on CPUs.
    return backend in ("tensorflow", "torch") and not without_onednn and not BFLOAT16.isdisjoint(flags)


def _accelerator_gains():
    """Whether the GPU or TPU in use gains from bfloat16; None where it is the CPU."""
    return {"tensorflow": _by_tensorflow, "jax": _by_jax, "torch": _by_torch}.get(
        keras.backend.backend(), lambda: None
    )()


def _by_tensorflow():
    import tensorflow as tf

    if tf.config.get_visible_devices("TPU"):
        return True
    gpus = tf.config.get_visible_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
    return all(c is not None and c >= (8, 0) for c in capabilities) if gpus else None


def _by_jax():
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    major = str(getattr(device, "compute_capability", "")).partition(".")[0]
    return device.platform == "tpu" or (major.isdigit() and int(major) >= 8)


def _by_torch():
    import torch

    return torch.cuda.get_device_capability() >= (8, 0) if torch.cuda.is_available() else None
