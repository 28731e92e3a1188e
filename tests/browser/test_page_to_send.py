"""The page that is sent, opened from disk."""

import base64
import json
import re

import numpy as np
import pytest

from simnb.calibration import calibrate
from simnb.collection import leaks, mislabelled, near_duplicates
from simnb.data import Examples
from simnb.index import open_index
from simnb.page import write_page

from . import chromium
from .conftest import all_is_well

HOSTILE = "</script><img src=x onerror=document.title='run'>"
COUNT = 300


@pytest.fixture(scope="module")
def embeddings():
    """Three classes, which overlap; image 40 is image 10 again, and image 299 nearly image 0."""
    rng = np.random.default_rng(0)
    made = rng.normal(size=(3, 6))[np.arange(COUNT) % 3] + rng.normal(size=(COUNT, 6)) * 0.8
    made[40], made[299] = made[10], made[0] * 1.001 + 1e-4
    return made.astype(np.float32)


@pytest.fixture(scope="module")
def examples():
    """Red, green and blue images."""
    labels = np.arange(COUNT) % 3
    images = np.random.default_rng(1).integers(0, 40, (COUNT, 40, 60, 3), dtype=np.uint8)
    images[np.arange(COUNT), :, :, labels] += 200
    return Examples(images, labels, ("cat", HOSTILE, "собака"), 1000 + np.arange(COUNT))


@pytest.fixture(scope="module")
def calibration(examples, embeddings):
    """Of the last 100 images in the 200 before them; half of a class has none there."""
    train = open_index()
    known = examples.labels[:200] > 0
    train.add(embeddings[:200][known], examples.labels[:200][known])
    asked = train.search(embeddings[200:], k=1)
    targets = {"careful": "precision >= 0.95"}
    return calibrate(asked, examples.labels[200:], known_labels=[1, 2], maximize="f1", targets=targets)


@pytest.fixture(scope="module")
def file(examples, embeddings, calibration, tmp_path_factory):
    """The page with everything that can be on it."""
    parts = {name: open_index() for name in ("train", "test")}
    for name, rows in (("train", slice(0, 200)), ("test", slice(200, COUNT))):
        parts[name].add(embeddings[rows], examples.labels[rows], ids=examples.ids[rows])
    whole = open_index()
    whole.add(embeddings, examples.labels, ids=examples.ids)
    return write_page(
        tmp_path_factory.mktemp("pages") / "page.html",
        examples,
        embeddings,
        calibration=calibration,
        duplicates=near_duplicates(whole, threshold=1e-4),
        leaks=leaks(parts, threshold=1e-4),
        mislabelled=mislabelled(whole),
        facts=[("Images", "300 of 3 classes"), ("Right at first", f"R@1 of {HOSTILE}")],
        names=[f"folder/file {i}.png" for i in range(COUNT)],
        title=f"What was found in {HOSTILE}",
    )


@pytest.fixture
def page(tab, file):
    opened(tab, file)
    return tab


def opened(tab, file, at=""):
    tab.goto("about:blank")
    tab.goto(file.as_uri() + at)
    tab.wait_for_selector(".simnb-page[data-ready]")
    if at == "" or at.startswith("#map"):
        tab.wait_for_selector(".simnb-projector[data-ready]")


def neighbors(embeddings, i, k=20):
    """Positions of the nearest others by cosine distance, and their distances."""
    unit = embeddings.astype(np.float64) / np.linalg.norm(embeddings, axis=1, keepdims=True)
    far = 1 - unit @ unit[i]
    others = [j for j in np.argsort(far, kind="stable") if j != i]
    return others[:k], far[others[:k]]


def shown(page):
    """Positions of the neighbors in the panel."""
    tiles = page.locator(".simnb-panel .simnb-tile").all()
    return [int(tile.get_attribute("data-image")) for tile in tiles]


def move(page, step):
    page.locator(".simnb-slider").evaluate(
        "(slider, step) => { slider.value = step; slider.dispatchEvent(new Event('input')); }", step
    )


def matched(page):
    """How many images lie within the threshold, as the page says."""
    return int(re.search(r"for ([\d,]+) of", page.locator(".simnb-counts").inner_text())[1].replace(",", ""))


def tab_named(page, name):
    return page.locator(f".simnb-tab[data-view='{name}']")


def test_what_was_found_stands_at_the_top_as_text(page):
    assert page.title() == f"What was found in {HOSTILE}"
    assert page.locator(".simnb-fact dt").all_inner_texts() == ["Images", "Right at first"]
    assert page.locator(".simnb-fact dd").nth(1).inner_text() == f"R@1 of {HOSTILE}"
    assert page.locator(".simnb-projector").get_attribute("data-drawn") == str(COUNT)


def test_a_click_on_the_map_shows_the_nearest_images(page, embeddings):
    page.locator(".simnb-map").focus()
    page.keyboard.press("ArrowRight")
    i = int(page.locator(".simnb-tip").get_attribute("data-point"))
    page.keyboard.press("Enter")
    assert page.url.endswith(f"#map/{i}")
    others, far = neighbors(embeddings, i)
    assert shown(page) == others
    assert f"folder/file {i}.png" in page.locator(".simnb-chosen").inner_text()
    first = page.locator(".simnb-panel .simnb-tile").first
    assert float(re.search(r"\d\.\d+", first.inner_text())[0]) == pytest.approx(far[0], abs=0.002)


def test_a_click_on_a_neighbor_goes_on_from_there_and_the_browser_leads_back(page, embeddings):
    tab_named(page, "images").click()
    page.locator(".simnb-view .simnb-tile").nth(12).click()
    assert shown(page) == neighbors(embeddings, 12)[0]
    second = shown(page)[3]
    page.locator(".simnb-panel .simnb-tile").nth(3).click()
    assert shown(page) == neighbors(embeddings, second)[0]
    assert page.evaluate("document.activeElement.tagName") == "H2"
    page.go_back()
    page.wait_for_function("() => location.hash === '#images/12'")
    assert shown(page) == neighbors(embeddings, 12)[0]
    page.keyboard.press("Escape")
    assert shown(page) == []


def test_thumbnails_show_their_images(page):
    tab_named(page, "images").click()
    canvas = page.locator(".simnb-view .simnb-tile canvas").nth(4)
    canvas.scroll_into_view_if_needed()
    middle = """canvas => { const { width } = canvas;
        return Array.from(canvas.getContext('2d').getImageData(width / 2, width / 2, 1, 1).data) }"""
    page.wait_for_function(
        "() => document.querySelectorAll('.simnb-view .simnb-tile canvas')[4].getContext('2d')"
        ".getImageData(20, 20, 1, 1).data[3] > 0"
    )
    red, green, blue, _ = canvas.evaluate(middle)
    assert green > 150 > max(red, blue)  # image 4 is of class 1


def test_names_and_classes_are_found_by_their_words(page):
    tab_named(page, "images").click()
    page.locator(".simnb-find").fill("СОБАКА file 29")
    assert "5 images" in page.locator(".simnb-sentence:visible").inner_text()  # 29, 290, 293, 296, 299
    assert page.locator(".simnb-view .simnb-tile:visible").count() == 5


def test_moving_the_threshold_rejects_neighbors_and_changes_what_is_counted(page, file, embeddings):
    opened(page, file, "#map/12")
    _, far = neighbors(embeddings, 12)
    nearest = np.array([neighbors(embeddings, i, 1)[1][0] for i in range(COUNT)])
    slider = page.locator(".simnb-slider")
    before = page.locator(".simnb-rates").inner_text()
    for step in (0, int(slider.get_attribute("max")) // 3, int(slider.get_attribute("max"))):
        move(page, step)
        value = page.locator(".simnb-value").inner_text()
        limit = {"none match": -np.inf, "no limit": np.inf}.get(value) or float(value)
        assert page.locator(".simnb-panel [data-beyond]").count() == pytest.approx(np.sum(far > limit), abs=1)
        assert matched(page) == pytest.approx(np.sum(nearest <= limit), abs=3)  # the page shows 3 digits
        within = f"{20 - page.locator('.simnb-panel [data-beyond]').count()} of 20 neighbors"
        assert within in page.locator(".simnb-answer").inner_text()
    assert matched(page) == COUNT
    move(page, 0)
    assert matched(page) == 0
    assert "No match" in page.locator(".simnb-answer").inner_text()
    assert page.locator(".simnb-rates").inner_text() != before


def state_array(page, dtype, *names):
    """An array of what the page was written with."""
    text = page.evaluate("document.getElementById('state').textContent")
    state = json.loads(text)
    for name in names:
        state = state[name]
    return np.frombuffer(base64.b64decode(state["base64"]), dtype)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_what_a_threshold_does_is_what_python_says_of_it(page, examples, calibration, share):
    thresholds = state_array(page, np.float32, "limit", "thresholds")
    step = int(share * len(thresholds))
    move(page, step)
    nearest = state_array(page, np.float32, "_neighbor_distances").reshape(COUNT, -1)[:, 0]
    first = state_array(page, np.int32, "_neighbors").reshape(COUNT, -1)[:, 0]
    within = nearest <= thresholds[step]
    right = (examples.labels == examples.labels[first])[within]
    said = page.locator(".simnb-counts").inner_text()
    assert f"for {within.sum()} of 300 images ({within.mean():.1%})" in said
    assert f"; for {right.mean():.1%} of these" in said
    rates = calibration.curves.rates(thresholds[step])
    said = page.locator(".simnb-rates").inner_text()
    told = re.findall(r"([\d.]+)% [^,]*\((precision|coverage|false acceptance)\)", said)
    names = ("precision", "coverage", "false_acceptance")
    assert told == [(f"{100 * rates[name]:.1f}", name.replace("_", " ")) for name in names]
    assert len({rates[name] for name in names} - {0, 1}) == 3


def test_a_threshold_that_answers_nothing_promises_nothing(page):
    move(page, 0)
    assert "no answer at all" in page.locator(".simnb-rates").inner_text()


def test_a_cutpoint_is_one_press_away(page):
    careful = page.locator(".simnb-mark", has_text="precision ≥ 0.95")
    assert page.locator(".simnb-mark[aria-pressed='true']").inner_text() == "best F1"
    before = matched(page)
    careful.click()
    assert careful.get_attribute("aria-pressed") == "true"
    assert matched(page) < before


def test_mistakes_are_looked_through_class_by_class(page, embeddings, examples):
    wrong = [i for i in range(COUNT) if examples.labels[neighbors(embeddings, i, 1)[0][0]] != i % 3]
    tab_named(page, "mistakes").click()
    assert tab_named(page, "mistakes").inner_text() == f"Mistakes {len(wrong)}"
    assert page.locator(".simnb-pair:visible").count() == min(len(wrong), 60)
    page.locator(".simnb-confusion").select_option(index=1)
    kinds = [(i % 3, int(examples.labels[neighbors(embeddings, i, 1)[0][0]])) for i in wrong]
    most = max(kinds.count(kind) for kind in kinds)
    assert page.locator(".simnb-pair:visible").count() == most
    move(page, 0)
    assert page.locator(".simnb-pair[data-beyond]").count() == most


def test_near_duplicates_leaks_and_labels_are_looked_through(page):
    tab_named(page, "duplicates").click()
    groups = page.locator(".simnb-group:visible")
    images = [
        {int(tile.get_attribute("data-image")) for tile in group.locator(".simnb-tile").all()}
        for group in groups.all()
    ]
    assert sorted(map(sorted, images)) == [[0, 299], [10, 40]]
    groups.first.locator(".simnb-tile").first.click()
    assert len(shown(page)) == 20
    tab_named(page, "leaks").click()
    pair = page.locator(".simnb-pair:visible")
    assert [t.get_attribute("data-image") for t in pair.locator(".simnb-tile").all()] == ["299", "0"]
    assert "in test" in pair.inner_text()
    assert "also in train" in pair.inner_text()
    tab_named(page, "labels").click()
    assert "rather" in page.locator(".simnb-tile:visible").first.inner_text()


def test_a_long_list_grows_when_it_is_asked_to(page):
    tab_named(page, "images").click()
    tiles = page.locator(".simnb-view .simnb-tile:visible")
    assert tiles.count() == 240
    page.locator(".simnb-more:visible").click()
    assert tiles.count() == COUNT
    assert page.evaluate("document.activeElement.dataset.image") == "240"
    assert page.locator(".simnb-more:visible").count() == 0


def test_what_is_selected_on_the_map_is_listed(page):
    box = page.locator(".simnb-map").bounding_box()
    page.locator(".simnb-tool-box").click()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 2, steps=4)
    page.mouse.up()
    count = int(page.locator(".simnb-selected").inner_text().removesuffix(" selected"))
    assert 20 < count < 280
    tab_named(page, "images").click()
    assert f"{count} images, of those selected" in page.locator(".simnb-sentence:visible").inner_text()
    assert page.locator(".simnb-view .simnb-tile:visible").count() == min(count, 240)


def test_tabs_are_walked_by_arrow_keys(page):
    tab_named(page, "map").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.view") == "images"
    assert tab_named(page, "images").get_attribute("aria-selected") == "true"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.view") == "labels"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert len(shown(page)) == 20


def focused(page):
    """Class and image of the element with the focus."""
    return page.evaluate(
        "() => { const { className, dataset } = document.activeElement; return [className, dataset.image] }"
    )


@pytest.mark.parametrize("closing", ["Escape", "cross"])
def test_the_keyboard_gets_to_the_answer_and_back(page, closing):
    def close():
        if closing == "cross":
            page.locator(".simnb-close").focus()
        page.keyboard.press("Escape" if closing == "Escape" else "Enter")
        assert shown(page) == []

    heading = "document.activeElement === document.querySelector('.simnb-chosen h2')"
    tab_named(page, "images").click()
    page.locator(".simnb-view .simnb-tile").nth(12).focus()
    page.keyboard.press("Enter")
    assert page.evaluate(heading)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # a neighbor
    assert page.evaluate(heading)
    close()
    assert focused(page) == ["simnb-tile", "12"]
    page.keyboard.press("Enter")
    tab_named(page, "mistakes").click()
    page.locator(".simnb-chosen h2").focus()
    close()
    assert focused(page)[0] == "simnb-tab"  # the tile is not in this view
    tab_named(page, "map").click()
    page.locator(".simnb-map").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate(heading)
    close()
    assert focused(page)[0] == "simnb-map"


def test_a_click_leaves_the_focus_where_it_is(page):
    tab_named(page, "images").click()
    page.locator(".simnb-view .simnb-tile").nth(12).click()
    assert focused(page) == ["simnb-tile", "12"]


def test_escape_in_a_field_to_search_in_clears_it_and_closes_nothing(page):
    tab_named(page, "images").click()
    page.locator(".simnb-view .simnb-tile").nth(12).click()
    page.locator(".simnb-find").fill("cat")
    page.keyboard.press("Escape")
    assert len(shown(page)) == 20


def test_a_walk_over_the_tabs_is_one_step_back(page):
    tab_named(page, "images").click()
    before = page.evaluate("history.length")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.url.endswith("#leaks")
    assert page.evaluate("history.length") == before


def test_one_thing_is_read_out_when_the_threshold_moves(page):
    spoken = page.locator(":is([role=status], [aria-live], output):not(.simnb-projector *)")
    assert spoken.count() == 1
    assert spoken.get_attribute("class") == "simnb-counts"
    tab_named(page, "images").click()
    page.locator(".simnb-view .simnb-tile").nth(12).click()
    described = page.locator(".simnb-chosen h2").get_attribute("aria-describedby")
    assert "Within the threshold" in page.locator(f"#{described}").inner_text()


@pytest.mark.parametrize("width", [390, 700, 1600])
def test_it_fits_the_window(tab, file, width):
    tab.set_viewport_size({"width": width, "height": 800})
    for view in ("map", "images", "mistakes", "duplicates", "leaks", "labels"):
        opened(tab, file, f"#{view}/5")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        panel = tab.locator(".simnb-panel").bounding_box()
        assert panel["x"] >= 0
        assert panel["x"] + panel["width"] <= width
        if width < 860:  # it lies over the lower half
            assert 380 < panel["y"] < 800


def test_a_narrow_window_keeps_the_chosen_point_in_sight(tab, file):
    tab.set_viewport_size({"width": 390, "height": 800})
    opened(tab, file)
    tab.locator(".simnb-map").focus()
    tab.keyboard.press("ArrowRight")
    tab.evaluate("scrollTo(0, 0)")
    assert tab.locator(".simnb-tip").bounding_box()["y"] > 500  # where the panel will be
    tab.keyboard.press("Enter")
    root, box = tab.locator(".simnb-projector"), tab.locator(".simnb-map").bounding_box()
    tip = tab.locator(".simnb-tip").bounding_box()
    assert root.get_attribute("data-ready")
    assert box["y"] < tip["y"] < tab.locator(".simnb-panel").bounding_box()["y"]


def test_a_narrow_window_shows_on_the_map_what_was_chosen_in_a_list(tab, file):
    tab.set_viewport_size({"width": 390, "height": 800})
    opened(tab, file, "#map")
    assert tab.locator(".simnb-map").bounding_box()["height"] <= 0.6 * 800
    place = """i => {
        const { scale, x, y } = document.querySelector(".simnb-projector").dataset;
        return [Number(scale), Number(x), Number(y)]; }"""
    up = state_array(tab, np.float32, "_points").reshape(-1, 2)[:, 1]
    low = int(np.argmin(up))
    tab_named(tab, "images").click()
    tab.locator(".simnb-find").scroll_into_view_if_needed()
    tab.evaluate("i => { location.hash = `#images/${i}` }", low)
    tab.wait_for_selector(".simnb-panel[data-shown]")
    tab_named(tab, "map").click()
    scale, _, y = tab.evaluate(place)
    at = tab.locator(".simnb-map").bounding_box()["y"] + y - float(up[low]) * scale
    assert 0 < at < tab.locator(".simnb-panel").bounding_box()["y"]


def test_it_is_dark_where_the_reader_wants_it(browser, file):
    page = chromium.new_page(browser)
    page.emulate_media(color_scheme="dark")
    opened(page, file, "#map/5")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = page.locator(".simnb-chosen h2").evaluate("title => getComputedStyle(title).color")
    page.close()
    assert max(map(int, re.findall(r"\d+", ground))) < 40
    assert min(map(int, re.findall(r"\d+", ink))) > 180
    all_is_well(page)


def test_images_without_labels_have_a_page_too(tab, examples, embeddings, tmp_path):
    some = Examples(examples.images[:50], [-1] * 50, (), examples.ids[:50])
    names = [f"folder/file {i}.png" for i in range(50)]
    opened(tab, write_page(tmp_path / "page.html", some, embeddings[:50], names=names))
    assert [button.inner_text() for button in tab.locator(".simnb-tab").all()] == ["Map", "Images 50"]
    assert tab.locator(".simnb-legend:visible").count() == 0
    tab_named(tab, "images").click()
    tab.locator(".simnb-view .simnb-tile:visible").nth(7).click()
    assert tab.locator(".simnb-view .simnb-tile-name").nth(7).inner_text() == "file 7.png"
    assert tab.locator(".simnb-chosen").inner_text().split("\n") == ["file 7.png", "folder/file 7.png"]
    assert "Has a match" in tab.locator(".simnb-answer").inner_text()
    assert tab.locator(".simnb-panel [data-mark]").count() == 0


def test_an_image_without_a_label_is_neither_right_nor_wrong(tab, examples, embeddings, tmp_path):
    labels = np.where(np.arange(COUNT) % 2, -1, examples.labels)
    some = Examples(examples.images, labels, examples.class_names, examples.ids)
    nearest = [neighbors(embeddings, i, 1)[0][0] for i in range(COUNT)]
    one = next(i for i in range(0, COUNT, 2) if labels[nearest[i]] == -1)
    opened(tab, write_page(tmp_path / "page.html", some, embeddings), f"#map/{one}")
    assert tab.locator(".simnb-answer").inner_text().startswith("Has a match without a label, at ")
    others = neighbors(embeddings, one)[0]
    marks = ["" if labels[i] < 0 else "right" if labels[i] == labels[one] else "wrong" for i in others]
    tiles = tab.locator(".simnb-panel .simnb-tile").all()
    cards = tab.locator(".simnb-nearest figure").all()[1:]
    assert [tile.get_attribute("data-mark") or "" for tile in tiles] == marks
    assert [card.get_attribute("data-mark") for card in cards] == marks
    assert [card.locator("span").text_content()[:1] in "✓✗" for card in cards] == [
        mark != "" for mark in marks
    ]
    judged = sum(labels[i] >= 0 and labels[nearest[i]] >= 0 for i in range(COUNT))
    assert f"of the {judged} of these that can be judged" in tab.locator(".simnb-counts").inner_text()
    tab.select_option(".simnb-color-by", "right")
    why = f"no verdict (no label, or alone in its class): {COUNT - judged}"
    assert why in tab.locator(".simnb-key").inner_text()


def test_one_image_has_a_page_too(tab, examples, embeddings, tmp_path):
    opened(tab, write_page(tmp_path / "page.html", examples[:1], embeddings[:1]), "#images/0")
    assert "There is no other image" in tab.locator(".simnb-answer").inner_text()
    assert not tab.locator(".simnb-limit").is_visible()
