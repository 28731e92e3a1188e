"""The reference: every public name is in it, as it is called, and with an example somewhere."""

import importlib
import inspect
import re

import pytest

from notebooks import reference, site
from notebooks.links import ROOT

ROOMS = reference.read_rooms()
#: Public names that no example, lesson or how-to shows, and why.
WITHOUT_EXAMPLE = {
    "models.from_torch": "the tests' environment has no PyTorch; tests/models/test_pytorch.py runs it",
    "models.TorchEmbedder": "what from_torch returns",
}


@pytest.fixture(scope="module")
def names():
    """The names, with the lessons and how-tos that use them."""
    names = reference.Names(ROOMS)
    for path in [*sorted(site.HERE.glob("*.ipynb")), *sorted(site.HERE.glob("howto/*.md"))]:
        notebook = site.Notebook(path)
        names.note(notebook.code(), notebook.page, notebook.title)
    return names


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_page_has_what_its_room_exports_as_it_is_called(room):
    module = importlib.import_module(room.module.path)
    exported = [name for name in module.__all__ if not name.startswith("__")]
    things = {name: getattr(module, name) for name in exported}
    documented = {entry.name: entry for entry in room.entries}
    assert list(documented) == [name for name in exported if not inspect.ismodule(things[name])]
    for name, entry in documented.items():
        # Of an old name that a call makes, its value says what it is.
        assert entry.summary or (room.name.startswith("tfsim.") and entry.kind == "constant"), name
        if entry.thing.is_function:
            called = [each for each in inspect.signature(things[name]).parameters]
            assert [each.name for each in entry.thing.parameters] == called
        file, first, last = entry.lines
        assert entry.thing.name in "".join((ROOT / file).read_text().splitlines(True)[first - 1 : last])


def test_every_public_package_has_a_page():
    paths = [path for path in (ROOT / "simnb").iterdir() if not path.name.startswith("_")]
    public = {path.stem for path in paths if path.is_dir() or path.suffix == ".py"}
    assert {room.name for room in ROOMS if "." not in room.name} == public


def test_every_public_name_has_an_example_that_runs_or_is_used_in_a_lesson_or_a_how_to(names):
    # A constant shows its value; each name of TensorFlow Similarity stands beside its new one in MIGRATION.
    asked = {e.dotted for e in names.entries if e.kind != "constant" and not e.room.name.startswith("tfsim")}
    assert len(asked) > 200
    assert asked - set(names.examples()) == set(WITHOUT_EXAMPLE)


def test_an_example_counts_only_where_it_runs():
    """``::`` and blocks of code are for what cannot run; they are no example."""
    (entry,) = [e for room in ROOMS for e in room.entries if e.dotted == "models.from_torch"]
    assert "Example:" in entry.text
    assert not entry.has_example


@pytest.mark.parametrize(
    ("mention", "within", "page"),
    [
        ("samplers.BalancedBatches", (), "samplers.html#BalancedBatches"),
        ("samplers.BalancedBatches(x, y, seed=0)", (), "samplers.html#BalancedBatches"),
        ("simnb.losses.triplet_loss", (), "losses.html#triplet_loss"),
        ("simnb.losses", (), "losses.html"),
        ("BalancedBatches", (), "samplers.html#BalancedBatches"),
        ("SimilaritySearch.load", (), "search.html#SimilaritySearch.load"),
        ("Neighbors", (), "index.html#Neighbors"),
        ("UNKNOWN", (), "index.html#UNKNOWN"),  # of index and of matching, which are the same
        ("match", ("matching",), "matching.html#match"),
        ("search", ("index.Index",), "index.html#Index.search"),
        ("MultiShotMemorySampler", ("tfsim.samplers",), "tfsim.samplers.html#MultiShotMemorySampler"),
        ("MultiShotMemorySampler", (), None),  # not a name of ours
        ("match", (), None),  # may be anything
        ("search.calibrate", (), None),  # a variable of a lesson
        ("labels", (), None),
        ("losses", (), None),
        ("distance <= threshold", (), None),
        ("models.embed and more", (), None),
    ],
)
def test_a_mention_leads_to_the_name_that_it_can_only_mean(mention, within, page):
    expected = page and f"reference/simnb.{page}"
    assert reference.Names(ROOMS).page_of(mention, within=within) == expected


def test_names_in_prose_become_links_and_those_in_code_headings_and_links_do_not():
    names, code = reference.Names(ROOMS), "<code>samplers.BalancedBatches</code>"
    link = f'<a class="name" href="../reference/simnb.samplers.html#BalancedBatches">{code}</a>'
    kept = f'<pre>{code}</pre><h2 id="x">{code}</h2><a href="y">{code}</a>'
    assert names.link(f"<p>{code}</p>{kept}", root="../") == f"<p>{link}</p>{kept}"


def test_the_first_cell_of_a_row_of_old_names_leads_to_old_names():
    names, code = reference.Names(ROOMS), "<code>losses.TripletLoss</code>"
    old, new = (
        f'<a class="name" href="reference/simnb.{room}.html#TripletLoss">{code}</a>'
        for room in ("tfsim.losses", "losses")
    )
    gone = "<code>losses.nt_xent_loss</code>"  # of simnb alone
    row = f"<tr>\n<td>{code}, {gone}</td>\n<td>{code}</td>\n</tr>"
    assert names.link(row, root="", old_names=True) == f"<tr>\n<td>{old}, {gone}</td>\n<td>{new}</td>\n</tr>"


def test_an_entry_has_signature_arguments_errors_references_and_example():
    names = reference.Names(ROOMS)
    (entry,) = [entry for entry in names.entries if entry.dotted == "calibration.calibrate"]
    signature = names.typed(entry.signature(), entry)
    assert signature.startswith("calibrate(\n    neighbors: <a href=")
    assert "\n    confidence: float | None = None,\n" in signature
    assert signature.endswith(
        '-&gt; <a href="../reference/simnb.calibration.html#Calibration">Calibration</a>'
    )
    sections = dict(names.sections(entry))
    assert list(sections) == ["", "Arguments", "Returns", "Raises", "References", "Example"]
    assert ("labels", "<p>True class of each, shape [num_queries].</p>\n") in sections["Arguments"]
    assert [name for name, _ in sections["Raises"]] == ["ValueError"]
    assert 'href="https://arxiv.org/abs/2110.01052"' in sections["References"]
    assert re.search(r'class="gp".*calibrate', sections["Example"])


def test_a_docstring_is_text_and_no_page():
    names = reference.Names(ROOMS)
    text = names.text("A <b onclick='x'>``<script>``</b> of ``Neighbors``", names.entries[0])
    assert "<b" not in text
    assert "<script" not in text
    assert 'href="../reference/simnb.index.html#Neighbors"' in text
