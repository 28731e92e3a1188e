"""The how-to pages: their Python runs, on little data and without a server."""

import ast
import contextlib
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simnb import data, models
from simnb.search import SimilaritySearch
from tests.test_readme import MEASUREMENTS

PAGES = sorted((Path(__file__).parents[1] / "notebooks" / "howto").glob("*.md"))
BY_NAME = {path.stem: path for path in PAGES}


def code_of(name, replacements=()):
    """The Python of a page, in which what it cannot have here is replaced."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", BY_NAME[name].read_text(), re.DOTALL))
    for asked, at_hand in dict(replacements).items():
        assert asked in code
        code = code.replace(asked, at_hand)
    return code


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """Names that pages take as given, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(300, 8))
    return {"embeddings": rows, "names": ["cat", "dog", "owl"] * 100, "queries": rows[:40] + 0.01}


def write_photos(folder):
    for seed, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(10):
            noise = np.random.default_rng([seed, i]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{i}.png")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_a_page_imports_is_there_and_takes_what_it_is_given(path):
    tree, modules = ast.parse(code_of(path.stem)), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                module = importlib.import_module(node.module)
                modules[name.asname or name.name] = getattr(module, name.name)
    assert modules
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), ast.unparse(node)


def test_a_folder_of_images_is_searched(tmp_path, monkeypatch, capsys):
    write_photos(tmp_path / "my_images")
    Image.open(tmp_path / "my_images" / "cat" / "0.png").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code_of("own_images"), {})
    assert "20 images of 2 classes" in capsys.readouterr().out
    assert (tmp_path / "my_images.html").stat().st_size > 1000


def test_an_engine_is_chosen_by_what_it_finds(embedded, capsys):
    pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
    exec(code_of("engine"), embedded)
    assert capsys.readouterr().out.count("Tuning(breadth=") >= 2


def test_rows_are_kept_in_milvus(tmp_path):
    pytest.importorskip("milvus_lite", reason='needs Milvus Lite: pip install "simnb[milvus]"')
    code = code_of("milvus", {'"http://host:19530"': '"gallery.db"'})
    given = "import numpy as np\nembeddings = np.random.default_rng(0).normal(size=(300, 8))\n"
    given += "names, queries = ['cat', 'dog', 'owl'] * 100, embeddings[:40] + 0.01\n"
    # In a process of its own: Milvus Lite goes on writing where pytest has closed what it captured.
    command = [sys.executable, "-c", f"{given}{code}\nindex.close()"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert done.stdout.startswith("[['cat' ")
    assert (tmp_path / "gallery.sqlite").exists()


def test_a_collection_is_embedded(tmp_path, monkeypatch, capsys):
    write_photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    exec(code_of("ray", {'"http://host:19530"': '"gallery.sqlite"', "workers=8": "workers=0"}), {})
    assert "embedded=20" in capsys.readouterr().out


def test_an_embedder_is_served(tmp_path, monkeypatch, capsys):
    for package in ("onnxruntime", "tf2onnx"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} is not installed: pip install "simnb[onnx]"')
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    names = ["cat", "dog", "owl", "fox"]
    search = SimilaritySearch(models.pretrained("cifar10"))
    search.add(data.from_arrays(images, names))
    search.calibrate(data.from_arrays(images // 2 + 40, names, ids=[4, 5, 6, 7]))
    search.save("my_search")
    exec(code_of("serve"), {"images": images})
    assert capsys.readouterr().out == "['cat' 'dog' 'owl' 'fox']\n"


def test_a_page_with_a_threshold_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(None):
        exec(code_of("page_to_send", {"data.default_name()": '"digits"'}), {})
    page = (tmp_path / "threshold.html").read_text(encoding="utf-8")
    assert page.count('"image ') == 150


def test_the_figures_of_the_engines_are_those_that_were_measured():
    rows = re.findall(r"^\| (.*) \| ([\d.]+) \|$", BY_NAME["engine"].read_text(), re.MULTILINE)
    assert len(rows) == 7
    measured = re.findall(r"^\| (.*?) \| ([\d.]+) \| .*\|$", MEASUREMENTS.read_text(), re.MULTILINE)
    for what, figure in rows:
        assert figure in [value for _, value in measured], (
            f"{what}: {figure} is in no table of {MEASUREMENTS}"
        )
