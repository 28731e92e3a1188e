"""Build a static site of the committed notebooks, which asks no other machine for anything.

``python notebooks/site.py`` writes an index and a page for each notebook into ``build/html``, with nbconvert, and
one for each other text beside them (the glossary).
Widgets show their stills. A page that a notebook wrote with ``to_html("build/NAME.html")`` becomes part of the
site; a notebook whose page is not there is run first. At the end every link is followed: a broken one is an error.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

HERE = Path(__file__).parent
GENERATOR = "simnb notebooks/site.py"
TITLE = "Metric learning for image similarity search, in notebooks"
WRITES_A_PAGE = re.compile(r"""(\w+)\.to_html\(\s*["']build/([\w.-]+\.html)["']""")
# Of what an output can be shown as, the first that is there. A widget cannot be without a kernel.
SHOWN = ["image/png", "image/svg+xml", "image/jpeg", "text/html", "text/markdown", "text/plain"]


class Notebook:
    """A notebook or a text, and what the pages around it say about it."""

    def __init__(self, path):
        self.path = path
        self.name = f"{path.stem}_solutions" if path.parent.name == "solutions" else path.stem
        self.page = f"{self.name}.html"
        self.content = content_of(path)
        self.text = "\n\n".join(c.source for c in self.content.cells if c.cell_type == "markdown")
        title, *paragraphs = [p for p in self.text.split("\n\n") if not re.match(r"\[?!?\[.*\)$", p)]
        self.title = title.removeprefix("# ").strip()
        self.story = markdown2html(paragraphs[0]) if paragraphs else ""
        needed = " ".join(self.text.partition("**You need**")[2].split())
        minutes = re.search(r"(about \w+ minutes?)\b(?: to run on two cores, and (\w+) to read)?", needed)
        read = f"{minutes[2]} minutes to read, " if minutes and minutes[2] else ""
        self.minutes = f"{read}{minutes[1]}{' to run' if read else ''}".capitalize() if minutes else None
        picture = path.parent / "pictures" / f"{path.stem}.png"
        self.picture = picture.name if picture.exists() else None
        #: The pages that it writes, by the name of the variable that they show.
        code = "\n".join(c.source for c in self.content.cells if c.cell_type == "code")
        self.pages = dict(WRITES_A_PAGE.findall(code))

    def headings(self):
        """(id, text) of each section, as the page will have them."""
        found = re.findall(r'<h2 id="([^"]*)">(.*?)<a class="anchor-link"', markdown2html(self.text))
        return [(anchor, re.sub(r"<[^>]*>", "", text)) for anchor, text in found]

    def prepare(self):
        """Note in the metadata of cells and outputs what the template shows; on a copy of the notebook."""
        content, heading = nbformat.from_dict(self.content), self.title
        for cell in content.cells:
            headings = re.findall(r"^#+ (.*)$", cell.source, re.M) if cell.cell_type == "markdown" else []
            heading = headings[-1] if headings else heading
            if cell.cell_type != "code":
                continue
            solution = re.match(r"# (Solution\s*\d*)", cell.source)
            cell.metadata["solution"] = solution[1].strip() if solution else None
            hidden = cell.metadata.get("jupyter", {}).get("source_hidden") and not solution
            cell.metadata["folded"] = cell.source.splitlines()[0].removeprefix("# ") if hidden else None
            last = cell.source.strip().splitlines()[-1] if cell.source.strip() else ""
            written = [page for _, page in WRITES_A_PAGE.findall(cell.source)]
            cell.metadata["pages"] = written or [self.pages[last]] if last in self.pages else written
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    name = output.data.get("text/plain", "")
                    still = bool(name) and not name.startswith("<")  # not <Figure size ...>
                    output.metadata["still"] = still
                    said = output.metadata.get("image/png", {}).get("alt")
                    about = said or f"Figure under: {heading.replace('`', '')}"
                    output.metadata["about"] = name if still else about
        return content


def content_of(path):
    """A notebook as it is, and a text in Markdown as a notebook of one cell."""
    if path.suffix == ".ipynb":
        return nbformat.read(path, 4)
    cell = nbformat.v4.new_markdown_cell(path.read_text(encoding="utf-8"), id=path.stem)
    return nbformat.v4.new_notebook(cells=[cell])


def pages_of(notebooks, folder):
    """Run the notebooks whose pages are not in ``build`` beside them, or older than their text."""
    for notebook in notebooks:
        paths = [notebook.path.parent / "build" / page for page in notebook.pages.values()]
        text = notebook.path.parent / "py" / f"{notebook.name}.py"
        if all(path.exists() and path.stat().st_mtime >= text.stat().st_mtime for path in paths):
            continue
        print(f"{notebook.name} is run, since it writes {', '.join(path.name for path in paths)}", flush=True)
        command = [sys.executable, HERE / "run.py", "--to", folder, notebook.path]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{notebook.path} failed")
        # The pictures committed are of CIFAR-10; a page of other images should not be a surprise.
        print("\n".join(line.strip() for line in done.stdout.splitlines() if "Data set:" in line))
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            sys.exit(f"{notebook.path} ran, and did not write {', '.join(missing)}")
    return {page: n.path.parent / "build" / page for n in notebooks for page in n.pages.values()}


def build(source, notebooks, pages, target):
    """Write the site of the notebooks of a folder, with the pages that they wrote, into another."""
    for folder in ("notebooks", "pages", "pictures"):
        (target / folder).mkdir(parents=True)
    for name, path in pages.items():
        shutil.copy(path, target / "pages" / name)
    site = {"generator": GENERATOR, "style": style(), "glossary": (source / "GLOSSARY.md").exists()}
    for before, notebook, after in zip([None, *notebooks], notebooks, [*notebooks[1:], None], strict=False):
        write_page(source, notebook, target, {**site, "before": before, "after": after})
    texts = [path for path in source.glob("*.md") if path.name != "README.md"]
    for other in map(Notebook, sorted([*source.glob("solutions/*.ipynb"), *texts])):
        write_page(source, other, target, site)
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), trim_blocks=True)
    site |= {"title": TITLE, "notebooks": notebooks}
    page = templates.get_template("index.html.j2").render(site=site)
    (target / "index.html").write_text(to_pages(page), encoding="utf-8")


def write_page(source, notebook, target, site):
    """Write the page of a notebook, and put beside it what the page shows."""
    about = {"name": notebook.name, "headings": notebook.headings(), "title": notebook.title}
    about["file"] = f"{notebook.name}{notebook.path.suffix}"
    page = export(notebook, {**site, **about})
    (target / notebook.page).write_text(page, encoding="utf-8")
    shutil.copy(notebook.path, target / "notebooks" / about["file"])
    if notebook.picture:
        shutil.copy(source / "pictures" / notebook.picture, target / "pictures")
    for name in map(unquote, Links(page).loads):
        if not urlsplit(name).scheme and ".." not in name and (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target / name)


def export(notebook, site):
    """The page of a notebook."""
    exporter = HTMLExporter(
        template_name="basic",
        template_file="notebook.html.j2",
        extra_loaders=[FileSystemLoader(HERE / "templates")],
        config=Config(NbConvertBase={"display_data_priority": SHOWN}),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    page, _ = exporter.from_notebook_node(notebook.prepare(), {"site": site})
    return to_pages(page)


def to_pages(page):
    """Let links to notebooks and texts lead to their pages; those to the files themselves name a folder, and stay."""
    page = re.sub(r'href="solutions/([\w-]+)\.ipynb(?=["#])', r'href="\1_solutions.html', page)
    return re.sub(r'href="(?:\.\./)?([\w-]+)\.(?:ipynb|md)(?=["#])', r'href="\1.html', page)


def style():
    """The style sheet, with the colours of code for light and for dark."""
    light, dark = (
        HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("default", "github-dark")
    )
    return "\n".join(
        [
            light,
            "@media (prefers-color-scheme: dark) {",
            dark,
            "}",
            (HERE / "templates" / "site.css").read_text(),
        ]
    )


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
            elif parts.fragment:
                anchors = next(page.anchors for other, page in pages.items() if other.resolve() == there)
                if unquote(parts.fragment) not in anchors:
                    wrong.append(f"{name}: {link} names no anchor there")
    return wrong, elsewhere


def main(arguments=None):
    """Build the site, and follow its links; the exit status is not 0 where one is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--from", dest="source", type=Path, default=HERE, metavar="FOLDER", help="of notebooks"
    )
    parser.add_argument(
        "--to", dest="target", type=Path, default=HERE.parent / "build" / "html", metavar="FOLDER"
    )
    options = parser.parse_args(arguments)
    target, index = options.target, options.target / "index.html"
    ours = index.is_file() and GENERATOR in index.read_text(encoding="utf-8")
    if not ours and target.exists() and any(target.iterdir()):
        sys.exit(f"{target} holds something else than a site of notebooks; nothing was written")
    notebooks = [Notebook(path) for path in sorted(options.source.glob("*.ipynb"))]
    with tempfile.TemporaryDirectory() as folder:
        pages = pages_of(notebooks, folder)
    shutil.rmtree(target, ignore_errors=True)  # only now, when nothing is likely to fail any more
    build(options.source, notebooks, pages, target)
    wrong, elsewhere = check(target)
    print(f"{len(notebooks)} notebooks; {len(elsewhere)} links to other machines, not followed:")
    for link in sorted(elsewhere):
        print(f"    {link}")
    if wrong:
        sys.exit("\n".join(["Not as it should be:", *(f"    {line}" for line in wrong)]))
    print(f"All other links are good. Open {index}")


if __name__ == "__main__":
    main()
