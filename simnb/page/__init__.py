"""One page to send: what was found in a collection, a map of it, search by a click, a threshold to move."""

from simnb.page.writing import write_page

__all__ = ["write_page"]
