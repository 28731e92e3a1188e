"""What a page holds, read as a browser reads it."""

import base64
import json
from html.parser import HTMLParser

import numpy as np

from simnb.data import Examples, from_arrays


class Page(HTMLParser):
    """The elements of a page, and the text of its title and of each script."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self._inside = [], {"title": [], "script": []}, None
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in self.texts:
            self.texts[tag].append("")
            self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.texts[self._inside][-1] += data

    @property
    def state(self):
        """What the script gets; bytes as bytes."""
        return json.loads(self.texts["script"][0], object_hook=_bytes)

    def array(self, name, dtype, part=None):
        """An array of the state, or of a part of it."""
        state = self.state if part is None else self.state[part]
        return np.frombuffer(state[name], dtype)


def _bytes(value):
    return base64.b64decode(value["base64"]) if set(value) == {"base64"} else value


def collection(count=40, classes=3, dim=6, size=(8, 8), first_id=100):
    """Examples of some classes whose ids are no positions, and embeddings that mostly tell them apart."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = rng.integers(0, 60, (count, *size, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels % 3] += 150
    made = from_arrays(images, [f"class {label}" for label in labels])
    ids = first_id + np.arange(count)[::-1] * 3
    examples = Examples(made.images, made.labels, made.class_names, ids)
    embeddings = rng.normal(size=(classes, dim))[labels] + rng.normal(size=(count, dim)) * 0.6
    return examples, embeddings.astype("float32")


def unlabelled(examples):
    """The same without labels, as an unlabelled folder has them."""
    return Examples(examples.images, [-1] * len(examples), (), examples.ids)
