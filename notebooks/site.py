"""Build the site: the course, how-to pages and the reference. It asks no other machine for anything.

``python -m notebooks.site`` writes into ``build/html`` a page for each committed notebook, with nbconvert, one for
each text beside them, for the measurements and the changelog, and one for each room of simnb, from its docstrings.
Widgets show their stills. A page that a notebook wrote with ``to_html("build/NAME.html")`` becomes part of the
site; a notebook whose page is not there is run first, and so is the how-to that writes the page on the index.
At the end every link is followed: a broken one is an error.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from jinja2 import Environment, FileSystemLoader
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from notebooks import links, reference

HERE = Path(__file__).parent
GENERATOR = "simnb notebooks/site.py"
TITLE = "Metric learning for image similarity search, in notebooks"
#: Texts of other folders that have a page, by their path below the root.
FURTHER = {"CHANGELOG.md": "changelog", "tests/benchmarks/README.md": "measurements"}
#: The how-to whose code writes the page to try on the index, and that page.
LIVE = ("page_to_send", "threshold.html")
#: Where the scripts and words of that page are.
MAKERS = [HERE.parent / "simnb" / room for room in ("page", "widgets")]
WRITES_A_PAGE = re.compile(r"""(\w+)\.to_html\(\s*["']build/([\w.-]+\.html)["']""")
# Of what an output can be shown as, the first that is there. A widget cannot be without a kernel.
SHOWN = ["image/png", "image/svg+xml", "image/jpeg", "text/html", "text/markdown", "text/plain"]


class Notebook:
    """A notebook or a text, and what the pages around it say about it."""

    def __init__(self, path):
        self.path = path
        further = [name for file, name in FURTHER.items() if path.as_posix().endswith(f"/{file}")]
        self.name = further[0] if further else path.stem
        self.name += "_solutions" if path.parent.name == "solutions" else ""
        self.page = f"howto/{self.name}.html" if path.parent.name == "howto" else f"{self.name}.html"
        self.content = content_of(path)
        self.text = "\n\n".join(c.source for c in self.content.cells if c.cell_type == "markdown")
        title, *paragraphs = [p for p in self.text.split("\n\n") if not re.match(r"\[?!?\[.*\)$", p)]
        self.title = title.removeprefix("# ").strip()
        self.story = markdown2html(without_sections(paragraphs[0])) if paragraphs else ""
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

    def code(self):
        """(anchor of the section, Python) of each cell, or block of a text."""
        if self.path.suffix == ".md":
            blocks = re.findall(r"```python\n(.*?)```", self.text, re.S)
            return [("", block) for block in blocks]
        anchors, found = iter([anchor for anchor, _ in self.headings()]), []
        anchor = ""
        for cell in self.content.cells:
            if cell.cell_type == "markdown":
                for _ in re.findall(r"^## ", cell.source, re.M):
                    anchor = next(anchors, "")
            elif cell.cell_type == "code":
                found.append((anchor, cell.source))
        return found

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
            cell.metadata["live"] = self.pages.get(last)
            cell.metadata["pages"] = [page for page in written if page != self.pages.get(last)]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    name = output.data.get("text/plain", "")
                    still = bool(name) and not name.startswith("<")  # not <Figure size ...>
                    output.metadata["still"] = still
                    said = output.metadata.get("image/png", {}).get("alt")
                    alone = name if still else f"Figure under: {heading.replace('`', '')}"
                    output.metadata["about"] = said or alone
        return content


def without_sections(paragraph):
    """A paragraph without what it says of numbered sections, which away from its page say nothing."""
    paragraph = re.sub(r"\s\((?:sections? )?\d[\d to,and]*\)", "", paragraph)
    return re.sub(r"(?<=[.!?])\s+Sections? \d[^.]*\.", "", paragraph)


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


def live_page(source):
    """The page to try on the index: the code of its how-to is run, unless the page is newer than what makes it."""
    name, page = LIVE
    text, path = source / "howto" / f"{name}.md", source / "build" / page
    if not text.exists():
        return {}
    makers = [text, *(file for room in MAKERS for file in room.glob("*.*"))]
    if not path.exists() or path.stat().st_mtime < max(file.stat().st_mtime for file in makers):
        print(f"{text.name} is run, since it writes {page}", flush=True)
        path.parent.mkdir(exist_ok=True)
        code = "\n".join(block for _, block in Notebook(text).code())
        subprocess.run([sys.executable, "-c", code], cwd=path.parent, check=True)
    return {page: path}


def build(source, notebooks, pages, target):
    """Write the site of the notebooks of a folder, with the pages that they wrote, into another."""
    for folder in ("notebooks", "pages", "pictures", "howto", "reference"):
        (target / folder).mkdir(parents=True)
    for name, path in pages.items():
        shutil.copy(path, target / "pages" / name)
    texts = [path for path in source.glob("*.md") if path.name != "README.md"]
    further = [path for file in FURTHER if (path := source.parent / file).exists()]
    others = list(map(Notebook, [*sorted([*source.glob("solutions/*.ipynb"), *texts]), *further]))
    howtos = list(map(Notebook, sorted(source.glob("howto/*.md"))))
    names = reference.Names(reference.read_rooms())
    for notebook in [*notebooks, *howtos]:
        number = re.match(r"\d+", notebook.name)
        title = f"{number[0]} {notebook.title}" if number else notebook.title
        names.note(notebook.code(), notebook.page, title)
    every = [*notebooks, *others, *howtos]
    examples = names.examples()
    site = {
        "generator": GENERATOR,
        "style": style(),
        "names": names,
        "examples": examples,
        "in_repository": links.in_repository,
        "repository": links.REPOSITORY,
        "pages": {notebook.path.resolve(): notebook.page for notebook in every}
        | {(source / "README.md").resolve(): "index.html"},
        "bar": bar({notebook.page for notebook in every}, howtos),
        "notebooks": notebooks,
        "howtos": howtos,
        "further": [n for n in others if n.name in ("TOOLBOX", "MIGRATION", *FURTHER.values())],
        "live": LIVE[1] if LIVE[1] in pages else None,
    }
    for before, notebook, after in zip([None, *notebooks], notebooks, [*notebooks[1:], None], strict=False):
        write_page(source, notebook, target, {**site, "before": before, "after": after})
    for other in [*others, *howtos]:
        write_page(source, other, target, site)
    write_templates(target, site)
    (target / "search.js").write_text(search_script(every, names), encoding="utf-8")


def bar(pages, howtos):
    """(words, page) of the ways that every page has."""
    ways = {"index.html": "Course"} | ({"howto/index.html": "How-to"} if howtos else {})
    ways |= {"reference/index.html": "Reference", "GLOSSARY.html": "Glossary", "changelog.html": "Changelog"}
    written = {"index.html", "howto/index.html", "reference/index.html"} | pages
    return [(words, page) for page, words in ways.items() if page in written]


def write_page(source, notebook, target, site):
    """Write the page of a notebook, and put beside it what the page shows."""
    about = {"name": notebook.name, "headings": notebook.headings(), "title": notebook.title}
    about |= {"root": "../" * notebook.page.count("/"), "page": notebook.page, "file": None}
    if notebook.path.parent in (source, source / "solutions"):
        about["file"] = f"{notebook.name}{notebook.path.suffix}"
        shutil.copy(notebook.path, target / "notebooks" / about["file"])
    page = export(notebook, {**site, **about})
    (target / notebook.page).write_text(page, encoding="utf-8")
    if notebook.picture:
        shutil.copy(source / "pictures" / notebook.picture, target / "pictures")
    for name in map(unquote, links.Links(page).loads):
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
    page = links.distinct(links.to_pages(page, notebook.path, notebook.page, site["pages"]))
    page = site["names"].link(page, root=site["root"], old_names=notebook.name == "MIGRATION")
    # Code that is longer than a line of a telephone goes on where a name or an argument begins.
    return re.sub(r"<code>[^<>\s]{35,}</code>", lambda code: may_go_on(code[0]), page)


def may_go_on(code):
    """Code that may go on in the next line where a name or an argument begins."""
    return re.sub(r"(?=\.[a-z])|(?<=\()", "<wbr>", code)


def write_templates(target, site):
    """Write the pages that no file is the source of: the index, the list of how-tos, and the reference."""
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), trim_blocks=True, lstrip_blocks=True)

    def write(template, page, title, **about):
        def story(notebook):
            return links.to_pages(notebook.story, notebook.path, page, site["pages"])

        about |= {"title": title, "page": page, "root": "../" * page.count("/"), "story": story}
        text = templates.get_template(template).render(site={**site, **about})
        (target / page).write_text(text, encoding="utf-8")

    write("index.html.j2", "index.html", TITLE)
    if site["howtos"]:
        write("howtos.html.j2", "howto/index.html", "How to")
    rooms = site["names"].rooms
    write("rooms.html.j2", "reference/index.html", "Reference: every public name")
    for room in rooms:
        write("room.html.j2", room.page, room.module.path, room=room)


def search_script(notebooks, names):
    """The script of the search, with what it looks through: names, titles, sections and words of the glossary."""
    found = [
        (each.dotted, each.page, each.summary.replace("``", "")) for each in [*names.entries, *names.rooms]
    ]
    for notebook in notebooks:
        found.append((notebook.title, notebook.page, ""))
        found += [(text, f"{notebook.page}#{anchor}", notebook.title) for anchor, text in notebook.headings()]
        words = re.findall(r'<a id="([\w-]+)"></a>\*\*(.*?)\*\*', notebook.text)
        found += [(word, f"{notebook.page}#{anchor}", notebook.title) for anchor, word in words]
    script = (HERE / "templates" / "search.js").read_text(encoding="utf-8")
    listed = ",\n".join(json.dumps(each, ensure_ascii=False) for each in found)
    return f"const PAGES = [\n{listed}\n];\n{script}"


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
        pages = pages_of(notebooks, folder) | live_page(options.source)
    shutil.rmtree(target, ignore_errors=True)  # only now, when nothing is likely to fail any more
    build(options.source, notebooks, pages, target)
    wrong, elsewhere = links.check(target)
    files = {link for link in elsewhere if link.startswith(f"{links.REPOSITORY}/blob/HEAD/")}
    print(f"{len(notebooks)} notebooks; {len(files)} links to lines of the repository; ", end="")
    print(f"{len(elsewhere - files)} links to other machines, not followed:")
    for link in sorted(elsewhere - files):
        print(f"    {link}")
    if wrong:
        sys.exit("\n".join(["Not as it should be:", *(f"    {line}" for line in wrong)]))
    print(f"All other links are good. Open {index}")


if __name__ == "__main__":
    main()
