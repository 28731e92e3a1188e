"""Printed characters, drawn with the fonts that come with matplotlib: many classes and no download.

A class is a character, named as Unicode names it. Its examples are pictures of it in up to sixteen faces,
black on white, each a little rotated, shifted and resized. Which characters there are:

* Letters whose name begins with Latin, Cyrillic, Greek, Armenian or Georgian, and the digits 0 to 9, whose
  script Unicode calls Common. Not modifier letters, and not what Unicode holds to be the same as another
  character, such as the ohm sign, which is a Greek omega.
* Of these, those that ``FEWEST_FACES`` of the faces have. A face has a character if its table of characters
  says so and the picture holds ink; a face whose file is missing has none.

The split "train" holds Latin, Cyrillic and the digits, "test" the other scripts, which training never sees.
With the same matplotlib and Pillow the pictures are the same; ``data.load("glyphs").fingerprint()`` tells.

``class_metadata`` gives for each class its ``character``, its ``script``, and what it ``looks_like``: the
first character, in the order of Unicode, that it cannot be told apart from, itself for most. The Latin, Greek
and Cyrillic A all look like the Latin one, so that some classes of "test" look like one of "train". To keep
such classes together, split all of them: ``split_classes(by="looks_like", whole=True)``. Two characters look
alike if their pictures, not rotated, shifted and resized, differ by a tenth of their ink or less in three
quarters of the upright faces that have both, and so do two that look like a third.
"""

import collections
import functools
import itertools
import math
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from simnb._terminal import progress_bar
from simnb.data.examples import Examples

#: Files of the faces. Matplotlib's other fonts hold symbols, or letters by other numbers than Unicode's.
FACES = tuple(
    family + style
    for family, styles in {
        "DejaVuSans": ("", "-Oblique", "-Bold", "-BoldOblique"),
        "DejaVuSansMono": ("", "-Oblique", "-Bold", "-BoldOblique"),
        "DejaVuSerif": ("", "-Italic", "-Bold", "-BoldItalic"),
        "STIXGeneral": ("", "Italic", "Bol", "BolIta"),
    }.items()
    for style in styles
)
#: How many of the faces must have a character.
FEWEST_FACES = 12
#: The scripts of each split.
SCRIPTS: dict[str, tuple[str, ...]] = {
    "train": ("Latin", "Cyrillic", "Common"),
    "test": ("Greek", "Armenian", "Georgian"),
}
SCRIPTS["all"] = SCRIPTS["train"] + SCRIPTS["test"]

# Of the side of an image: the size of the font, what the longer side of the ink takes at most, and the canvas
# that characters are drawn on, each from the same point of it: the widest and highest of them fit.
_FONT, _MOST_INK, _CANVAS, _ORIGIN = 0.85, 0.76, 1.65, (0.43, 1.1)
# What examples vary by, up and down: degrees, shares of the side to the right and down, share of the size.
_SEED, _VARIATIONS = 0, (8, 0.05, 0.05, 0.1)
# How much finer than images the canvas is.
_FINER = 2
# Homoglyphs: side of a canvas and how much smaller pictures are compared, and when they are the same.
_COMPARED, _REDUCED, _DIFFERENCE, _FACES_ALIKE = 72, 4, 0.1, 0.75
# Every second face is upright. The others say the same in twice the time.
_UPRIGHT = slice(None, None, 2)


def load_glyphs(split: str, image_size: tuple[int, int] | None, *, progress: bool = True) -> Examples:
    """Return a split; ids are positions in all splits together, class by class and face by face."""
    if not isinstance(split, str) or split not in SCRIPTS:
        raise ValueError(f"split of glyphs must be one of {', '.join(SCRIPTS)}; got {split!r}")
    height, width = image_size or (32, 32)
    folder = _folder()
    found = _catalogue(folder)
    scripts = [_script(character) for character in found.characters]
    labels, _ = np.nonzero(found.present)
    ids = np.flatnonzero(np.isin(np.array(scripts)[labels], SCRIPTS[split]))
    pens = _pens(folder, _FINER * min(height, width))
    images = np.empty((len(ids), height, width, 3), np.uint8)
    end, drawn = 0, np.unique(labels[ids])
    with progress_bar(total=len(drawn), desc="Drawing glyphs", unit="class", shown=progress) as bar:
        for label in drawn:
            faces = np.flatnonzero(found.present[label])
            start, end = end, end + len(faces)
            images[start:end] = _class(found.characters[label], faces, pens, height, width)
            bar.update(1)
    return Examples(
        images,
        labels[ids],
        tuple(map(unicodedata.name, found.characters)),
        ids,
        {"character": found.characters, "script": scripts, "looks_like": found.looks_like},
    )


@dataclass(frozen=True, eq=False)
class _Catalogue:
    """Characters, which faces have them, shape [num_classes, num_faces], and what each one looks like."""

    characters: tuple[str, ...]
    present: NDArray[np.bool_]
    looks_like: tuple[str, ...]


@functools.cache
def _catalogue(folder):
    tables = [_table(file) for file in _files(folder)]
    there = sum(map(bool, tables))
    if there < FEWEST_FACES:
        raise OSError(
            f"glyphs are drawn with {FEWEST_FACES} or more of matplotlib's fonts, such as {FACES[0]}.ttf, "
            f"but {folder} holds {there} of them; install matplotlib again"
        )
    counts = collections.Counter(itertools.chain.from_iterable(tables))
    characters = sorted(character for character, count in counts.items() if count >= FEWEST_FACES)
    present = np.array([[character in table for table in tables] for character in characters])
    pens = _pens(folder, _COMPARED)
    for character, has in zip(characters, present, strict=True):
        has[has] = [pens[face].has_ink(character) for face in np.flatnonzero(has)]
    kept = np.flatnonzero(present.sum(axis=1) >= FEWEST_FACES)
    characters, present = tuple(characters[number] for number in kept), present[kept]
    upright = present[:, _UPRIGHT]
    first = _first_alike(_unvaried(characters, upright, pens[_UPRIGHT]), upright)
    return _Catalogue(characters, present, tuple(characters[number] for number in first))


def _folder():
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf")


def _files(folder):
    """The file of each face, None where there is none."""
    files = [folder / f"{face}.ttf" for face in FACES]
    return [file if file.is_file() else None for file in files]


def _table(file):
    """The characters that a face has, of those that are wanted."""
    from matplotlib.ft2font import FT2Font

    codes = FT2Font(str(file)).get_charmap() if file else {}
    return {chr(code) for code, glyph in codes.items() if glyph and _script(chr(code)) is not None}


def _script(character):
    """Latin, or another of the scripts; None for what is left out."""
    category = unicodedata.category(character)
    if category not in ("Lu", "Ll", "Lt", "Lo", "Nd") or unicodedata.normalize("NFC", character) != character:
        return None
    word = unicodedata.name(character, "").partition(" ")[0].capitalize()
    script = "Common" if word == "Digit" else word
    return script if script in SCRIPTS["all"] else None


class _Pen:
    """Draws characters in one face, white on black, for images whose shorter side has ``side`` pixels."""

    def __init__(self, file, side):
        # The basic layout, because not every Pillow has the other one.
        self._font = ImageFont.truetype(file, _FONT * side, layout_engine=ImageFont.Layout.BASIC)
        self.side, self.canvas_side = side, math.ceil(_CANVAS * side)
        self._origin = tuple(share * side for share in _ORIGIN)
        self._canvas = Image.new("L", (self.canvas_side, self.canvas_side))
        self._draw = ImageDraw.Draw(self._canvas)

    def has_ink(self, character):
        """Whether there is something to draw."""
        left, top, right, bottom = self._font.getbbox(character)
        return left < right and top < bottom

    def drawn(self, character):
        """A canvas with the character on it, and the box of its ink."""
        self._canvas.paste(0, (0, 0, self.canvas_side, self.canvas_side))
        self._draw.text(self._origin, character, fill=255, font=self._font, anchor="ls")
        return self._canvas, self._canvas.getbbox()

    def varied(self, character, variation, height, width):
        """The character rotated, shifted and resized, in the middle of ``height`` x ``width``."""
        canvas, (left, top, right, bottom) = self.drawn(character)
        degrees, to_right, down, larger = variation * _VARIATIONS
        size = min(1, _MOST_INK * self.side / max(right - left, bottom - top)) * (1 + larger)
        cos, sin = math.cos(math.radians(degrees)) / size, math.sin(math.radians(degrees)) / size
        x, y = width / 2 + to_right * self.side, height / 2 + down * self.side
        # Where on the canvas a pixel comes from.
        from_x, from_y = (left + right) / 2 - cos * x + sin * y, (top + bottom) / 2 - sin * x - cos * y
        affine = (cos, -sin, from_x, sin, cos, from_y)
        return canvas.transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)


def _pens(folder, side):
    return [None if file is None else _Pen(file, side) for file in _files(folder)]


def _class(character, faces, pens, height, width):
    """The examples of a class, black on white, shape [num_faces, height, width, 1]."""
    # Drawn from a seed of its own, so that a class does not change where another one is missing.
    rng = np.random.default_rng([_SEED, ord(character)])
    variations = rng.uniform(-1, 1, (len(FACES), len(_VARIATIONS)))
    strip = Image.new("L", (_FINER * width, _FINER * height * len(faces)))
    for place, face in enumerate(faces):
        varied = pens[face].varied(character, variations[face], _FINER * height, _FINER * width)
        strip.paste(varied, (0, _FINER * height * place))
    return 255 - np.asarray(strip.reduce(_FINER)).reshape(len(faces), height, width, 1)


def _unvaried(characters, present, pens):
    """Small pictures, the ink in the middle, zero where a face lacks one."""
    side = _COMPARED + _COMPARED // 2
    pictures = np.zeros((*present.shape, (side // _REDUCED) ** 2), np.float32)
    for character, has, picture in zip(characters, present, pictures, strict=True):
        strip = Image.new("L", (side, side * len(pens)))
        for face in np.flatnonzero(has):
            canvas, box = pens[face].drawn(character)
            left, top, right, bottom = box
            place = (side - right + left) // 2, side * face + (side - bottom + top) // 2
            strip.paste(canvas.crop(box), place)
        picture[:] = np.asarray(strip.reduce(_REDUCED)).reshape(picture.shape)
    return pictures


def _first_alike(pictures, present):
    """The number of the first class that each one looks like."""
    from scipy.sparse.csgraph import connected_components

    alike = np.zeros((len(present), len(present)), np.int16)
    for has, drawn in zip(present.T, pictures.swapaxes(0, 1), strict=True):
        ink = (drawn**2).sum(axis=1)
        squared = ink[:, None] + ink - 2 * drawn @ drawn.T
        alike += (squared <= _DIFFERENCE**2 * np.maximum(ink[:, None], ink)) & has[:, None] & has
    shared = present.astype(np.float32) @ present.T.astype(np.float32)
    _, group = connected_components((alike >= _FACES_ALIKE * shared) & (shared > 0), directed=False)
    return np.unique(group, return_index=True)[1][group]
