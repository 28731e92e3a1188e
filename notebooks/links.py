"""The links of the site: from sources to pages, and whether every one leads somewhere."""

import os
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]


def in_repository(path, first=None, last=None):
    """The address of a file of the repository, and of some of its lines."""
    lines = "" if first is None else f"#L{first}" if last in (None, first) else f"#L{first}-L{last}"
    return f"{REPOSITORY}/blob/HEAD/{path}{lines}"


def to_pages(page, source, place, pages):
    """Let links to sources lead to their pages, and those to other files of the repository lead there.

    Args:
        page: In HTML.
        source: The file that it was made of, which its links start from.
        place: Where the site has the page.
        pages: Page of each source, by its path.
    """

    def followed(found):
        parts = urlsplit(found[1])
        if parts.scheme or parts.netloc or not parts.path:
            return found[0]
        there = (source.parent / unquote(parts.path)).resolve()
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        if there in pages:
            way = os.path.relpath(pages[there], Path(place).parent)
            return f'href="{Path(way).as_posix()}{anchor}"'
        if there.is_relative_to(ROOT) and there.exists():
            return f'href="{in_repository(there.relative_to(ROOT).as_posix())}{anchor}"'
        return found[0]

    return re.sub(r'href="([^"]*)"', followed, page)


def distinct(page):
    """A page in which no heading has the anchor of another, as those of a changelog do."""
    seen = {}

    def numbered(found):
        heading, anchor = found[0], found[2]
        seen[anchor] = count = seen.get(anchor, 0) + 1
        if count == 1:
            return heading
        return heading.replace(f'{anchor}"', f'{anchor}-{count}"')

    return re.sub(r'<(h[1-6]) id="([^"]*)">.*?</\1>', numbered, page, flags=re.S)


class Links(HTMLParser):
    """What a page leads to, what it loads, and what in it can be led to."""

    LOADS = ("src", "srcset", "poster", "data", "background")

    def __init__(self, page):
        super().__init__()
        self.leads, self.loads, self.anchors = [], [], []
        self._in_style = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        """Sort the attributes of a tag."""
        self._in_style = tag == "style"
        for name, value in attributes:
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.append(value)
            elif name in ("href", "action", "xlink:href"):
                (self.loads if tag in ("link", "image", "use") else self.leads).append(value or "")
            elif name in self.LOADS:
                self.loads.append(value or "")
            elif name == "style":
                self._look_into_style(value or "")

    def handle_data(self, data):
        """Look for what a style sheet loads."""
        if self._in_style:
            self._look_into_style(data)

    def handle_endtag(self, tag):
        """Leave the style sheet."""
        self._in_style = False

    def _look_into_style(self, text):
        self.loads += re.findall(r"""url\(\s*["']?([^"')]+)""", text)
        self.loads += re.findall(r"""@import\s+["']([^"']+)""", text)


def check(folder):
    """Follow every link of every page.

    Returns:
        A list of what is wrong, in words; and the links to other machines, which are not followed.
    """
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    anchors = {path.resolve(): set(links.anchors) for path, links in pages.items()}
    wrong, elsewhere = [], set()
    for path, links in pages.items():
        name = path.relative_to(folder)
        twice = {anchor for anchor in links.anchors if links.anchors.count(anchor) > 1}
        wrong += [f"{name}: the anchor {anchor!r} is there more than once" for anchor in sorted(twice)]
        for link in links.loads + links.leads:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if link in links.loads:
                    wrong.append(f"{name}: loads {link} from another machine")
                elif parts.scheme != "https":
                    wrong.append(f"{name}: {link} is not https")
                elsewhere.add(link)
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if not there.is_file() or not there.is_relative_to(folder.resolve()):
                wrong.append(f"{name}: {link} is not there")
            elif parts.fragment and not {parts.fragment, unquote(parts.fragment)} & anchors[there]:
                wrong.append(f"{name}: {link} names no anchor there")
    return wrong, elsewhere
