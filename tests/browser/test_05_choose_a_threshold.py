"""The threshold explorer, as it stands at the end of lesson 05."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.parametrize("ran", ["05_choose_a_threshold.ipynb"], indirect=True)


def threshold(lab, page):
    return float(lab.value(page, "explorer.threshold"))


def rates(page):
    return page.locator(".simnb-rates").first.inner_text()


@pytest.fixture
def handle(ran):
    slider = ran.locator(".simnb-threshold-slider .noUi-handle").first
    slider.scroll_into_view_if_needed()
    return slider


def test_an_arrow_key_moves_the_threshold_and_the_rates_follow(ran, lab, handle):
    before, shown = threshold(lab, ran), rates(ran)
    handle.focus()
    for _ in range(12):
        ran.keyboard.press("ArrowRight")
    expect(ran.locator(".simnb-rates").first).not_to_have_text(shown)
    ran.wait_for_timeout(500)
    after = threshold(lab, ran)
    assert after > before
    precision = float(lab.value(ran, "explorer.rates['precision']"))
    assert f"{precision:.1%}"[:-1] in rates(ran)


def test_dragging_to_the_left_end_rejects_everything(ran, lab, handle):
    track = ran.locator(".simnb-threshold-slider .noUi-target").first.bounding_box()
    box = handle.bounding_box()
    ran.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    ran.mouse.down()
    for share in (0.5, 0.2, 0.05, -0.1):
        ran.mouse.move(track["x"] + share * track["width"], box["y"] + box["height"] / 2, steps=5)
    ran.mouse.up()
    ran.wait_for_timeout(500)
    assert float(lab.value(ran, "explorer.rates['coverage']")) < 0.02


def test_a_button_jumps_to_its_cutpoint(ran, lab):
    ran.locator(".simnb-cutpoints button", has_text="strict").first.click()
    ran.wait_for_timeout(500)
    wanted = float(lab.value(ran, "float(chosen['strict'].threshold)"))
    assert threshold(lab, ran) == pytest.approx(wanted, rel=1e-4)


def test_borderline_images_and_the_confusion_matrix_are_shown(ran):
    images = ran.locator(".simnb-borderline img")
    assert images.count() >= 4
    assert images.first.evaluate("image => image.complete && image.naturalWidth > 0")
    expect(ran.locator(".simnb-confusion").first).to_contain_text("Unknown")


def test_text_can_be_read_in_the_dark(ran, lab):
    lab.choose_theme(ran, "Dark")
    colour = "element => getComputedStyle(element).color.match(/\\d+/g).slice(0, 3).map(Number)"
    light_on_dark = ran.locator(".simnb-rates").first.evaluate(colour)
    lab.choose_theme(ran, "Light")
    dark_on_light = ran.locator(".simnb-rates").first.evaluate(colour)
    assert min(light_on_dark) > 150
    assert max(dark_on_light) < 110


def test_it_fits_a_narrow_window(ran):
    ran.set_viewport_size({"width": 420, "height": 900})
    root = ran.locator(".simnb-threshold").first
    root.scroll_into_view_if_needed()
    panel = ran.locator(".jp-NotebookPanel-notebook").bounding_box()
    assert root.bounding_box()["width"] <= panel["width"]
    assert float(ran.locator(".simnb-threshold-value input").first.input_value())
