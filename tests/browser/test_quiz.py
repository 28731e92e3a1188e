"""A quiz, on a page without a kernel: the site of the lessons."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from notebooks import reference, site

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    circle = site.Notebook(NOTEBOOKS / "00_circle.ipynb")
    about = {"style": site.style(), "headings": [], "pages": {}, "names": reference.Names([]), "root": ""}
    (folder / "00_circle.html").write_text(site.export(circle, about))
    (folder / "search.js").touch()
    return folder


def test_a_click_says_whether_an_answer_is_right_and_of_each_question_one_is_open(tab, pages):
    tab.goto((pages / "00_circle.html").as_uri())
    question = tab.locator(".simnb-quiz li").first
    right, wrong = question.locator("details.right"), question.locator("details.wrong").first
    expect(right.locator("p")).to_be_hidden()
    wrong.locator("summary").click()
    expect(wrong.locator("p")).to_contain_text("✗ No.")
    expect(right.locator("p")).to_be_hidden()
    right.locator("summary").press("Enter")  # by the keyboard, too
    expect(right.locator("p")).to_contain_text("✓ Right.")
    expect(wrong.locator("p")).to_be_hidden()
    assert tab.locator(".simnb-quiz details[open]").count() == 1
