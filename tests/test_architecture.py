"""The layers of the library, read from its imports."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import simnb

PACKAGE = Path(simnb.__file__).parent
FLOORS = [
    {"__version__", "_types"},
    {"_checks", "_files", "_snapshot", "_table", "_terminal", "_text", "_threads", "_triton"},
    {"_keras", "_replicas", "augmentation", "distances", "data"},
    {"index", "losses", "layers", "samplers", "metrics", "projection"},
    {"models", "matching", "collection"},
    {"calibration", "training"},
    {"_saving", "search", "plots", "scale", "evaluation"},
    {"widgets"},
    {"page", "tfsim"},
    {"folder_search"},
    {"__main__"},
]
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules}
ARRAY_HALF = {"augmentation", "distances", "data", "index", "metrics", "matching", "calibration", "plots"}
ARRAY_HALF |= {"projection", "evaluation", "collection", "page"}
# metrics measures Neighbors, which index defines on the same floor; _replicas is about one backend of _keras;
# a snapshot is made of files; a search is saved by the module beside it.
SAME_FLOOR = {("metrics", "index"), ("_replicas", "_keras"), ("_snapshot", "_files"), ("search", "_saving")}


# Private modules that another package imports, and why.
PRIVATE_ELSEWHERE = {
    ("page", "widgets._page"): "a page to send is written as the page of a widget is",
    ("tfsim", "losses._pairs"): "its metrics during training are distances that the losses look for",
    ("tfsim", "samplers._batches"): "its samplers are ours in other clothes, not new ones to build upon",
    ("training", "losses._pairs"): "a loss of pairs and one of proxies are trained in different ways",
    ("training", "models._pixels"): "images that are fed to a model are checked as those that it embeds",
    ("training", "samplers._batches"): "our own batches know how many make up an epoch",
}


def imported_names():
    """(importing module, dotted name below simnb) for every import of the package by itself."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "simnb":
                below = node.module.removeprefix("simnb").removeprefix(".")
                for name in node.names:
                    yield module, f"{below}.{name.name}".removeprefix(".")
            elif isinstance(node, ast.Import):
                named = [name.name for name in node.names if name.name.startswith("simnb")]
                assert not named, f"{path}: write 'from simnb import ...'"


def imports():
    """(importing module, imported module), without what lies in it."""
    return {(importer, name.partition(".")[0]) for importer, name in imported_names()}


def test_every_module_stands_on_a_floor():
    modules = {
        p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()
    }
    assert modules - {"__init__", "__pycache__"} <= set(FLOOR)


def test_a_module_imports_only_from_lower_floors():
    found = imports()
    assert len(found) > 20
    for importer, imported in found:
        allowed = importer == imported or (importer, imported) in SAME_FLOOR
        assert allowed or FLOOR[imported] < FLOOR[importer], f"{importer} imports {imported}"


def test_no_package_imports_a_private_name_of_another():
    found = set()
    for importer, name in imported_names():
        package, *inside = name.split(".")
        private = [part for part in inside if part.startswith("_")]
        if private and package != importer:
            found.add((importer, f"{package}.{private[0]}"))
    assert found == set(PRIVATE_ELSEWHERE), found ^ set(PRIVATE_ELSEWHERE)


def test_nothing_is_imported_that_only_some_systems_have():
    elsewhere = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
    elsewhere |= {"curses", "msvcrt", "winreg", "winsound"}  # Windows and others have not the same ones
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0]: path for name in names}
    assert "sqlite3" in found
    assert not elsewhere & found.keys(), {name: found[name] for name in elsewhere & found.keys()}


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


def is_public(name):
    return name == "__init__" or not name.startswith("_")


def exported_names():
    """(file, name) of what can be imported from ``simnb.room``, in the file that defines it."""
    for room in sorted(PACKAGE.iterdir()):
        if not is_public(room.stem) or not (room.suffix == ".py" or (room / "__init__.py").exists()):
            continue
        yield from exports_of(room if room.suffix else room / "__init__.py")


def exports_of(path):
    body = ast.parse(path.read_text()).body
    lists = [ast.literal_eval(node.value) for node in body if is_list_of_exports(node)]
    names = lists[0] if lists else [node.name for node in body if is_definition(node)]
    yield from ((path, name) for name in names if is_public(name))
    for node in body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("simnb."):
            source = PACKAGE.joinpath(*node.module.split(".")[1:])
            for name in {alias.name for alias in node.names} & set(names):
                if (source / f"{name}.py").exists() or (source / name / "__init__.py").exists():
                    module = source / name
                    yield from exports_of(
                        module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
                    )
                elif source.is_dir():
                    yield from (e for e in exports_of(source / "__init__.py") if e[1] == name)
                else:
                    yield source.with_suffix(".py"), name


def is_list_of_exports(node):
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def is_definition(node):
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def public_functions():
    """(file, function or method) of all that is exported, constructors and public methods of classes too."""
    exported = set(exported_names())
    for path in sorted({path for path, _ in exported if path.exists()}):
        for node in ast.parse(path.read_text()).body:
            if not is_definition(node) or (path, node.name) not in exported:
                continue
            for function in node.body if isinstance(node, ast.ClassDef) else [node]:
                if isinstance(function, ast.FunctionDef) and is_public(function.name):
                    yield path, function


def what_is_not_annotated(function):
    """Names of the arguments without a type, and "the result"."""
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    missing = [each.arg for each in arguments if each is not None and each.annotation is None]
    result = [] if function.returns or function.name == "__init__" else ["the result"]
    return [name for name in missing if name not in ("self", "cls")] + result


def test_what_is_public_is_annotated_whole():
    functions = list(public_functions())
    assert len(functions) > 200
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{function.lineno}: {function.name}: {', '.join(gaps)}"
        for path, function in functions
        if (gaps := what_is_not_annotated(function))
    ]
    assert not found, "what has no type in what is public:\n" + "\n".join(found)


def test_what_the_array_half_needs_is_named_alike_wherever_it_is_installed():
    root = PACKAGE.parent
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[\w-]+", line)[0] for line in declared}
    keras_half = {"keras", "tensorflow", "tensorflow-datasets", "importlib-resources"}
    assert keras_half < names
    readme = re.search(
        r"^pip install --no-deps git\+\S+\npip install (.*)$", (root / "README.md").read_text(), re.M
    )
    assert set(readme[1].split()) == names - keras_half
    makefile = (root / "Makefile").read_text().replace("\\\n", " ")
    light = re.search(r"^light:.*?^$", makefile, re.M | re.S)[0]
    assert names - keras_half < set(light.split())


def test_without_keras_the_half_that_needs_it_says_what_to_install():
    code = "import sys; sys.modules['keras'] = None\nfrom simnb import losses"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode
    assert done.stderr.splitlines()[-1].endswith("keras is not installed: pip install simnb")
