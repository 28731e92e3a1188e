"""Every widget, as it stands in lesson 08."""

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.parametrize("ran", ["08_look_at_it.ipynb"], indirect=True)


@pytest.fixture
def projector(ran):
    root = ran.locator(".simnb-projector").first
    root.scroll_into_view_if_needed()
    return root


def place(ran, lab, projector, i):
    """Where point ``i`` of the first projector is in the window."""
    scale, x, y = (float(projector.get_attribute(f"data-{name}")) for name in ("scale", "x", "y"))
    points = "__import__('numpy').frombuffer(projector._points, 'f4').reshape(-1, 2)"
    across, up = map(float, lab.value(ran, f"{points}[{i}].tolist()").strip("[]").split(","))
    box = projector.locator(".simnb-map").bounding_box()
    return box["x"] + x + across * scale, box["y"] + y - up * scale


def alone(ran, lab):
    """The point that is farthest from all others on the map."""
    far = "(p[:, None] - p[None]).__pow__(2).sum(-1) + 9e9 * __import__('numpy').eye(len(p))"
    return int(lab.value(ran, f"(lambda p: int(({far}).min(1).argmax()))(projector.points.astype(float))"))


def test_every_output_has_a_picture_or_a_widget(ran):
    assert ran.locator(".simnb-projector").count() == 1
    assert ran.locator(".simnb-threshold").count() == 1
    assert ran.locator(".simnb-search").count() == 1
    assert ran.locator(".simnb-training").count() == 1
    figures = ran.locator(".jp-OutputArea-output img[src^='data:image/png']")
    assert figures.count() >= 9


def test_hovering_a_point_shows_its_image(ran, lab, projector):
    i = alone(ran, lab)
    ran.mouse.move(*place(ran, lab, projector, i))
    tip = projector.locator(f".simnb-tip[data-painted='{i}']")
    tip.wait_for()
    name = lab.value(ran, f"names[labels[{i}]]").strip("'")
    assert name in tip.inner_text()
    pixel = "canvas => Array.from(canvas.getContext('2d').getImageData(42, 42, 1, 1).data)"
    assert tip.locator("canvas").evaluate(pixel)[3] == 255


def test_a_click_shows_the_neighbors_in_the_embedding(ran, lab, projector):
    i = alone(ran, lab)
    ran.mouse.click(*place(ran, lab, projector, i))
    expect(projector.locator(".simnb-nearest figure")).to_have_count(9)
    nearest = lab.value(ran, f"float(projector._nearest([{i}])[1][0, 0])")
    assert f"{float(nearest):.3g}" in projector.locator(".simnb-nearest figure").nth(1).inner_text()
    ran.keyboard.press("Escape")


def test_a_lasso_selects_and_python_has_the_positions(ran, lab, projector):
    box = projector.locator(".simnb-map").bounding_box()
    projector.locator(".simnb-tool-lasso").click()
    left, top, right, bottom = (
        box["x"] + 3,
        box["y"] + 3,
        box["x"] + box["width"] / 2,
        box["y"] + box["height"] - 3,
    )
    ran.mouse.move(left, top)
    ran.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom), (left, top)):
        ran.mouse.move(*corner, steps=4)
    ran.mouse.up()
    text = projector.locator(".simnb-selected")
    expect(text).to_contain_text("selected")
    count = int(text.inner_text().split()[0].replace(",", ""))
    ran.wait_for_timeout(500)
    assert int(lab.value(ran, "len(projector.selection)")) == count > 0
    scale, x = (float(projector.get_attribute(f"data-{name}")) for name in ("scale", "x"))
    points = "__import__('numpy').frombuffer(projector._points, 'f4').reshape(-1, 2)"
    inside = f"(({points}[:, 0] * {scale} + {x}) < {right - box['x']})"
    assert lab.value(ran, f"{inside}.nonzero()[0].tolist() == projector.selection.tolist()") == "True"


def test_a_selection_in_python_is_seen(ran, lab, projector):
    lab.value(ran, "setattr(projector, 'selection', [1, 2, 5])")
    expect(projector.locator(".simnb-selected")).to_have_text("3 selected")


def test_the_slider_of_the_threshold_moves_the_rates(ran, lab):
    handle = ran.locator(".simnb-threshold-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    before = lab.value(ran, "explorer.threshold")
    for _ in range(5):
        ran.keyboard.press("ArrowRight")
    ran.wait_for_timeout(500)
    assert float(lab.value(ran, "explorer.threshold")) > float(before)
    shown = float(lab.value(ran, "explorer.rates['coverage']"))
    expect(ran.locator(".simnb-rate-coverage").first).to_have_text(f"{shown:.1%}")


def test_an_uploaded_file_is_searched_and_a_bad_one_refused(ran, lab, tmp_path):
    box = ran.locator(".simnb-search").first
    box.scroll_into_view_if_needed()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a <b>photo.png")
    box.locator(".simnb-drop input").set_input_files(tmp_path / "a <b>photo.png")
    expect(box.locator(".simnb-neighbors")).to_contain_text("a <b>photo.png")
    assert lab.value(ran, "box.result.name") == "'a <b>photo.png'"
    distance = float(lab.value(ran, "box.result.distance"))
    assert f"{distance:.3f}"[:4] in box.locator(".simnb-verdict").inner_text()
    (tmp_path / "words.png").write_text("no image")
    box.locator(".simnb-drop input").set_input_files(tmp_path / "words.png")
    expect(box.locator(".simnb-message")).to_contain_text("words.png: this is not a JPEG, PNG")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(int(lab.value(ran, "box.drop.max_bytes")) + 1)
    box.locator(".simnb-drop input").set_input_files(tmp_path / "huge.png")
    expect(box.locator(".simnb-message")).to_contain_text("MB that are accepted")
    assert lab.value(ran, "box.result.name") == "'a <b>photo.png'"
    expect(box.locator(".simnb-drop")).to_contain_text("Drop an image file here")


def test_a_dropped_file_is_searched(ran, lab):
    drop = """async zone => {
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 20;
        canvas.getContext("2d").fillRect(5, 5, 9, 9);
        const blob = await new Promise((done) => canvas.toBlob(done));
        const data = new DataTransfer();
        data.items.add(new File([blob], "dropped.png"));
        zone.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    ran.locator(".simnb-drop").first.evaluate(drop)
    expect(ran.locator(".simnb-search").first.locator(".simnb-neighbors")).to_contain_text("dropped.png")


def test_a_query_is_picked(ran, lab):
    ran.locator(".simnb-query-picks button").nth(2).click()
    expect(ran.locator(".simnb-search .simnb-neighbors").first).to_contain_text("query 2")
    assert lab.value(ran, "box.result.name") == "'query 2'"


def test_the_training_was_watched(ran, lab):
    monitor = ran.locator(".simnb-training").first
    expect(monitor).to_contain_text("epoch 6 of 6")
    assert monitor.locator("polyline").count() == 2
    recall = float(lab.value(ran, "recalls[-1]"))
    assert f"{recall:.3f}" in monitor.locator(".simnb-training-recall").inner_text()


def test_widgets_follow_the_theme(ran, lab, projector):
    ground = "canvas => Array.from(canvas.getContext('2d').getImageData(1, 1, 1, 1).data)"
    assert projector.locator(".simnb-points").evaluate(ground)[0] == 255
    lab.choose_theme(ran, "Dark")
    expect(projector).to_have_attribute("data-theme", "dark")
    ran.wait_for_timeout(300)
    assert max(projector.locator(".simnb-points").evaluate(ground)[:3]) < 60
    lab.choose_theme(ran, "Light")
    expect(projector).to_have_attribute("data-theme", "light")


def test_widgets_fit_a_narrow_window(ran, projector):
    ran.set_viewport_size({"width": 420, "height": 900})
    expect(projector).to_have_class("simnb-projector simnb-narrow")
    panel = ran.locator(".jp-NotebookPanel-notebook").bounding_box()["width"]
    for name in (".simnb-projector", ".simnb-threshold", ".simnb-search", ".simnb-training"):
        assert ran.locator(name).first.bounding_box()["width"] <= panel
