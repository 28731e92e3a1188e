import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simnb import _triton


def ending(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode


@pytest.mark.parametrize("first", ["from simnb import models", "import tensorflow; from simnb import models"])
def test_triton_and_what_of_pytorch_loads_it_can_be_imported_after_simnb(first):
    pytest.importorskip("triton", reason="PyTorch's builds for CUDA bring it, on Linux")
    assert ending(f"{first}; import triton") == 0


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    """The files and flags that are loaded, of a Triton that is none."""
    (tmp_path / "triton/_C").mkdir(parents=True)
    (tmp_path / "triton/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    calls = []
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode: calls.append((Path(path), mode)))
    return calls


def test_triton_is_loaded_plainly_before_tensorflow_and_bound_to_itself_after_it(
    loaded, monkeypatch, tmp_path
):
    _triton.load_apart()
    assert loaded == []  # without a library, as on Windows
    library = tmp_path / "triton/_C/libtriton.so"
    library.touch()
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    _triton.load_apart()
    monkeypatch.setitem(sys.modules, "tensorflow", _triton)
    _triton.load_apart()
    apart = getattr(os, "RTLD_DEEPBIND", 0)
    assert loaded == [(library, os.RTLD_NOW), (library, os.RTLD_NOW | apart)]


@pytest.mark.parametrize("module", ["", "triton.py"])
def test_without_triton_no_library_of_the_current_folder_is_loaded(loaded, monkeypatch, tmp_path, module):
    shutil.rmtree(tmp_path / "triton")
    (tmp_path / module).touch()
    (tmp_path / "_C").mkdir()
    (tmp_path / "_C/libtriton.so").touch()
    monkeypatch.chdir(tmp_path)
    others = [path for path in sys.path if not (Path(path) / "triton").is_dir()]
    monkeypatch.setattr(sys, "path", others)
    _triton.load_apart()
    assert loaded == []


def test_a_library_that_cannot_be_loaded_is_left_to_pytorch(tmp_path, monkeypatch):
    (tmp_path / "triton/_C").mkdir(parents=True)
    (tmp_path / "triton/__init__.py").touch()
    (tmp_path / "triton/_C/libtriton.so").write_text("no library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    _triton.load_apart()
    assert "triton" not in sys.modules
