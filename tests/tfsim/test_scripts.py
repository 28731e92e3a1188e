"""Scripts that people wrote for TensorFlow Similarity run, but for the line that imports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simnb import data

SCRIPTS = Path(__file__).parent / "scripts"


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments],
        env={**os.environ, "MPLBACKEND": "Agg"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_the_tutorial_runs(name):
    if name != "digits" and data.default_name() != name:
        pytest.skip("CIFAR-10 is not prepared on this machine, and there is no way to get it")
    printed = run("tutorial.py", name, "10")
    assert "binary_accuracy" in printed
    assert printed.endswith("200 indexed")


def test_every_verb_runs():
    printed = run("every_verb.py", "digits")
    assert "dream: no distance gives f1 >= 1" in printed
    assert "recall@2_unknown_classes" in printed
