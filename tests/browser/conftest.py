"""Fixtures of the tests that click: a page of Chromium, and notebooks that ran in JupyterLab."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest

from . import chromium, jupyterlab

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items):
    """Everything here is a browser test: `pytest -m browser`."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


def need(there, message):
    """Skip where something is missing, or fail where SIMNB_BROWSER=required says that it must be there."""
    if not there:
        (pytest.fail if os.environ.get("SIMNB_BROWSER") == "required" else pytest.skip)(message)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium, with a profile of its own."""
    need(chromium.program(), "no Chromium found: apt-get install chromium, or name one in CHROMIUM")
    need(importlib.util.find_spec("playwright"), 'no Playwright: pip install "simnb[test]"')
    with chromium.started(tmp_path_factory.mktemp("profile")) as context:
        yield context


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the notebooks."""
    need(importlib.util.find_spec("jupyterlab"), 'no JupyterLab: pip install "simnb[notebooks]"')
    base = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", base / "notebooks", ignore=shutil.ignore_patterns("py", "build"))
    with jupyterlab.started(base) as running:
        yield running


@pytest.fixture
def tab(browser, request):
    """A fresh page; at the end nothing may have left the machine, and no error be in the console."""
    page = chromium.new_page(browser)
    yield page
    keep_screenshot(page, request.node.name)
    page.close()
    all_is_well(page)


@pytest.fixture(scope="module")
def ran(browser, lab, request):
    """The page of a notebook, ``request.param``, all of whose cells ran; the tests of a module share it."""
    page = chromium.new_page(browser)
    lab.open(page, request.param)
    lab.run_all(page)
    yield page
    lab.shut_kernels_down(page)
    page.close()
    all_is_well(page)


@pytest.fixture(autouse=True)
def screenshot_of_a_notebook(request):
    """Keep what a notebook's page shows after each test, and give the next test a wide window."""
    yield
    if "ran" in request.fixturenames:
        page = request.getfixturevalue("ran")
        keep_screenshot(page, request.node.name)
        page.set_viewport_size({"width": 1280, "height": 900})


def all_is_well(page):
    """Nothing was asked of another machine, and nothing went wrong."""
    assert page.simnb_requests == []
    assert page.simnb_errors == []


def keep_screenshot(page, name):
    """Write what the page shows to build/screenshots."""
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\[.*", "", name).removeprefix("test_")
    page.screenshot(path=folder / f"{name}.png")
