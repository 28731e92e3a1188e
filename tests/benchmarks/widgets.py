"""The projector: what Python prepares, what is sent, and how it moves in a browser that draws in software."""

import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np

from simnb import data
from simnb.widgets import Projector
from tests.browser import chromium, jupyterlab

MOVES = 60


def points(count):
    """Embeddings of ten groups, and their labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, count)
    return (rng.normal(size=(10, 64))[labels] * 2 + rng.normal(size=(count, 64))).astype(np.float32), labels


def projector():
    """10,000 points with thumbnails and 60,000 without."""
    if data.default_name() != "cifar10":
        print("projector: not measured, since 10,000 images are not there")
        return {}
    images = data.load(split="test").images
    embeddings, labels = points(len(images))
    start = time.perf_counter()
    small = Projector(embeddings, labels, images=images)
    prepared = time.perf_counter() - start
    state = small.get_state()
    sent = sum(memoryview(v).nbytes for v in state.values() if isinstance(v, bytes | memoryview))
    sent += sum(map(len, state["_sheets"]))
    figures = {
        "projector, 10,000 thumbnails: prepared in Python, s": (prepared, "<=", 2),
        "projector, 10,000 thumbnails: sent, MB": (sent / 1e6, "<=", 4),
    }
    if chromium.program() is None:
        print("projector in a browser: not measured, since Chromium is not there")
        return figures
    figures |= in_a_browser({"10,000": small, "60,000": Projector(*points(60_000))})
    return figures | in_jupyterlab(embeddings=embeddings, labels=labels, images=images)


def in_a_browser(projectors):
    """Seconds until the page is drawn, and of 60 moves of the map, each of which is drawn."""
    figures, limits = {}, {"10,000": 2, "60,000": 5}
    with tempfile.TemporaryDirectory() as folder, chromium.started(Path(folder) / "profile") as browser:
        for name, shown in projectors.items():
            path = shown.to_html(Path(folder) / f"{name}.html")
            page = chromium.new_page(browser)
            start = time.perf_counter()
            page.goto(path.as_uri())
            page.wait_for_selector(".simnb-projector[data-ready]")
            seen = time.perf_counter() - start
            if name == "10,000":
                figures[f"projector, {name} points: page seen, s"] = (seen, "<=", 2)
            figures[f"projector, {name} points: {MOVES} moves, s"] = (pan(page), "<=", limits[name])
            page.close()
    return figures


def pan(page):
    """Seconds of the moves, and that every one was drawn."""
    box = page.locator(".simnb-map").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    frames = "Number(document.querySelector('.simnb-projector').dataset.frames)"
    start = time.perf_counter()
    for move in range(MOVES):
        drawn = page.evaluate(frames)
        page.mouse.move(x + 5 + move, y + 5 + move)
        page.wait_for_function(f"drawn => {frames} > drawn", arg=drawn, polling="raf")
    seconds = time.perf_counter() - start
    page.mouse.up()
    return seconds


def in_jupyterlab(**given):
    """Seconds from running a cell of a notebook until its projector is drawn; imports are done before."""
    code = "import numpy as np; from simnb.widgets import Projector; given = dict(np.load('given.npz'))"
    cells = [nbformat.v4.new_code_cell(source) for source in (code, "Projector(**given)")]
    with tempfile.TemporaryDirectory() as folder, chromium.started(Path(folder) / "profile") as browser:
        notebooks = Path(folder) / "notebooks"
        notebooks.mkdir()
        np.savez(notebooks / "given.npz", **given)
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), notebooks / "one.ipynb")
        with jupyterlab.started(Path(folder)) as lab:
            page = chromium.new_page(browser)
            lab.open(page, "one.ipynb")
            run = "() => window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')"
            page.evaluate(run)
            assert lab.value(page, "len(given)") == str(len(given))
            start = time.perf_counter()
            page.evaluate(run)
            page.wait_for_selector(".simnb-projector[data-ready]")
            seen = time.perf_counter() - start
            lab.shut_kernels_down(page)
            page.close()
    return {"projector, 10,000 points: seen in JupyterLab, s": (seen, "<=", 2)}


BENCHMARKS = (projector,)
