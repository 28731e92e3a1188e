"""What `pytest --nbval notebooks/` needs beside nbval itself."""

import os

# The text of a notebook is no module: looking into it for tests would run it.
collect_ignore_glob = ["*.py"]

# The kernels inherit it: the committed outputs hold no progress bar.
os.environ["TQDM_DISABLE"] = "1"


def pytest_collectstart(collector):
    """Do not compare what cells write to stderr: warnings name temporary files there."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
