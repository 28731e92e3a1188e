"""The page of a folder: what it gets, and when it is written anew."""

import numpy as np
import pytest
from PIL import Image

from simnb import data
from simnb.data import image_file
from simnb.folder_search import result, search_folder


@pytest.fixture
def written(monkeypatch):
    """What ``write_page`` was called with, each time."""
    calls, write = [], result.write_page

    def noted(path, examples, embeddings, **options):
        calls.append((examples, options))
        return write(path, examples, embeddings, **options)

    monkeypatch.setattr(result, "write_page", noted)
    return calls


def test_the_page_shows_what_was_found_and_images_in_their_proportions(pictures, pixels, tmp_path, written):
    found = search_folder(pictures, pixels)
    path = found.write_page(tmp_path / "new" / "page.html")
    ((examples, options),) = written
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert options["facts"][:-1] == found.facts
    assert options["names"][0] == found.files[0].relative_to(pictures).as_posix()
    for name, value in {"duplicates": found.duplicates, "leaks": found.leaks}.items():
        assert options[name] is value
    assert options["mislabelled"] is found.mislabelled
    assert options["calibration"] is found.search.calibration
    assert examples.images.shape == (120, 256, 256, 3)
    np.testing.assert_array_equal(examples.labels, found.examples.labels)
    sizes = [data.read_image(file).shape[:2] for file in found.files]
    wide = next(row for row, size in enumerate(sizes) if np.ptp(size) > 20)
    height, width = sizes[wide]
    shown = (examples.images[wide] < 250).any(axis=-1)
    across, down = shown.any(axis=0).sum(), shown.any(axis=1).sum()
    assert max(across, down) == 256
    np.testing.assert_allclose(across / down, width / height, rtol=0.05)


def test_many_images_are_read_smaller(pictures, pixels, tmp_path, written, monkeypatch):
    monkeypatch.setattr(result, "_SIDES", ((10, 256), (119, 128)))
    search_folder(pictures, pixels).write_page(tmp_path / "page.html")
    assert written[0][0].images.shape == (120, 64, 64, 3)


def test_a_page_is_left_as_it_is_while_nothing_has_changed(folder, pixels, tmp_path, written, monkeypatch):
    monkeypatch.setattr(image_file, "_FRESH", 0)  # else files that are seconds old may yet change
    page = tmp_path / "page.html"
    search_folder(folder, pixels).write_page(page)
    before = page.read_bytes()
    assert search_folder(folder, pixels).write_page(page) == page
    assert (len(written), page.read_bytes()) == (1, before)
    search_folder(folder, pixels, promise="precision >= 0.5").write_page(page)
    assert len(written) == 2
    search_folder(folder, pixels, promise="precision >= 0.5").write_page(page, title="Mine")
    assert len(written) == 3
    file = next((folder / "nine").glob("*.png"))
    with Image.open(file) as image:  # another image in the same file
        turned = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned.save(file)
    search_folder(folder, pixels, promise="precision >= 0.5").write_page(page, title="Mine")
    assert len(written) == 4
    page.write_text("something else", encoding="utf-8")
    search_folder(folder, pixels, promise="precision >= 0.5").write_page(page, title="Mine")
    assert len(written) == 5
    assert "something else" not in page.read_text(encoding="utf-8")


def test_a_page_of_files_that_may_still_change_is_written_each_time(
    folder, pixels, tmp_path, written, monkeypatch
):
    monkeypatch.setattr(image_file, "_FRESH", 10**18)
    found = search_folder(folder, pixels)
    for _ in range(2):
        found.write_page(tmp_path / "page.html")
    assert len(written) == 2
