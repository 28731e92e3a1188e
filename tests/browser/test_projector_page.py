"""The projector as a page of its own, opened from disk."""

import numpy as np
import pytest

from simnb.widgets import Projector

HOSTILE = "<img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def shown():
    """200 points of two classes and 100 queries, on a map that is the plane they lie in."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    embeddings = rng.normal(size=(300, 2)) * 0.4 + np.stack([labels * 3, labels * 0], axis=1)
    images = np.zeros((300, 8, 8, 3), np.uint8)
    images[np.arange(300), :, :, labels] = 255  # red and green
    return Projector(
        embeddings,
        labels,
        images=images,
        class_names=("cat", HOSTILE),
        is_query=np.arange(300) >= 200,
        details=[f"file {i}.png" for i in range(300)],
        points=embeddings,
        distance="euclidean",
        threshold=0.1,
        k=5,
    )


@pytest.fixture
def page(tab, shown, tmp_path):
    """The page, ready, and where its points are."""
    tab.goto(shown.to_html(tmp_path / "map.html").as_uri())
    tab.wait_for_selector(".simnb-projector[data-ready]")
    return tab


def place(page, shown, i):
    """Where point ``i`` is in the window."""
    root = page.locator(".simnb-projector")
    scale, x, y = (float(root.get_attribute(f"data-{name}")) for name in ("scale", "x", "y"))
    points = np.frombuffer(shown._points, np.float32).reshape(-1, 2)
    box = page.locator(".simnb-map").bounding_box()
    across, up = points[i].tolist()
    return box["x"] + x + across * scale, box["y"] + y - up * scale


def at_the_edge(shown):
    """A point that no other one hides: the leftmost."""
    return int(np.argmin(shown.points[:, 0]))


def test_every_point_is_drawn_and_names_are_text(page):
    assert page.locator(".simnb-projector").get_attribute("data-drawn") == "300"
    assert page.locator(".simnb-legend button").nth(1).inner_text().startswith(HOSTILE)
    assert page.title() == "Map of embeddings"
    assert "trustworthiness" in page.locator(".simnb-trust").inner_text()


def test_hovering_shows_the_image_and_what_is_known_of_it(page, shown):
    i = at_the_edge(shown)
    page.mouse.move(*place(page, shown, i))
    tip = page.locator(f".simnb-tip[data-painted='{i}']")
    tip.wait_for()
    assert f"file {i}.png" in tip.inner_text()
    red, green, _, _ = tip.locator("canvas").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(40, 40, 1, 1).data)"
    )
    assert (red > 200 and green < 60) if i % 2 == 0 else (green > 200 and red < 60)


def test_a_click_joins_a_point_to_its_neighbors_in_the_embedding(page, shown):
    i = at_the_edge(shown)
    page.mouse.click(*place(page, shown, i))
    cards = page.locator(".simnb-nearest figure")
    assert cards.count() == 6
    distances = np.linalg.norm(shown.points[:200] - shown.points[i], axis=1)
    distances = np.sort(distances[distances > 0])
    assert f"{distances[0]:.3g}" in cards.nth(1).inner_text()
    page.keyboard.press("Escape")
    assert cards.count() == 0


def test_a_box_selects_what_is_inside(page, shown):
    box = page.locator(".simnb-map").bounding_box()
    page.locator(".simnb-tool-box").click()
    middle = (place(page, shown, 0)[0] + place(page, shown, 1)[0]) / 2
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] - 2, steps=5)
    page.mouse.up()
    inside = sum(place(page, shown, i)[0] < middle for i in range(300))
    assert page.locator(".simnb-selected").inner_text() == f"{inside} selected"
    page.locator(".simnb-clear").click()
    assert page.locator(".simnb-selected").inner_text() == ""


def test_a_class_goes_and_comes_back_and_is_found_by_its_name(page):
    root, cat = page.locator(".simnb-projector"), page.locator(".simnb-legend button").first
    cat.click()
    page.wait_for_selector(".simnb-projector[data-drawn='150']")
    assert cat.get_attribute("aria-pressed") == "false"
    cat.click()
    page.wait_for_selector(".simnb-projector[data-drawn='300']")
    page.locator(".simnb-class-search").fill("CA")
    assert page.locator(".simnb-legend button:visible").count() == 1
    assert root.get_attribute("data-drawn") == "300"


def test_a_class_alone_and_all_of_them_again(page):
    cat = page.locator(".simnb-legend button").first
    cat.dblclick()
    page.wait_for_selector(".simnb-projector[data-drawn='150']")
    pressed = [button.get_attribute("aria-pressed") for button in page.locator(".simnb-legend button").all()]
    assert pressed == ["true"] + ["false"] * (len(pressed) - 1)
    cat.dblclick()
    page.wait_for_selector(".simnb-projector[data-drawn='300']")
    assert cat.get_attribute("aria-pressed") == "true"


def test_it_zooms_about_the_pointer_and_comes_back(page, shown):
    i = at_the_edge(shown)
    before = place(page, shown, i)
    scale = float(page.locator(".simnb-projector").get_attribute("data-scale"))
    page.mouse.move(*before)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "s => document.querySelector('.simnb-projector').dataset.scale > 1.3 * s", arg=scale
    )
    assert place(page, shown, i) == pytest.approx(before, abs=0.5)
    page.locator(".simnb-reset").click()
    page.wait_for_function("s => document.querySelector('.simnb-projector').dataset.scale == s", arg=scale)


def test_the_keyboard_walks_from_point_to_point(page):
    page.locator(".simnb-map").focus()
    page.keyboard.press("ArrowRight")
    tip = page.locator(".simnb-tip")
    first = tip.get_attribute("data-point")
    page.keyboard.press("ArrowRight")
    assert tip.get_attribute("data-point") != first
    assert "nearest neighbor at" in page.locator(".simnb-spoken").text_content()
    page.keyboard.press("Enter")
    assert page.locator(".simnb-nearest figure").count() == 6


def test_the_keyboard_does_not_leave_the_screen(page, shown):
    box = page.locator(".simnb-map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -1500)
    page.mouse.move(2, 2)
    page.locator(".simnb-map").focus()
    for key in ["ArrowRight"] * 4 + ["ArrowUp"] * 4 + ["ArrowLeft"] * 12:
        page.keyboard.press(key)
        frames = page.locator(".simnb-projector").get_attribute("data-frames")
        page.wait_for_function(
            "n => document.querySelector('.simnb-projector').dataset.frames >= n", arg=int(frames)
        )
        page.wait_for_timeout(30)
        x, y = place(page, shown, int(page.locator(".simnb-tip").get_attribute("data-point")))
        assert box["x"] <= x <= box["x"] + box["width"]
        assert box["y"] <= y <= box["y"] + box["height"]


def test_the_right_button_moves_and_selects_nothing(page, shown):
    before = page.locator(".simnb-projector").get_attribute("data-x")
    x, y = place(page, shown, at_the_edge(shown))
    page.mouse.click(x, y, button="right")
    page.mouse.move(x, y)
    page.mouse.down(button="right")
    page.mouse.move(x + 60, y + 30, steps=3)
    page.mouse.up(button="right")
    assert page.locator(".simnb-nearest figure").count() == 0
    assert page.locator(".simnb-projector").get_attribute("data-x") == before


def test_a_box_that_the_browser_cancels_selects_nothing(page):
    page.locator(".simnb-tool-box").click()
    cancel = """map => {
        const box = map.getBoundingClientRect();
        map.setPointerCapture = () => {};
        const touch = (name, x, y) => map.dispatchEvent(new PointerEvent(name, {
            pointerId: 1, pointerType: "touch", clientX: box.x + x, clientY: box.y + y, bubbles: true }));
        touch("pointerdown", 1, 1); touch("pointermove", 400, 400); touch("pointercancel", 400, 400);
    }"""
    page.locator(".simnb-map").evaluate(cancel)
    assert page.locator(".simnb-selected").inner_text() == ""


def test_a_page_whose_threshold_rejects_everything_says_so(tab, shown, tmp_path):
    none = Projector(shown.points, np.arange(300) % 2, threshold=-np.inf, color="accepted")
    tab.goto(none.to_html(tmp_path / "none.html").as_uri())
    tab.wait_for_selector(".simnb-projector[data-ready]")
    assert "accepted: none" in tab.locator(".simnb-key").inner_text()


@pytest.mark.parametrize(("color", "said"), [
    ("right", "nearest is right: 300"),
    ("distance", "and more"),
    ("accepted", "within 0.1"),
])  # fmt: skip
def test_colours_have_a_key(page, color, said):
    before = page.locator(".simnb-key").inner_text()
    page.select_option(".simnb-color-by", color)
    page.wait_for_function("b => document.querySelector('.simnb-key').innerText !== b", arg=before)
    assert said in page.locator(".simnb-key").inner_text()


def test_the_theme_changes_the_ground(page):
    pixel = "canvas => Array.from(canvas.getContext('2d').getImageData(1, 1, 1, 1).data)"
    assert page.locator(".simnb-points").evaluate(pixel) == [255, 255, 255, 255]
    page.locator(".simnb-theme").click()
    page.wait_for_selector(".simnb-projector[data-theme='dark']")
    page.wait_for_timeout(200)
    assert max(page.locator(".simnb-points").evaluate(pixel)[:3]) < 60


def test_two_fingers_zoom(page):
    scale = float(page.locator(".simnb-projector").get_attribute("data-scale"))
    pinch = """map => {
        const box = map.getBoundingClientRect();
        map.setPointerCapture = () => {};
        const touch = (name, pointerId, x) => map.dispatchEvent(new PointerEvent(name, {
            pointerId, pointerType: "touch", clientX: box.x + x, clientY: box.y + 100, bubbles: true }));
        touch("pointerdown", 1, 100); touch("pointerdown", 2, 200);
        touch("pointermove", 2, 300);
        touch("pointerup", 1, 100); touch("pointerup", 2, 300);
    }"""
    page.locator(".simnb-map").evaluate(pinch)
    page.wait_for_function("s => document.querySelector('.simnb-projector').dataset.scale != s", arg=scale)
    page.wait_for_timeout(200)
    after = float(page.locator(".simnb-projector").get_attribute("data-scale"))
    assert after == pytest.approx(2 * scale, rel=0.05)  # fingers twice as far apart


def test_it_fits_a_narrow_window(page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_selector(".simnb-narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    stage, legend = (page.locator(name).bounding_box() for name in (".simnb-stage", ".simnb-legend"))
    assert legend["y"] >= stage["y"] + stage["height"]
