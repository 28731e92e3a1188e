"""The circle of notebook 00: a point to drag, a training to play, in JupyterLab and as a page of its own."""

import numpy as np
import pytest
from playwright.sync_api import expect

from simnb.widgets import CircleExplorer

ANGLES = np.radians([20, 140, 260, 75, 200, 320])
LABELS = np.arange(6) // 2


def middle(point):
    box = point.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, root, number, degrees):
    """Drag a point to an angle of the circle."""
    ring = root.locator(".ring").bounding_box()
    radius, angle = ring["width"] / 2, np.radians(degrees)
    point = root.locator("[role=slider]").nth(number)
    page.mouse.move(*middle(point))
    page.mouse.down()
    x, y = ring["x"] + radius + radius * np.cos(angle), ring["y"] + radius - radius * np.sin(angle)
    page.mouse.move(x, y, steps=6)
    page.mouse.up()


def loss(root):
    return float(root.locator(".simnb-circle-loss").inner_text().removeprefix("Loss "))


# The page, opened from disk


@pytest.fixture(scope="module")
def shown():
    embeddings = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    return CircleExplorer(embeddings, LABELS, class_names=("bird", "<b>cat", "dog"))


@pytest.fixture
def root(tab, shown, tmp_path):
    tab.goto(shown.to_html(tmp_path / "circle.html").as_uri())
    tab.wait_for_selector(".simnb-circle[data-steps]")
    return tab.locator(".simnb-circle")


def test_the_page_shows_every_point_its_class_and_the_loss(root, shown):
    assert root.locator("[role=slider]").count() == 6
    assert loss(root) == pytest.approx(shown.loss, abs=6e-4)
    expect(root.locator(".simnb-circle-legend")).to_contain_text("<b>cat")
    expect(root.locator(".simnb-circle-chosen")).to_contain_text(f"gradient {shown.gradient[0]:+.3f}"[:-6])


def test_a_dragged_point_goes_there_and_its_loss_and_gradient_follow(tab, root, shown):
    drag(tab, root, 2, 90)
    there = CircleExplorer(shown.embeddings, LABELS)
    there.angles = [*ANGLES[:2], np.pi / 2, *ANGLES[3:]]
    point = root.locator("[role=slider]").nth(2)
    assert int(point.get_attribute("aria-valuenow")) == pytest.approx(90, abs=1)
    assert loss(root) == pytest.approx(there.loss, abs=0.02)
    expect(root.locator(".simnb-circle-chosen")).to_contain_text("<b>cat 1 at")


def test_arrow_keys_turn_the_focused_point(tab, root):
    point = root.locator("[role=slider]").nth(1)
    point.focus()
    for _ in range(5):
        tab.keyboard.press("ArrowLeft")
    assert point.get_attribute("aria-valuenow") == "150"


def test_a_training_plays_to_its_end_and_starts_again(tab, root):
    before = loss(root)
    root.locator(".simnb-circle-step").click()
    expect(root).to_have_attribute("data-steps", "1")
    assert loss(root) < before
    root.locator(".simnb-circle-play").click()
    expect(root.locator(".simnb-circle-loss")).to_have_text("Loss 0.000", timeout=60_000)
    expect(root.locator(".simnb-circle-play")).to_contain_text("Play", timeout=60_000)
    root.locator(".simnb-circle-again").click()
    assert loss(root) == before
    expect(root).to_have_attribute("data-steps", "0")


def test_a_heap_has_the_margin_as_its_loss_whatever_it_is(root):
    root.locator(".simnb-circle-heap").click()
    assert loss(root) == pytest.approx(0.5, abs=0.01)
    root.locator(".simnb-circle-margin input").fill("1.2")
    assert loss(root) == pytest.approx(1.2, abs=0.01)


def test_the_arcs_of_mining_are_shown_when_asked_for(root):
    assert root.locator(".zone").count() == 0
    root.locator(".simnb-circle-arcs input").check()
    assert root.locator(".zone").count() == 6


def test_it_fits_a_narrow_window_and_can_be_read_in_the_dark(tab, root):
    tab.set_viewport_size({"width": 360, "height": 900})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.locator(".simnb-theme").click()
    colour = "element => getComputedStyle(element).color.match(/\\d+/g).slice(0, 3).map(Number)"
    assert min(root.locator(".simnb-circle-loss").evaluate(colour)) > 150


# In JupyterLab


@pytest.mark.parametrize("ran", ["00_circle.ipynb"], indirect=True)
def test_python_sees_where_a_point_was_dragged_and_the_browser_what_python_sets(ran, lab):
    root = ran.locator(".simnb-circle").first
    root.scroll_into_view_if_needed()
    drag(ran, root, 4, 300)
    shown = loss(root)
    ran.wait_for_timeout(500)
    assert float(lab.value(ran, "circle.loss")) == pytest.approx(shown, abs=6e-4)
    assert float(lab.value(ran, "float(np.degrees(circle.angles[4]) % 360)")) == pytest.approx(300, abs=2)
    lab.value(ran, "setattr(circle, 'angles', [0.0] * 9)")
    expect(root.locator(".simnb-circle-loss")).to_have_text("Loss 0.500")
