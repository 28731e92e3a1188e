"""Looking after a collection: what compares all images with one another, and what reads it a second time."""

import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from PIL import Image

from simnb import data
from simnb.collection import near_duplicates
from simnb.index import open_index
from simnb.models import embed

PLANTED = 0.01  # share of the images that are there a second time, with a little noise


def embedded(count, dim, seed=0, free=24):
    """Embeddings of ``free`` directions in ``dim`` values, the last of them nearly copies of the first."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, free), dtype=np.float32)
    copies = int(PLANTED * count)
    rows[-copies:] = rows[:copies] + 0.01 * rng.standard_normal((copies, free), dtype=np.float32)
    return rows @ rng.standard_normal((free, dim), dtype=np.float32)


def duplicates(count=50_000, dim=384):
    """Near-duplicates of many images: the limits are those of a machine with two cores."""
    index = open_index()
    index.add(embedded(count, dim))
    tracemalloc.start()
    start = time.perf_counter()
    found = near_duplicates(index)
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    name = f"near_duplicates {count:,} x {dim}"
    return {
        f"{name}, s": (seconds, "<=", 60),
        f"{name}: peak MB above the index": (peak, "<=", 1_000),
        f"{name}: groups / planted ones": (len(found) / int(PLANTED * count), ">=", 1.0),
    }


def kept(count=5_000):
    """A folder of photographs that did not change, embedded a second time: every file is looked at."""
    rng = np.random.default_rng(0)

    def run(folder):
        examples = data.from_folder(folder / "photos", image_size=(224, 224), lazy=True)
        return embed(mean_colour, examples.images, kept=folder / "kept.sqlite", known_as="mean colour")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            file = folder / "photos" / f"{number % 50}" / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            tiles = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(tiles).resize((640, 480)).save(file)
        time.sleep(4)  # a file that changed in the last seconds is decoded to be sure
        first = run(folder)
        start = time.perf_counter()
        again = run(folder)
        seconds = time.perf_counter() - start
        np.testing.assert_array_equal(again, first)
    return {f"embed {count:,} unchanged files of a folder again, s": (seconds, "<=", 5)}


def mean_colour(images):
    """Embeddings of hardly any time, so that what is measured is the rest."""
    return np.asarray(images, np.float32).mean(axis=(1, 2)) + 1


BENCHMARKS = (duplicates, kept)
