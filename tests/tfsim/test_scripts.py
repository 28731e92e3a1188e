"""Scripts that people wrote for TensorFlow Similarity run, but for the line that imports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simnb import data

SCRIPTS = Path(__file__).parent / "scripts"


@pytest.mark.parametrize("name", [pytest.param("digits"), pytest.param("cifar10")])
def test_the_tutorial_runs(name):
    if name != "digits" and data.default_name() != name:
        pytest.skip("CIFAR-10 is not prepared on this machine, and there is no way to get it")
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error::DeprecationWarning:simnb"}
    done = subprocess.run(
        [sys.executable, SCRIPTS / "tutorial.py", name, "10"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "binary_accuracy" in done.stdout
    assert done.stdout.strip().endswith("200 indexed")
