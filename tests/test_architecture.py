"""The layers of the library, read from its imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import simnb

PACKAGE = Path(simnb.__file__).parent
FLOORS = [
    {"__version__", "_checks", "_files", "_folder", "_terminal", "_text", "_threads", "_types", "_warnings"}
    | {"_table"},
    {"_keras", "_replicas", "augmentation", "distances", "data"},
    {"index", "losses", "layers", "samplers", "metrics", "projection"},
    {"_parts", "models", "matching"},
    {"calibration", "training"},
    {"search", "plots", "scale", "evaluation"},
    {"widgets"},
    {"tfsim"},
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
ARRAY_HALF = {"augmentation", "distances", "data", "index", "metrics", "matching", "calibration", "plots"}
ARRAY_HALF |= {"projection", "evaluation"}
# metrics measures Neighbors, which index defines on the same floor; _replicas is about one backend of _keras;
# a folder is made of files.
SAME_FLOOR = {("metrics", "index"), ("_replicas", "_keras"), ("_folder", "_files")}


def imports():
    """(importing module, imported module) for every import of the package by itself."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "simnb":
                yield from ((module, name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("simnb."):
                yield module, node.module.split(".")[1]
            elif isinstance(node, ast.Import):
                named = [name.name for name in node.names if name.name.startswith("simnb")]
                assert not named, f"{path}: write 'from simnb import ...'"


def test_every_module_stands_on_a_floor():
    modules = {
        p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()
    }
    assert modules - {"__init__", "__pycache__"} <= set(FLOOR)


def test_a_module_imports_only_from_lower_floors():
    found = set(imports())
    assert len(found) > 20
    for importer, imported in found:
        allowed = importer == imported or (importer, imported) in SAME_FLOOR
        assert allowed or FLOOR[imported] < FLOOR[importer], f"{importer} imports {imported}"


def modules_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


@pytest.mark.parametrize("module", sorted(ARRAY_HALF))
def test_the_array_half_imports_neither_tensorflow_nor_keras(module):
    loaded = modules_after(f"from simnb import {module}")
    assert f"simnb.{module}" in loaded
    assert not loaded & {"tensorflow", "keras", "tensorflow_datasets", "jax", "torch"}


def test_importing_simnb_loads_nothing_but_itself():
    third_party = {"tensorflow", "keras", "numpy", "scipy", "matplotlib", "sklearn"}
    assert not modules_after("import simnb") & third_party
