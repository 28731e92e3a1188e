"""``constraints.txt``: the versions that were tested. ``make constraints`` writes it anew."""

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# torch: there are several builds of each version, and people choose one.
NOT_TESTED = {"torch"}


def lines():
    return [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]


def pins():
    """By name: the requirements in the file, of which each must be one exact version."""
    found = {}
    for line in lines():
        pin = Requirement(line)
        found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def test_it_holds_exact_versions_and_no_place_to_get_them_from():
    for line in lines():
        pin = Requirement(line)
        ((operator, version),) = ((one.operator, one.version) for one in pin.specifier)
        assert operator == "==", line
        assert "*" not in version
        assert pin.url is None
        assert not pin.extras
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"://|^-|file:|@", text, re.M)
    for several in pins().values():
        assert len(several) == 1 or all(pin.marker for pin in several)


def test_what_the_project_asks_for_is_pinned_within_what_it_asks_for():
    asked = [
        *PROJECT["dependencies"],
        *(one for extra in PROJECT["optional-dependencies"].values() for one in extra),
    ]
    known = pins()
    for wanted in map(Requirement, asked):
        if wanted.name in NOT_TESTED | {"simnb"}:
            continue
        assert wanted.name in known, f"{wanted.name} is not pinned: make constraints"
        for pin in known[canonicalize_name(wanted.name)]:
            (version,) = (one.version for one in pin.specifier)
            assert wanted.specifier.contains(version), f"{pin} is not of {wanted}: make constraints"
    assert not NOT_TESTED & known.keys()


@pytest.mark.skipif(os.environ.get("CONSTRAINTS") == "", reason="this run goes without constraints")
def test_these_tests_run_in_the_versions_that_it_says():
    others, compared = [], 0
    for name, several in pins().items():
        for pin in several:
            if pin.marker is None or pin.marker.evaluate():
                try:
                    here = importlib.metadata.version(name)
                except importlib.metadata.PackageNotFoundError:
                    continue  # of an extra
                compared += 1
                if not pin.specifier.contains(here, prereleases=True):
                    others.append(f"{name} {here}, not {pin.specifier}")
    assert compared > 20
    assert not others, f"{'; '.join(others)}: make .venv/.ready, or CONSTRAINTS= to go without"


def test_all_that_sets_an_environment_up_takes_them():
    makefile = (ROOT / "Makefile").read_text()
    assert "CONSTRAINTS ?= constraints.txt\n" in makefile
    installs = {"Makefile": makefile, ".ci/run": (ROOT / ".ci" / "run").read_text()}
    for place, text in installs.items():
        found = [
            line for line in text.replace("\\\n", " ").splitlines() if '".[' in line or '"simnb[' in line
        ]
        found = [line for line in found if "pip install --quiet" in line]
        assert found, place
        assert all("constraint" in line for line in found), found
