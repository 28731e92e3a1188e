"""Embedding through ``backbone``, from memory and from JPEG files, against the bare network.

``python -m tests.benchmarks.embedding`` prints what ``make bench`` takes. The ways are measured in turns, and
each ratio is that of neighbors in time.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from simnb import data
from simnb._keras import keras
from simnb.models import backbone, embed

NAME, SIDE, COUNT, BATCH, ROUNDS = "EfficientNetB0", 224, 128, 32, 5
PHOTO = (500, 375)  # width and height of the files


def photographs(folder):
    """Files of noise as smooth as a photograph's."""
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        noise = rng.integers(0, 256, (PHOTO[1] // 12, PHOTO[0] // 12, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize(PHOTO, Image.Resampling.BICUBIC)
        path = Path(folder, f"class{i % 2}", f"{i}.jpg")
        path.parent.mkdir(exist_ok=True)
        image.save(path, quality=90)


def bare(network, images):
    """Average features of images in memory, batch by batch, by Keras alone."""
    for start in range(0, len(images), BATCH):
        network.predict_on_batch(images[start : start + BATCH])


def embedding():
    """Images a second through ``embed(backbone(...))`` over those of the network alone, from memory."""
    network = getattr(keras.applications, NAME)(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg"
    )
    model = backbone(NAME, input_shape=(SIDE, SIDE, 3), embedding_size=0, pooling="average")
    with tempfile.TemporaryDirectory() as folder:
        photographs(folder)
        files = data.from_folder(folder, image_size=(SIDE, SIDE), lazy=True, progress=False).images
        memory, times = np.asarray(files), []
        ways = (
            lambda: bare(network, memory),
            lambda: embed(model, memory, batch_size=BATCH, progress=False),
            lambda: embed(model, files, batch_size=BATCH, progress=False),
        )
        for turn in range(ROUNDS + 1):
            seconds = {}
            for way in ways[:: 1 if turn % 2 else -1]:
                start = time.perf_counter()
                way()
                seconds[way] = time.perf_counter() - start
            times.append([seconds[way] for way in ways])
    times = np.array(times[1:])  # the first round compiles
    rates = ", ".join(f"{COUNT / one:.1f}" for one in np.median(times, axis=0))
    print(f"{NAME}, images/s: {rates} of the bare network, from memory, from JPEG files")
    ratios = np.median(times[:, :1] / times, axis=0)
    name = f"backbone {NAME}, {SIDE} x {SIDE}"
    return {
        f"{name}: images/s / bare network's": (float(ratios[1]), ">=", 0.95),
        f"{name}: from JPEG / bare network's": (float(ratios[2]), ">=", 0.8),
    }


if __name__ == "__main__":
    for line, (value, sign, limit) in embedding().items():
        print(f"{line}: {value:.3f} ({sign} {limit})")
