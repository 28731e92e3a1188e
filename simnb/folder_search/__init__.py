"""From a folder of images to a search of it, without training, and what was found in it, in sentences."""

from simnb.folder_search.result import FolderSearch
from simnb.folder_search.steps import CONFIDENCE, PROMISE, image_size, search_folder

__all__ = ["search_folder", "FolderSearch", "image_size", "PROMISE", "CONFIDENCE"]
