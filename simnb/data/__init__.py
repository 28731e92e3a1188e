"""Where images come from: TFDS, folders and tables of images, arrays; and disjoint splits of them."""

from simnb.data.arrays import from_arrays
from simnb.data.examples import ClassSplits, Examples, Splits
from simnb.data.folder import from_folder
from simnb.data.image_file import read_image
from simnb.data.layout import ImageFiles, list_images
from simnb.data.lazy import LazyImages
from simnb.data.loading import default_name, load
from simnb.data.reading import SkippedFiles
from simnb.data.source import from_source
from simnb.data.table import from_table

__all__ = [
    "load",
    "default_name",
    "from_folder",
    "from_table",
    "from_arrays",
    "from_source",
    "list_images",
    "read_image",
    "Examples",
    "Splits",
    "ClassSplits",
    "ImageFiles",
    "LazyImages",
    "SkippedFiles",
]
