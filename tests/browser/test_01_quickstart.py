"""The quickstart in JupyterLab."""

import pytest

pytestmark = pytest.mark.parametrize("ran", ["01_quickstart.ipynb"], indirect=True)


def test_every_figure_of_the_quickstart_is_there(ran):
    figures = ran.locator(".jp-OutputArea-output img")
    assert figures.count() >= 6
    for i in range(figures.count()):
        assert figures.nth(i).evaluate("image => image.complete && image.naturalWidth > 100")


def test_solutions_are_folded(ran):
    """A solution shows a bar to open it with, and its output."""
    folded = ran.locator(".jp-CodeCell .jp-Cell-inputWrapper .jp-Placeholder")
    assert folded.count() == 2


def test_the_quickstart_fits_a_narrow_window(ran):
    ran.set_viewport_size({"width": 420, "height": 800})
    panel = ran.locator(".jp-NotebookPanel-notebook").bounding_box()
    figures = ran.locator(".jp-OutputArea-output img")
    assert all(figures.nth(i).bounding_box()["width"] <= panel["width"] for i in range(figures.count()))
