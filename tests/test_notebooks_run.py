"""The command that executes notebooks without a browser."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

RUN = Path(__file__).parents[1] / "notebooks" / "run.py"

TEXT = """# %% [markdown]
# # Title
#
# ## 1. First

# %%
import sys

for i in range(3):
    print("step", i, end="\\r" if i < 2 else "\\n")

# %% [markdown]
# ## 2. Second

# %% tags=["nbval-ignore-output", "summary"]
import time

from simnb._terminal import progress_bar

for _ in progress_bar(range(3), delay=0):
    time.sleep(0.1)
print("the result is", 6 * 7)
{last}
"""


@pytest.fixture
def notebook(tmp_path):
    (tmp_path / "py").mkdir()
    return tmp_path / "small.ipynb"


def run(notebook, *options, last=""):
    (notebook.parent / "py" / "small.py").write_text(TEXT.format(last=last))
    command = [sys.executable, str(RUN), str(notebook), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_prints_stages_and_writes_a_clean_notebook_that_is_the_same_every_time(notebook, tmp_path):
    figure = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()"
    done = run(notebook, last=figure)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    first, second = (
        next(i for i, line in enumerate(lines) if line.endswith(n)) for n in ("1. First", "2. Second")
    )
    assert first < second < lines.index("          the result is 42") < lines.index("Summary")
    assert lines[lines.index("Summary") + 1] == "the result is 42"
    written = nbformat.read(notebook, 4)
    assert [cell.get("execution_count") for cell in written.cells] == [None, 1, None, 2]
    assert written.cells[1].outputs[0].text == "step 2\n"
    assert written.cells[3].metadata == {"tags": ["nbval-ignore-output", "summary"]}
    assert "image/png" in written.cells[3].outputs[-1].data
    before = notebook.read_bytes()
    notebook.write_text("committed")
    done = run(notebook, "--to", tmp_path / "built", last=figure)
    assert done.returncode == 0, done.stderr
    assert notebook.read_text() == "committed"
    assert (tmp_path / "built" / "small.ipynb").read_bytes() == before
    assert "the result is 42" in (tmp_path / "built" / "small.html").read_text()
    assert done.stdout.count(str(tmp_path / "built" / "small.")) == 2


def test_a_notebook_that_fails_is_not_written(notebook):
    notebook.write_text("what there was")
    done = run(notebook, last="assert False, 'this claim is wrong'")
    assert done.returncode == 1
    assert "nothing was written" in done.stderr
    assert "this claim is wrong" in done.stderr
    assert notebook.read_text() == "what there was"
    assert [p.name for p in notebook.parent.iterdir() if p.suffix == ".part"] == []


def test_a_kernel_that_dies_ends_in_a_sentence(notebook):
    notebook.write_text("what there was")
    done = run(notebook, last="import os; os._exit(9)")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("died, perhaps for want of memory; nothing was written.")
    assert "Traceback" not in done.stderr
    assert notebook.read_text() == "what there was"


@pytest.fixture
def runner():
    """The module, for what needs no kernel."""
    spec = importlib.util.spec_from_file_location("run", RUN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_folder_that_cannot_be_written_to_is_known_before_anything_runs(runner, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(runner, "execute", lambda path: pytest.fail("it ran"))
    monkeypatch.setattr(sys, "argv", ["run.py", "small.ipynb", "--to", str(tmp_path / "file")])
    with pytest.raises(SystemExit, match=r"nothing can be written into .*file: File exists"):
        runner.main()


def test_the_text_of_solutions_lies_in_a_folder_of_its_own(runner):
    notebooks = Path("notebooks")
    assert runner.text_of(notebooks / "00_a.ipynb") == notebooks / "py" / "00_a.py"
    assert (
        runner.text_of(notebooks / "solutions" / "00_a.ipynb") == notebooks / "py" / "solutions" / "00_a.py"
    )


def test_a_notebook_without_headings_is_reported_too(runner, capsys):
    client = runner.LiveClient(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]))
    client.stages_begin()
    client.enter_stage(0)
    client.report()
    assert [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines() if line][1:] == [
        "together",
        "MB, the most memory the kernel held",
    ]


def test_what_is_said_of_a_figure_is_its_alternative_text(runner):
    def cell(*data):
        return nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", d) for d in data])

    said = {"text/markdown": "It is **right** for `9` of [10](ten.html)."}
    cells = [
        cell({"image/png": "a"}),
        nbformat.v4.new_markdown_cell("so"),
        cell(said),
        cell({"image/png": "b"}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[*cells, cell({"text/plain": "3"})])
    runner.describe(notebook)
    assert cells[0].outputs[0].metadata == {"image/png": {"alt": "It is right for 9 of 10."}}
    assert cells[3].outputs[0].metadata == {}


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows sends no signal to a group of processes")
def test_an_interrupted_run_writes_nothing_and_leaves_no_kernel_behind(notebook):
    notebook.write_text("what there was")
    (notebook.parent / "py" / "small.py").write_text(
        "# %%\nimport os, time\n\nprint('kernel', os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-u", str(RUN), str(notebook)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, **pipes) as running:
        kernel = next(int(line.split()[1]) for line in running.stdout if "kernel" in line)
        os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert errors.strip().endswith("was interrupted; nothing was written.")
    assert notebook.read_text() == "what there was"
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
