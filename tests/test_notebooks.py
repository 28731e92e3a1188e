"""The committed notebooks: paired with their text, executed, clean and small; nbval compares outputs."""

import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
TAGS = {"nbval-ignore-output", "picture", "summary", "raises-exception"}

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells_of(path):
    return nbformat.read(path, 4).cells


def test_every_notebook_has_its_text_and_every_text_its_notebook():
    assert PATHS
    assert {p.stem for p in PATHS} == {p.stem for p in (NOTEBOOKS / "py").glob("*.py")}


@each_notebook
def test_a_notebook_and_its_text_say_the_same(path):
    def essence(cells):
        return [(c.cell_type, c.source, c.metadata.get("tags", []), c.metadata.get("jupyter")) for c in cells]

    text = jupytext.read(NOTEBOOKS / "py" / f"{path.stem}.py")
    assert essence(cells_of(path)) == essence(text.cells), "run: make notebooks"


@each_notebook
def test_a_notebook_ran_from_top_to_bottom(path):
    # nbval compares nothing in a cell without a stored execution count.
    counts = [c.execution_count for c in cells_of(path) if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_outputs_hold_no_error_no_stderr_no_bar_and_no_path_of_a_machine(path):
    for cell in cells_of(path):
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            # A progress bar or another widget without a picture: dead for whoever reads the file.
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            text = json.dumps({k: v for k, v in output.get("data", {}).items() if k != "image/png"})
            assert not re.search(r"/(home|root|tmp|work|Users)/", text + str(output.get("text", "")))


@each_notebook
def test_metadata_is_what_the_runner_writes(path):
    notebook = nbformat.read(path, 4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags", "jupyter"}
        assert set(cell.metadata.get("tags", [])) <= TAGS


def test_the_figures_of_the_readme_are_those_of_the_committed_quickstart():
    readme = (NOTEBOOKS.parent / "README.md").read_text()
    figures = re.findall(r"`([A-Za-z@1 ]+ 0\.\d+)`", readme)
    (summary,) = [
        "".join(output.text for output in cell.outputs)
        for cell in cells_of(NOTEBOOKS / "01_quickstart.ipynb")
        if "summary" in cell.metadata.get("tags", [])
    ]
    assert "cifar10, quick schedule" in summary, "commit outputs from CIFAR-10: make notebooks"
    assert len(figures) >= 6
    assert [figure for figure in figures if figure not in summary] == []
    seconds = int(re.search(r"schedule, (\d+) s", summary)[1])
    stated = int(re.search(r"01_quickstart.ipynb\).* about (\d+) minutes with CIFAR-10", readme)[1])
    assert abs(seconds / 60 - stated) < 1  # on a shared machine it differs by tens of seconds


@each_notebook
def test_a_notebook_is_small(path):
    assert path.stat().st_size < 1_000_000


@each_notebook
def test_cells_are_short_and_use_public_names(path):
    for cell in cells_of(path):
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 20, cell.source
            assert not re.search(r"\bsimnb\._|\._[a-z]|!pip|%pip|sys\.path", cell.source), cell.source


@each_notebook
def test_a_notebook_claims_and_checks(path):
    sources = [c.source for c in cells_of(path) if c.cell_type == "code"]
    assert sum(source.startswith("# Check") for source in sources) >= 3
    assert sum("assert " in source for source in sources) >= 3


@each_notebook
def test_a_notebook_says_what_it_teaches_and_ends_in_exercises_with_folded_solutions(path):
    cells = cells_of(path)
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    parts = ("**You will do**", "**You will learn**", "**You need**", "**You have**", "## Exercises")
    for part in (*parts, "## What's next", "shut down the kernel"):
        assert text.count(part) == 1, part
    exercises = re.findall(r"^(\d)\. ", text.split("## Exercises")[1].split("## What's next")[0], re.M)
    solutions = [c for c in cells if c.cell_type == "code" and c.source.startswith("# Solution")]
    assert [re.match(r"# Solution (\d)", c.source)[1] for c in solutions] == exercises
    assert len(exercises) >= 2
    for cell in cells:
        folded = cell.metadata.get("jupyter") == {"source_hidden": True}
        assert folded or cell not in solutions
        assert not folded or cell in solutions or cell.source.startswith("# Check")


@each_notebook
def test_the_index_shows_a_notebook_with_its_title_and_its_picture(path):
    index = (NOTEBOOKS / "README.md").read_text()
    title = cells_of(path)[0].source.splitlines()[0].removeprefix("# ")
    assert f"## [{path.stem[:2]} \N{MIDDLE DOT} {title}]({path.name})" in index
    assert f"](pictures/{path.stem}.png)]({path.name})" in index
    assert (NOTEBOOKS / "pictures" / f"{path.stem}.png").exists()
    assert f"urlpath=lab/tree/notebooks/{path.name})" in index
