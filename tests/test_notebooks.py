"""The committed notebooks: paired with their text, executed, clean and small; nbval compares outputs."""

import ast
import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
SOLUTIONS = sorted(NOTEBOOKS.glob("solutions/*.ipynb"))
#: First lines of cells that are folded.
FOLDED = ("# Check", "# Set-up", "# Figure", "# Table", "# List", "# Quiz")
TAGS = {"nbval-ignore-output", "picture", "summary", "raises-exception"}

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
each_notebook_and_solution = pytest.mark.parametrize(
    "path", PATHS + SOLUTIONS, ids=lambda path: str(path.relative_to(NOTEBOOKS).with_suffix(""))
)


def text_of(path):
    return NOTEBOOKS / "py" / path.relative_to(NOTEBOOKS).with_suffix(".py")


def cells_of(path):
    return nbformat.read(path, 4).cells


def test_every_notebook_has_its_text_and_every_text_its_notebook():
    assert PATHS
    assert set(map(text_of, PATHS + SOLUTIONS)) == set((NOTEBOOKS / "py").rglob("*.py"))
    assert [p.name for p in SOLUTIONS] == [p.name for p in PATHS]


@each_notebook_and_solution
def test_a_notebook_and_its_text_say_the_same(path):
    def essence(cells):
        return [(c.cell_type, c.source, c.metadata.get("tags", []), c.metadata.get("jupyter")) for c in cells]

    text = jupytext.read(text_of(path))
    assert essence(cells_of(path)) == essence(text.cells), "run: make notebooks"


@each_notebook_and_solution
def test_a_notebook_ran_from_top_to_bottom(path):
    # nbval compares nothing in a cell without a stored execution count.
    counts = [c.execution_count for c in cells_of(path) if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook_and_solution
def test_outputs_hold_no_error_no_stderr_no_bar_and_no_path_of_a_machine(path):
    for cell in cells_of(path):
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            # A progress bar or another widget without a picture: dead for whoever reads the file.
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            text = json.dumps({k: v for k, v in output.get("data", {}).items() if k != "image/png"})
            assert not re.search(r"/(home|root|tmp|work|Users)/", text + str(output.get("text", "")))


@each_notebook_and_solution
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
    assert "data set   cifar10, " in summary, "commit outputs from CIFAR-10: make notebooks"
    assert len(figures) >= 6
    assert [figure for figure in figures if figure not in summary] == []
    seconds = int(re.search(r"cifar10, (\d+) s\b", summary)[1])
    stated = int(re.search(r"01_quickstart.ipynb\).* about (\d+) minutes with CIFAR-10", readme)[1])
    assert abs(seconds / 60 - stated) < 1  # on a shared machine it differs by tens of seconds


@each_notebook_and_solution
def test_a_notebook_is_small(path):
    assert path.stat().st_size < 1_000_000


@each_notebook_and_solution
def test_cells_are_short_and_use_public_names(path):
    for cell in cells_of(path):
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 20, cell.source
            if path.parent.name != "solutions" and not cell.metadata.get("jupyter", {}).get("source_hidden"):
                assert max(map(len, cell.source.splitlines())) <= 107, cell.source  # fits the page
            assert not re.search(r"\bsimnb\._|\._[a-z]|!pip|%pip|sys\.path", cell.source), cell.source


@each_notebook
def test_a_notebook_claims_and_checks(path):
    sources = [c.source for c in cells_of(path) if c.cell_type == "code"]
    assert sum(source.startswith("# Check") for source in sources) >= 3
    assert sum("assert " in source for source in sources) >= 3


@each_notebook_and_solution
def test_cells_that_a_reader_copies_need_nothing_of_a_folded_check(path):
    shown, folded = set(), set()
    for cell in (c for c in cells_of(path) if c.cell_type == "code"):
        used = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)]
        stored = {node.id for node in used if isinstance(node.ctx, ast.Store)}
        if cell.source.startswith(FOLDED):
            folded |= stored - shown
        else:
            needed = {node.id for node in used} - stored
            assert not needed & folded, cell.source
            shown, folded = shown | stored, folded - stored


@each_notebook
def test_a_notebook_leads_to_where_it_runs_and_to_the_ones_beside_it(path):
    place = PATHS.index(path)
    before, after = PATHS[max(place - 1, 0) : place], PATHS[place + 1 : place + 2]
    run_at = [
        f"[Open in Colab](https://colab.research.google.com/github/simnb/simnb/blob/HEAD/notebooks/{path.name})",
        f"[Open in Binder](https://mybinder.org/v2/gh/simnb/simnb/HEAD?urlpath=lab/tree/notebooks/{path.name})",
    ]
    beside = [f"[\N{LEFTWARDS ARROW} {p.stem[:2]}]({p.name})" for p in before]
    beside += [f"[{p.stem[:2]} \N{RIGHTWARDS ARROW}]({p.name})" for p in after]
    links = [*run_at, *beside, "[Glossary](GLOSSARY.md)"]
    assert cells_of(path)[0].source.splitlines()[2] == " \N{MIDDLE DOT} ".join(links)


def test_the_set_up_of_every_notebook_is_the_same_and_installs_only_where_simnb_is_missing(monkeypatch):
    (setup,) = {cells_of(path)[1].source for path in PATHS}
    asked = []
    shell = SimpleNamespace(run_line_magic=lambda *words: asked.append(words))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    exec(setup, {})
    assert asked == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(setup, {})
    tested = "https://raw.githubusercontent.com/simnb/simnb/HEAD/constraints.txt"
    assert asked == [("pip", f"install --quiet --constraint {tested} git+https://github.com/simnb/simnb")]


@each_notebook
def test_a_notebook_says_what_it_teaches(path):
    text = "\n".join(c.source for c in cells_of(path) if c.cell_type == "markdown")
    parts = ("**You will do**", "**You will learn**", "**You need**", "**Remember**", "## Exercises")
    for part in (*parts, "## What's next", "shut down the kernel"):
        assert text.count(part) == 1, part


@each_notebook
def test_a_lesson_is_read_in_the_minutes_it_says_and_in_25_at_most(path):
    # Readers took a minute for 213 words of prose, or for 12 lines of code that is not folded.
    cells, prose, lines = cells_of(path), [], 0
    for cell in cells:
        if cell.cell_type == "markdown":
            prose.append(re.sub(r"<details>.*?</details>", "", cell.source, flags=re.S))
        elif not cell.metadata.get("jupyter", {}).get("source_hidden"):
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
        prose += [output.get("data", {}).get("text/markdown", "") for output in cell.get("outputs", [])]
    words = " ".join(prose).split()
    minutes = len(words) / 213 + lines / 11.8
    (said,) = re.findall(r"and (\d+) to read", " ".join(words))
    assert minutes <= 25.5
    assert abs(minutes - int(said)) <= 3, f"{minutes:.1f} minutes"
    index = (NOTEBOOKS / "README.md").read_text().partition(f"({path.name})\n")[2]
    assert re.search(r"\*About (\d+) minutes to read", index)[1] == said


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_five_exercises_stand_in_the_text_with_a_hint_a_cell_to_write_in_and_a_folded_check(path):
    cells = cells_of(NOTEBOOKS / path.name)
    found = []
    for place, asked in enumerate(cells):
        number = re.search(r"^\*\*Exercise (\d): ", asked.source, re.M)
        if asked.cell_type == "markdown" and number:
            found.append(int(number[1]))
            assert "<summary>Hint</summary>" in asked.source
            assert re.fullmatch(r"\w+ = \.\.\.  # Your code.*", cells[place + 1].source)
            title = f"# Check: exercise {number[1]}\n"  # of a guess it may come later, once there is a result
            (check,) = (cell for cell in cells[place + 2 :] if cell.source.startswith(title))
            (printed,) = check.outputs
            assert printed.text == f"Exercise {number[1]} is open\n"
    assert found == [1, 2, 3, 4, 5]
    for cell in cells:
        folded = cell.metadata.get("jupyter") == {"source_hidden": True}
        assert folded == (cell.cell_type == "code" and cell.source.startswith(FOLDED))
    solved = re.findall(r"^## Exercise (\d): ", "\n".join(c.source for c in cells_of(path)), re.M)
    assert solved == list("12345")


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_every_self_check_passes_on_a_right_answer_and_says_what_is_wrong_with_others(path, capsys):
    lesson = importlib.import_module(f"tests.answers.lesson_{path.stem[:2]}")
    cells = [c.source for c in cells_of(NOTEBOOKS / path.name) if c.cell_type == "code"]
    names = dict(lesson.NAMES)
    functions = [
        node for source in cells for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
    ]
    exec(
        compile(ast.Module(functions, []), path.name, "exec"), names
    )  # those of the lesson, as it defines them
    checks = [source for source in cells if source.startswith("# Check: exercise")]
    for check, (name, right, wrong) in zip(checks, lesson.ANSWERS, strict=True):
        exec(check, names | {name: right})
        assert capsys.readouterr().out.startswith("\N{CHECK MARK} exercise")
        assert wrong
        for answer in wrong:
            with pytest.raises(AssertionError, match=r"\w+ \w+"):
                exec(check, names | {name: answer})


@each_notebook
def test_the_index_shows_a_notebook_with_its_title_and_its_picture(path):
    index = (NOTEBOOKS / "README.md").read_text()
    title = cells_of(path)[0].source.splitlines()[0].removeprefix("# ")
    assert f"## [{path.stem[:2]} \N{MIDDLE DOT} {title}]({path.name})" in index
    assert f"](pictures/{path.stem}.png)]({path.name})" in index
    assert (NOTEBOOKS / "pictures" / f"{path.stem}.png").exists()
    assert f"urlpath=lab/tree/notebooks/{path.name})" in index
