"""Triton, which PyTorch's builds for CUDA bring, beside TensorFlow."""

import contextlib
import ctypes
import importlib.util
import os
import sys
from pathlib import Path

__all__ = ["load_apart"]


def load_apart() -> None:
    """Load the library of Triton, where it is installed, with an LLVM of its own; before TensorFlow's best.

    TensorFlow 2.20 and 2.21 show their LLVM to every library that is loaded after them. Triton 3.7 and later
    would run into it, so that ``import timm``, ``torchvision`` or an optimizer of PyTorch ended Python in a
    segmentation fault: https://github.com/tensorflow/tensorflow/issues/124205
    """
    spec = importlib.util.find_spec("triton")
    if spec is None or not spec.submodule_search_locations:  # none, or a module of that name
        return
    library = Path(spec.submodule_search_locations[0], "_C", "libtriton.so")
    if not library.is_file():
        return
    # Its own symbols before those of others: what TensorFlow has shown already cannot be hidden again.
    apart = getattr(os, "RTLD_DEEPBIND", 0) if "tensorflow" in sys.modules else 0
    with contextlib.suppress(OSError):  # PyTorch says it where it is needed
        ctypes.CDLL(str(library), mode=os.RTLD_NOW | apart)
