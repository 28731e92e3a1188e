import subprocess
import sys


def test_metrics_load_scikit_learn_and_pandas_only_when_they_are_used():
    code = "import sys; from simnb import metrics; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "simnb.metrics" in loaded.stdout.split()
    assert not {"sklearn", "pandas", "matplotlib", "tensorflow", "keras"} & set(loaded.stdout.split())
