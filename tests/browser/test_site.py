"""The site, opened from disk: its search by keyboard and by touch, and the page to try on its index."""

import base64
import io

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from playwright.sync_api import expect

from notebooks import site
from simnb.calibration import calibrate
from simnb.data import Examples
from simnb.index import open_index
from simnb.page import write_page

from . import chromium

HOSTILE = "<script>document.title = 'run'</script><script src='https://example.org/x.js'></script>"


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A page with a threshold to move, of two overlapping classes."""
    labels, rng = np.arange(60) % 2, np.random.default_rng(0)
    embeddings = np.eye(4)[labels] + rng.normal(size=(60, 4)) * 0.3
    images = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    index = open_index()
    index.add(embeddings[:30], labels[:30])
    calibration = calibrate(index.search(embeddings[30:], k=1), labels[30:])
    path = tmp_path_factory.mktemp("live") / site.LIVE[1]
    examples = Examples(images, labels, ("cat", "dog"), np.arange(60))
    return write_page(path, examples, embeddings, calibration=calibration)


@pytest.fixture(scope="module")
def pages(tmp_path_factory, live):
    """The site of two lessons, one with scripts in an output, and a glossary."""
    source = tmp_path_factory.mktemp("source") / "notebooks"
    source.mkdir()
    (source / "GLOSSARY.md").write_text('# Glossary\n\n- <a id="margin"></a>**margin**: by how much.')
    shown = new_output("display_data", {"text/html": f"{HOSTILE}<p>shown</p>"})
    drawn = io.BytesIO()
    Image.new("RGB", (730, 400)).save(drawn, "PNG")
    figure = new_output("display_data", {"image/png": base64.b64encode(drawn.getvalue()).decode()})
    text = new_markdown_cell("# Balance\n\nA story.\n\n## 1. Deal cards")
    lessons = {
        "01_first": [text, new_code_cell("1", outputs=[figure])],
        "02_hostile": [new_markdown_cell("# Strange"), new_code_cell("1", outputs=[shown])],
    }
    for name, cells in lessons.items():
        nbformat.write(new_notebook(cells=cells), source / f"{name}.ipynb")
    target = tmp_path_factory.mktemp("site") / "html"
    notebooks = [site.Notebook(source / f"{name}.ipynb") for name in lessons]
    site.build(source, notebooks, {site.LIVE[1]: live}, target)
    return target


def found(tab):
    """The lines that the search shows."""
    return tab.get_by_role("option")


def chosen(tab):
    return tab.locator("[role=option][aria-selected=true]")


def test_a_name_is_found_and_opened_by_the_keyboard(tab, pages):
    tab.goto((pages / "index.html").as_uri())
    tab.keyboard.press("/")
    tab.keyboard.type("balanced")
    expect(chosen(tab)).to_contain_text("samplers.BalancedBatches")
    expect(tab.get_by_role("combobox")).to_have_attribute("aria-activedescendant", "search-found-0")
    tab.keyboard.press("ArrowUp")  # from the first to the last
    expect(found(tab).last).to_have_attribute("aria-selected", "true")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/reference/simnb.samplers.html#BalancedBatches")
    expect(tab.locator("#BalancedBatches")).to_be_in_viewport()


def test_sections_and_words_are_found_from_a_page_in_a_folder_by_a_click(tab, pages):
    tab.goto((pages / "reference" / "index.html").as_uri())
    box = tab.get_by_role("combobox")
    box.fill("cards deal")  # in any order
    expect(found(tab)).to_have_count(1)
    box.fill("margin")
    expect(found(tab).first).to_contain_text("Glossary")
    found(tab).first.click()
    tab.wait_for_url("**/GLOSSARY.html#margin")


def test_what_is_not_there_is_said_and_escape_closes(tab, pages):
    tab.goto((pages / "index.html").as_uri())
    box = tab.get_by_role("combobox")
    expect(box).to_have_attribute("aria-expanded", "false")
    box.fill("no such word")
    expect(tab.get_by_role("listbox")).to_have_text("Nothing found")
    tab.keyboard.press("Enter")  # leads nowhere
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("listbox")).to_be_hidden()
    expect(box).to_have_attribute("aria-expanded", "false")


@pytest.mark.parametrize(
    "page", ["index.html", "01_first.html", "reference/simnb.losses.html", "reference/index.html"]
)
def test_nothing_is_wider_than_a_narrow_screen(tab, pages, page):
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto((pages / page).as_uri())
    tab.get_by_role("combobox").fill("loss")
    expect(found(tab)).to_have_count(12)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    listed = tab.get_by_role("listbox").bounding_box()
    assert listed["x"] >= 0
    assert listed["x"] + listed["width"] <= 390


def test_a_figure_is_whole_on_a_narrow_screen_and_larger_after_a_tap(tab, pages):
    tab.set_viewport_size({"width": 390, "height": 800})
    tab.goto((pages / "01_first.html").as_uri())
    figure = tab.locator("figure img")
    for width, tap in ((350, True), (746, True), (350, False)):  # with the padding of the figure
        assert round(figure.bounding_box()["width"]) == width
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        if tap:
            figure.click()


def test_the_threshold_on_the_index_can_be_moved(tab, pages):
    tab.goto((pages / "index.html").as_uri())
    tab.locator("iframe.live").scroll_into_view_if_needed()
    frame = tab.frame_locator("iframe.live")
    slider = frame.locator("input[type=range]")
    said = frame.get_by_text("the nearest lies within the threshold")
    before = said.inner_text()
    slider.focus()
    slider.press("Home")
    expect(said).not_to_have_text(before)


def test_no_script_of_an_output_runs(browser, pages):
    page = chromium.new_page(browser)
    page.goto((pages / "02_hostile.html").as_uri())
    expect(page.get_by_text("shown")).to_be_visible()
    assert page.title() == "Strange"
    assert len(page.simnb_errors) == 2
    assert all("Content Security Policy" in error for error in page.simnb_errors)
    page.close()
