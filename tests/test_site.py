"""The site: complete, offline, without a broken link."""

import base64
import io
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from notebooks import links, reference, site

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
HOSTILE = '"><img src=x onerror=alert(1)>'

FIRST = """# Look `closely`: first

[Open in Binder](https://mybinder.org/v2/gh/a/b/HEAD)

You look at *one* thing, and [then](02_second.ipynb) at another.

**You need** nothing; about
2 minutes with CIFAR-10.

## 1. See

![drawn](drawn/by%20hand.png) The [second](02_second.ipynb#1.-Touch), and [above](#1.-See).
"""


def png():
    picture = io.BytesIO()
    Image.new("RGB", (4, 3), "teal").save(picture, "PNG")
    return picture.getvalue()


def alternatives(page):
    """The texts that stand for the images of a page."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append(dict(attributes)) if tag == "img" else None
    parser.feed(page)
    return [image.get("alt") for image in found]


def scripts(page):
    """Where each script of a page comes from; None for one that is in the page."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, given: (
        found.append(dict(given).get("src")) if tag == "script" else None
    )
    parser.feed(page)
    return found


def drawn(text):
    """An output with a picture; of a widget when ``text`` is its repr."""
    data = {"image/png": base64.b64encode(png()).decode(), "text/plain": text}
    if not text.startswith("<Figure"):
        data["application/vnd.jupyter.widget-view+json"] = {"model_id": "0"}
    return new_output("display_data", data)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Two small notebooks, of which the first writes a page; and a reference of one room."""
    rooms = [room for room in reference.read_rooms() if room.name == "samplers"]
    monkeypatch.setattr(reference, "read_rooms", lambda: rooms)
    folder = tmp_path / "notebooks"
    cells = [
        new_markdown_cell(FIRST),
        new_code_cell("plt.show()", outputs=[drawn("<Figure size 640x480 with 1 Axes>")]),
        new_code_cell("shown = Projector(emb)\nshown", outputs=[drawn(f"Projector({HOSTILE})")]),
        new_code_cell('page = shown.to_html("build/shown.html")', execution_count=1),
        new_code_cell(
            "# Solution 1: because it is 42\nprint(42)", outputs=[new_output("stream", text="it is 42\n")]
        ),
    ]
    for name in ("py", "build", "pictures", "drawn"):
        (folder / name).mkdir(parents=True)
    state = {"application/vnd.jupyter.widget-state+json": {"state": {"0": {}}, "version_major": 2}}
    nbformat.write(new_notebook(cells=cells, metadata={"widgets": state}), folder / "01_first.ipynb")
    second = [new_markdown_cell("# Second\n\nIt is short.\n\n## 1. Touch")]
    nbformat.write(new_notebook(cells=second), folder / "02_second.ipynb")
    (folder / "py" / "01_first.py").touch()
    (folder / "build" / "shown.html").write_text("<p>the page</p>")
    (folder / "pictures" / "01_first.png").write_bytes(png())
    (folder / "drawn" / "by hand.png").write_bytes(png())
    return folder


@pytest.fixture
def built(source, tmp_path, capsys):
    site.main(["--from", str(source), "--to", str(tmp_path / "html")])
    said = capsys.readouterr().out
    assert "2 notebooks; " in said
    assert "\n    https://mybinder.org/v2/gh/a/b/HEAD\n" in said
    return tmp_path / "html"


def test_the_index_shows_of_each_notebook_a_picture_its_title_what_it_is_about_and_its_time(built):
    first, second = re.findall(r"<li>(.*?)</li>", (built / "index.html").read_text(), re.S)
    assert '<img src="pictures/01_first.png"' in first
    assert "Look `closely`: first</a></h2>" in first
    assert '<p>You look at <em>one</em> thing, and <a href="02_second.html">then</a> at another.</p>' in first
    assert "About 2 minutes</p>" in first
    assert '<a href="02_second.html">' in second
    assert "<p>It is short.</p>" in second
    assert "<img" not in second
    assert (built / "pictures" / "01_first.png").read_bytes() == png()


def test_a_page_leads_to_its_neighbors_its_sections_and_its_file(built, source):
    first, second = ((built / f"{name}.html").read_text() for name in ("01_first", "02_second"))
    assert '<a href="02_second.html" rel="next">' in first
    assert 'rel="prev"' not in first
    assert '<a href="01_first.html" rel="prev">' in second
    assert 'rel="next"' not in second
    assert '<li><a href="#1.-Touch">1. Touch</a></li>' in second
    assert '<a href="02_second.html#1.-Touch">second</a>' in first
    assert 'href="notebooks/01_first.ipynb">01_first.ipynb</a>' in first
    there = (built / "notebooks" / "01_first.ipynb").read_bytes()
    assert there == (source / "01_first.ipynb").read_bytes()


def test_a_picture_beside_a_notebook_is_beside_its_page(built):
    assert 'src="drawn/by%20hand.png"' in (built / "01_first.html").read_text()
    assert (built / "drawn" / "by hand.png").read_bytes() == png()


def test_where_a_widget_is_shown_the_page_is_that_the_notebook_wrote(built):
    page = (built / "01_first.html").read_text()
    (figure,) = re.findall(r"<figure>(.*?)</figure>", page, re.S)
    assert 'alt="Figure under: 1. See"' in figure
    assert "still picture" not in figure
    assert "model_id" not in page
    assert scripts(page) == ["search.js"]
    assert re.findall(r'<iframe class="live"[^>]* src="(.*?)"', page) == ["pages/shown.html"]
    assert page.index("<iframe") < page.index("Open it in a window of its own") < page.index("to_html")
    # Under the cell that wrote it is a link.
    _, after = page.split('<a class="open" href="pages/shown.html">Open the interactive page</a>')
    assert "to_html" not in after
    assert (built / "pages" / "shown.html").read_text() == "<p>the page</p>"


def test_a_widget_without_a_page_shows_its_still(source, tmp_path):
    cell = new_code_cell("shown", outputs=[drawn(f"Projector({HOSTILE})")])
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Third"), cell]), source / "03_third.ipynb")
    site.main(["--from", str(source), "--to", str(tmp_path / "html")])
    page = (tmp_path / "html" / "03_third.html").read_text()
    (still,) = re.findall(r"<figure>(.*?)</figure>", page, re.S)
    assert "A still picture. Where the notebook runs" in still
    assert alternatives(still) == [f"Projector({HOSTILE})"]
    assert scripts(page) == ["search.js"]
    assert "<iframe" not in page


def test_a_solution_is_closed_and_its_title_does_not_tell(built):
    page = (built / "01_first.html").read_text()
    ((summary, inside),) = re.findall(
        r"<details class=\"solution\"><summary>(.*?)</summary>(.*?)</details>", page, re.S
    )
    assert summary == "Solution 1"
    assert "it is 42" in inside
    assert page.count("it is 42") == 2  # the comment and the output, both inside
    assert inside.count("it is 42") == 2


def test_a_folded_cell_is_closed_under_its_first_line_and_its_output_is_not(source, tmp_path):
    cells = [
        new_code_cell("plt.show()", outputs=[drawn("<Figure size 640x480 with 1 Axes>")]),
        new_code_cell(
            "# Check: <b>all\nMarkdown('**two** of 3')",
            metadata={"jupyter": {"source_hidden": True}},
            outputs=[new_output("display_data", {"text/markdown": "**two** of <3"})],
        ),
    ]
    cells[0].outputs[0].metadata["image/png"] = {"alt": "two of <3"}  # as run.py notes it
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Third"), *cells]), source / "03_third.ipynb")
    site.main(["--from", str(source), "--to", str(tmp_path / "html")])
    page = (tmp_path / "html" / "03_third.html").read_text()
    ((summary, inside),) = re.findall(
        r'<details class="check"><summary>(.*?)</summary>(.*?)</details>', page, re.S
    )
    assert summary == "Check: &lt;b&gt;all"
    assert "Markdown" in inside
    assert "<strong>two</strong>" in page.replace(inside, "")
    assert alternatives(page) == ["two of <3"]


def test_solutions_have_a_page_of_their_own_and_lead_back(source, tmp_path):
    (source / "solutions").mkdir()
    solved = new_markdown_cell("# Solved\n\nThe exercises are in [first](../01_first.ipynb).")
    nbformat.write(new_notebook(cells=[solved]), source / "solutions" / "01_first.ipynb")
    asked = new_markdown_cell("# Third\n\n[solved](solutions/01_first.ipynb)")
    nbformat.write(new_notebook(cells=[asked]), source / "03_third.ipynb")
    site.main(["--from", str(source), "--to", str(tmp_path / "html")])
    third, page, index = (
        (tmp_path / "html" / name).read_text()
        for name in ("03_third.html", "01_first_solutions.html", "index.html")
    )
    assert '<a href="01_first_solutions.html">solved</a>' in third
    assert '<a href="01_first.html">first</a>' in page
    assert 'href="notebooks/01_first_solutions.ipynb"' in page
    assert 'rel="next"' not in page
    assert "solutions" not in index
    assert (tmp_path / "html" / "notebooks" / "01_first_solutions.ipynb").exists()


def test_a_text_beside_the_notebooks_has_a_page_that_they_lead_to(source, tmp_path):
    (source / "README.md").write_text("# Not of the site")
    (source / "GLOSSARY.md").write_text('# Words\n\n- <a id="one"></a>**one**: [seen](01_first.ipynb)')
    asked = new_markdown_cell("# Third\n\n[one](GLOSSARY.md#one)")
    nbformat.write(new_notebook(cells=[asked]), source / "03_third.ipynb")
    site.main(["--from", str(source), "--to", str(tmp_path / "html")])
    html = tmp_path / "html"
    assert '<a href="01_first.html">seen</a>' in (html / "GLOSSARY.html").read_text()
    assert '<a href="GLOSSARY.html#one">one</a>' in (html / "03_third.html").read_text()
    assert 'href="GLOSSARY.html">' in (html / "index.html").read_text()
    assert (html / "notebooks" / "GLOSSARY.md").exists()
    assert not (html / "README.html").exists()


def test_the_card_says_how_long_a_lesson_takes_to_read_and_to_run(source, tmp_path):
    for needed, said in (
        ("a disk; about half a minute", None),
        ("them; about 2 minutes\nwith CIFAR-10", "About 2 minutes"),
        (
            "it; about\n3 minutes to run on\ntwo cores, and 25 to read.",
            "25 minutes to read, about 3 minutes to run",
        ),
    ):
        cells = [new_markdown_cell(f"# Third\n\nStory.\n\n**You need** {needed}")]
        nbformat.write(new_notebook(cells=cells), source / "03_third.ipynb")
        assert site.Notebook(source / "03_third.ipynb").minutes == said


def test_a_notebook_whose_page_is_not_there_is_run(source, tmp_path, capsys):
    (source / "build" / "shown.html").unlink()
    (source / "py" / "01_first.py").write_text(
        "# %%\nfrom pathlib import Path\n\nPath('build/shown.html').write_text('fresh')\n"
    )
    site.main(["--from", str(source), "--to", str(tmp_path / "html")])
    assert "01_first is run, since it writes shown.html" in capsys.readouterr().out
    assert (tmp_path / "html" / "pages" / "shown.html").read_text() == "fresh"


def test_a_notebook_that_writes_no_page_ends_the_build_and_leaves_the_site_as_it_was(
    source, built, monkeypatch
):
    (source / "build" / "shown.html").unlink()
    to_it = ["--from", str(source), "--to", str(built)]
    for status, complaint in ((0, r"ran, and did not write .*shown\.html"), (1, "failed")):
        done = subprocess.CompletedProcess([], status, stdout="")
        monkeypatch.setattr(site.subprocess, "run", lambda *_, done=done, **__: done)
        with pytest.raises(SystemExit, match=rf"01_first\.ipynb {complaint}"):
            site.main(to_it)
    assert (built / "pages" / "shown.html").read_text() == "<p>the page</p>"


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ('<a href="gone.html">', "a.html: gone.html is not there"),
        ('<a href="b.html#gone">', "a.html: b.html#gone names no anchor there"),
        ('<a href="#gone">', "a.html: #gone names no anchor there"),
        ('<a href="../outside.html">', "a.html: ../outside.html is not there"),
        ('<img src="gone.png">', "a.html: gone.png is not there"),
        ('<a href="http://example.org">', "a.html: http://example.org is not https"),
        ('<a href="javascript:alert(1)">', "a.html: javascript:alert(1) is not https"),
        (
            '<script src="https://example.org/x.js"></script>',
            "a.html: loads https://example.org/x.js from another machine",
        ),
        (
            '<link rel="stylesheet" href="//example.org/x.css">',
            "a.html: loads //example.org/x.css from another machine",
        ),
        (
            "<style>a { background: url(https://x.org/y) }</style>",
            "a.html: loads https://x.org/y from another machine",
        ),
        ("<p style=\"background: url('gone.png')\">", "a.html: gone.png is not there"),
        ('<p id="x"><p id="x">', "a.html: the anchor 'x' is there more than once"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(tmp_path, page, complaint):
    folder = tmp_path / "html"
    folder.mkdir()
    (tmp_path / "outside.html").touch()
    (folder / "b.html").write_text('<p id="there">')
    (folder / "a.html").write_text(f'{page}<a href="b.html#there"><img src="data:image/png;base64,">')
    assert links.check(folder)[0] == [complaint]


def test_links_to_other_machines_are_listed(tmp_path):
    (tmp_path / "a.html").write_text('<a href="https://example.org/a?b#c">')
    assert links.check(tmp_path) == ([], {"https://example.org/a?b#c"})


def test_a_broken_link_is_an_error(source, tmp_path):
    nbformat.write(
        new_notebook(cells=[new_markdown_cell("# Third\n\n[x](09_gone.ipynb)")]), source / "03_third.ipynb"
    )
    with pytest.raises(SystemExit, match=r"03_third\.html: 09_gone\.ipynb is not there") as ended:
        site.main(["--from", str(source), "--to", str(tmp_path / "html")])
    assert ended.value.code  # a sentence, which gives exit status 1


def test_a_site_replaces_a_site_and_nothing_else(source, tmp_path, built):
    (built / "old.html").touch()
    site.main(["--from", str(source), "--to", str(built)])
    assert not (built / "old.html").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("my own")
    with pytest.raises(
        SystemExit, match="holds something else than a site of notebooks; nothing was written"
    ):
        site.main(["--from", str(source), "--to", str(tmp_path / "mine")])
    assert (tmp_path / "mine" / "index.html").read_text() == "my own"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The site of the committed notebooks, with an empty page for each that one of them would write."""
    target, written = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("written")
    notebooks = [site.Notebook(path) for path in PATHS]
    names = [site.LIVE[1], *(name for notebook in notebooks for name in notebook.pages.values())]
    for name in names:
        (written / name).touch()
    site.build(NOTEBOOKS, notebooks, {name: written / name for name in names}, target / "html")
    return target / "html"


def test_the_site_of_the_committed_notebooks_has_no_broken_link_and_loads_nothing(pages):
    wrong, elsewhere = links.check(pages)
    assert wrong == []
    assert elsewhere
    for folder, root in (("*.html", ""), ("howto/*.html", "../"), ("reference/*.html", "../")):
        assert list(pages.glob(folder))
        for path in pages.glob(folder):
            assert scripts(path.read_text()) == [f"{root}search.js"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_figure_of_a_committed_notebook_is_on_its_page(pages, path):
    cells = nbformat.read(path, 4).cells
    # Where a page stands for a widget, it needs no still.
    live = [cell.id for cell in site.Notebook(path).prepare().cells if cell.metadata.get("live")]
    cells = [cell for cell in cells if cell.id not in live]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    page = (pages / f"{path.stem}.html").read_text()
    named = r"""<figure>\s*<label><img alt=(?:"[^"]+"|'[^']+')"""
    shown = re.findall(named + r' src="data:image/png;base64,([^"]*)"', page)
    # One by one: pytest would print what differs, which is long.
    kept = [data["image/png"].replace("\n", "") for data in outputs if "image/png" in data]
    assert [one == other for one, other in zip(shown, kept, strict=True)] == [True] * len(kept)
    assert len(shown) >= 3
    assert page.count("<iframe") == len(live)
    for picture in shown:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_index_has_a_picture_and_a_time_for_every_committed_notebook(pages, path):
    cards = (pages / "index.html").read_text().split("<li>")[1:]
    (card,) = (c for c in cards if f'href="{path.stem}.html"' in c)
    assert f'src="pictures/{path.stem}.png"' in card
    assert re.search(r'<p class="time">(\d+ minutes to read, a|A)bout \w+ minutes?( to run)?</p>', card)


def test_a_page_is_led_to_from_wherever_its_source_is_named(tmp_path):
    pages = {tmp_path / "a.md": "a.html", tmp_path / "howto" / "b.md": "howto/b.html"}
    said = 'href="../a.md#x" href="b.md" href="#here" href="https://example.org/a.md" href="gone.md"'
    changed = links.to_pages(said, tmp_path / "howto" / "b.md", "howto/b.html", pages)
    assert changed == said.replace("../a.md", "../a.html").replace('"b.md', '"b.html')
    assert links.to_pages('href="howto/b.md"', tmp_path / "a.md", "a.html", pages) == 'href="howto/b.html"'


def test_a_file_of_the_repository_without_a_page_is_led_to_there():
    said = 'href="../tests/test_site.py" href="../tests" href="../no_such_file"'
    changed = links.to_pages(said, NOTEBOOKS / "a.md", "a.html", {})
    there = "https://github.com/simnb/simnb/blob/HEAD/tests"
    assert changed == f'href="{there}/test_site.py" href="{there}" href="../no_such_file"'


def test_away_from_its_page_a_paragraph_names_no_section():
    said = (
        "Find it (section 1), see it (2 to 4, and 6), and learn (why).\nSections 8 and 9 show more. The end."
    )
    assert site.without_sections(said) == "Find it, see it, and learn (why). The end."


def test_long_code_goes_on_where_a_name_or_an_argument_begins():
    assert site.may_go_on('<code>a.b(c=0.5).d("x.y")</code>').replace("<wbr>", "|") == (
        '<code>a|.b(|c=0.5)|.d(|"x|.y")</code>'
    )


def test_headings_that_are_alike_have_anchors_of_their_own():
    page = '<h3 id="a">A<a href="#a">¶</a></h3>'
    assert links.distinct(page * 2) == page + page.replace('a"', 'a-2"')


def test_every_page_leads_to_the_course_the_how_tos_the_reference_the_glossary_and_the_changelog(pages):
    ways = {"index", "howto/index", "reference/index", "GLOSSARY", "changelog"}
    for path in [*pages.glob("*.html"), *pages.glob("howto/*.html"), *pages.glob("reference/*.html")]:
        (nav,) = re.findall(r'<nav aria-label="Site">(.*?)</nav>', path.read_text(), re.S)
        led = {(path.parent / link).resolve() for link in re.findall(r'href="([^"]+)"', nav)}
        assert led == {(pages / f"{way}.html").resolve() for way in ways}, path


def test_the_search_knows_names_titles_sections_and_words(pages):
    script, lesson = (pages / "search.js").read_text(), site.Notebook(PATHS[0])
    anchor, text = lesson.headings()[0]
    for line in (
        '["losses.TripletLoss", "reference/simnb.losses.html#TripletLoss", "',
        '["simnb.losses", "reference/simnb.losses.html", "',
        '["margin", "GLOSSARY.html#margin", "Glossary"]',
        f'["{text}", "{lesson.page}#{anchor}", "{lesson.title}"]',
        '["Search a folder of your own images", "howto/own_images.html", ""]',
    ):
        assert line in script


def test_prose_of_a_lesson_leads_to_the_reference_and_an_entry_of_it_to_the_lesson(pages):
    lesson, room = (
        (pages / f"{name}.html").read_text()
        for name in ("05_choose_a_threshold", "reference/simnb.calibration")
    )
    assert '<a class="name" href="reference/simnb.' in lesson
    (entry,) = re.findall(r'<h2 id="calibrate">.*?</section>', room, re.S)
    assert 'href="../05_choose_a_threshold.html#' in entry


def test_the_index_has_a_page_to_try(pages):
    page = (pages / "index.html").read_text()
    assert f'<iframe class="live" src="pages/{site.LIVE[1]}"' in page
    assert 'href="howto/page_to_send.html"' in page


def test_the_page_to_try_is_written_by_the_code_of_its_how_to_once(source, capsys):
    name, page = site.LIVE
    assert site.live_page(source) == {}
    (source / "howto").mkdir()
    code = f"from pathlib import Path\nPath('{page}').write_text('made')"
    (source / "howto" / f"{name}.md").write_text(f"# T\n\n```python\n{code}\n```\n")
    for said in (f"{name}.md is run", ""):
        assert site.live_page(source) == {page: source / "build" / page}
        assert (source / "build" / page).read_text() == "made"
        assert said in capsys.readouterr().out
    assert not capsys.readouterr().out
