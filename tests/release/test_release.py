"""What a release is made of. ``make release`` builds and tries one."""

import email
import re
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from simnb import __version__
from tests.rehearsal import Failed, files_of, rehearse, run
from tests.release import __main__ as release

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CITATION = YAML(typ="safe").load(ROOT / "CITATION.cff")


def wheel(**changes):
    """Size, names and metadata of a wheel in which nothing is wrong, but for the changes."""
    names = {f"simnb/{path.as_posix()}" for path in files_of(ROOT / "simnb")} | {
        "simnb.dist-info/licenses/LICENSE"
    }
    version, text = (
        changes.get("version", __version__),
        changes.get("text", "[a](https://a) [b](#b) ![c](https://c)"),
    )
    metadata = email.message_from_string(f"Version: {version}\n\n{text}")
    return (
        changes.get("size", 7_999_999),
        (names | changes.get("more", set())) - changes.get("less", set()),
        metadata,
    )


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({}, []),
        ({"less": {"simnb/py.typed"}}, ["not in the wheel: simnb/py.typed"]),
        ({"less": {"simnb/widgets/page.js"}}, ["not in the wheel: simnb/widgets/page.js"]),
        (
            {"less": {"simnb/models/weights/glyphs.npz"}},
            ["not in the wheel: simnb/models/weights/glyphs.npz"],
        ),
        ({"more": {"tests/conftest.py"}}, ["in the wheel, but not of the package: tests/conftest.py"]),
        ({"less": {"simnb.dist-info/licenses/LICENSE"}}, ["it has no licence"]),
        ({"size": 8_000_000}, ["it has 8.0 MB, 8 is the most"]),
        ({"version": "0"}, [f"it is of version 0, not {__version__}"]),
        ({"text": "![a](b.png)"}, ["its page on PyPI would lead nowhere: b.png"]),
    ],
)
def test_what_is_wrong_with_a_wheel_is_said(changes, problems):
    assert release.problems_of(*wheel(**changes)) == problems


def test_a_tag_is_that_of_the_version_and_the_changelog_has_its_section():
    section = f"# Changelog\n\n## [{__version__}] - 2030-01-31\n"
    assert release.problem_with(f"v{__version__}", section) is None
    assert "they must agree" in release.problem_with("v9.9.9", section)
    assert "they must agree" in release.problem_with(__version__, section)
    for text in ("", section.replace(" - 2030-01-31", ""), section.replace(__version__, "9.9.9")):
        assert "CHANGELOG.md has no section" in release.problem_with(f"v{__version__}", text)


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "simnb/__init__.py"}
    assert CITATION.get("version", __version__) == __version__
    headings = re.findall(r"^## (.*)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])


def test_a_citation_names_what_the_package_is():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"].startswith("simnb: ")
    assert CITATION["license"] == PROJECT["project"]["license"]
    assert CITATION["repository-code"] == PROJECT["project"]["urls"]["Repository"]
    assert all(author.keys() == {"name"} for author in CITATION["authors"])
    assert CITATION["message"]


def test_every_extra_is_tried_alone():
    assert {*release.EXTRAS, *release.HEAVY} == {*PROJECT["project"]["optional-dependencies"], "none"} - {
        "test"
    }
    assert not release.EXTRAS.keys() & release.HEAVY.keys()
    for code in {**release.EXTRAS, **release.HEAVY}.values():
        compile(code, "an extra", "exec")


def test_the_sdist_has_what_its_tests_look_at():
    target = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    left_out = {
        "/.git",
        "/.gitignore",
        "/LICENSE",
        "/pyproject.toml",
        "/.pre-commit-config.yaml",
        "/PKG-INFO",
    }
    here = {f"/{path.name}" for path in ROOT.iterdir()}
    ignored = {f"/{line.strip('/')}" for line in (ROOT / ".gitignore").read_text().split()}
    assert here - ignored - left_out == set(target)
    for test in release.SDIST_TESTS:
        assert (ROOT / test).exists()


def test_the_promises_about_files_are_held_by_tests_that_are_there():
    text = (ROOT / ".github" / "SECURITY.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert len(table) > 5
    for row in table:
        named = re.findall(r"`(tests/\S+\.py)`", row.split("|")[3])
        assert named, row
        for test in named:
            assert "def test_" in (ROOT / test).read_text()


def test_a_rehearsal_ends_at_the_stage_that_fails(capsys):
    reached = []
    stages = {
        "one": lambda: reached.append(1) or "well",
        "two": lambda: run([sys.executable, "-c", "print('why'); exit(3)"]),
        "three": lambda: reached.append(3),
    }
    assert rehearse({"one": stages["one"]}) is None
    assert rehearse(stages).startswith(f"two\nwhy\nexit status 3 of: {sys.executable} -c ")
    assert reached == [1, 1]
    assert "well" in capsys.readouterr().out
    with pytest.raises(Failed, match="exit status 3"):
        stages["two"]()
    assert run([sys.executable, "-c", "print('said')"]) == "said\n"
