"""The quickstart in JupyterLab."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_quickstart.ipynb"
pytestmark = pytest.mark.parametrize("ran", ["01_quickstart.ipynb"], indirect=True)


def test_every_figure_of_the_quickstart_is_there(ran):
    figures = ran.locator(".jp-OutputArea-output img")
    assert figures.count() >= 6
    for i in range(figures.count()):
        assert figures.nth(i).evaluate("image => image.complete && image.naturalWidth > 100")


def test_what_is_not_the_story_is_folded(ran):
    """The set-up and every check show a bar to open them with, and their output; the exercises are open."""
    folded = ran.locator(".jp-CodeCell .jp-Cell-inputWrapper .jp-Placeholder")
    assert folded.count() == sum(
        cell.metadata.get("jupyter") == {"source_hidden": True} for cell in nbformat.read(NOTEBOOK, 4).cells
    )
    for number in range(1, 6):
        expect(ran.get_by_text(f"Exercise {number} is open", exact=True)).to_be_visible()


def test_a_quiz_says_whether_an_answer_is_right(ran):
    quiz = ran.locator(".simnb-quiz li").first
    quiz.locator("details.right summary").click()
    expect(quiz.locator("details.right p")).to_contain_text("Right.")


def test_the_quickstart_fits_a_narrow_window(ran):
    ran.set_viewport_size({"width": 420, "height": 800})
    panel = ran.locator(".jp-NotebookPanel-notebook").bounding_box()
    figures = ran.locator(".jp-OutputArea-output img")
    assert all(figures.nth(i).bounding_box()["width"] <= panel["width"] for i in range(figures.count()))
