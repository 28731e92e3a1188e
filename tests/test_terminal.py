import os
import subprocess
import sys

from simnb._terminal import progress_bar

NOISY = """
import os
from simnb._terminal import quiet_stderr
with quiet_stderr():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called\\n")
    os.write(2, b"I0000 00:00:1795.1 22 port.cc:153] oneDNN custom operations are on.\\n")
    os.write(2, b"somebody else's line\\n")
    {end}
os.write(2, b"afterwards\\n")
"""


def stderr_of(code, **environment):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}).stderr


def test_only_tensorflows_log_is_left_out():
    assert stderr_of(NOISY.format(end="")) == "somebody else's line\nafterwards\n"


def test_everything_is_shown_where_something_goes_wrong():
    shown = stderr_of(NOISY.format(end="raise RuntimeError('broken')"))
    assert "oneDNN custom operations" in shown
    assert "somebody else's line" in shown
    assert "RuntimeError: broken" in shown


def test_nothing_is_needed_of_a_closed_stderr():
    code = "import os, simnb._terminal as t; os.close(2)\nwith t.quiet_stderr(): print('inside')"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, "inside\n")


def test_a_bar_is_off_where_nobody_wants_it(monkeypatch):
    assert progress_bar(range(3), shown=False).disable
    assert not progress_bar(range(3)).disable
    code = "from simnb._terminal import progress_bar; print(progress_bar(range(3)).disable)"
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert done.stdout == "True\n"
