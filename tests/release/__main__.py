"""A rehearsal of a release: ``python -m tests.release``.

Sdist and wheel are built and looked at. Then the wheel is installed with one extra at a time into an
environment of its own, without the checkout, and runs the README's first example there; last come tests of
the sdist from the unpacked archive. It takes minutes, and temporary files of about 3 GB at a time.
"""

import argparse
import email
import functools
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from simnb import __version__
from tests.rehearsal import Failed, files_of, rehearse, run
from tests.release.first_example import QUERIES, first_example, make_images

ROOT = Path(__file__).parents[2]
UV = (sys.executable, "-m", "uv")
WHEEL_MB = 8
SDIST = "sdist"

# What each extra is there for, tried where it is installed alone.
EXTRAS = {
    "none": "",
    "ann": "from simnb.index import open_index; index = open_index('memory:', search='hnsw')\n"
    "index.add(np.eye(8)); assert index.search(np.eye(8)[:1], k=1).ids.tolist() == [[0]]",
    "jax": "import keras; assert keras.backend.backend() == 'jax'",
    "milvus": "from simnb.index import open_index; index = open_index('gallery.db')\n"
    "index.add(np.eye(8), ids=range(8)); assert index.search(np.eye(8)[:1], k=1).ids.tolist() == [[0]]",
    "notebooks": "import subprocess\n"
    "subprocess.run([sys.executable, '-m', 'jupyterlab', '--version'], check=True)\n"
    "import jupytext, nbconvert; from simnb.widgets import SearchBox; from simnb.index import open_index\n"
    "open_index('memory:', search='hnsw')",
    "onnx": "models.export(models.pretrained('cifar10'), 'embedder.onnx')",
    "umap": "from simnb.projection import project\n"
    "assert project(np.random.default_rng(0).normal(size=(40, 4)), 'umap').shape == (40, 2)",
    "widgets": "from simnb.widgets import Projector; Projector(np.eye(4), [0, 0, 1, 1]).to_html('map.html')",
}
# These take gigabytes, or minutes.
HEAVY = {
    "hub": "import keras_hub; assert 'dinov2_small' in keras_hub.models.Backbone.presets",
    "ray": "import ray.data; ray.init(num_cpus=1); assert ray.data.range(3).count() == 3",
    "torch": "import torch\n"
    "flat = models.from_torch(torch.nn.Flatten(), name='flat', mean=[0.5] * 3, std=[0.5] * 3)\n"
    "assert models.embed(flat, np.zeros((2, 4, 4, 3), np.uint8)).shape == (2, 48)",
}
# Of the sdist: two rooms, one of which reads files of earlier versions, and all that looks at what lies
# beside the package, where a file that is not in the archive is missed. The others are collected, no more.
SDIST_TESTS = (
    *("tests/index", "tests/metrics", "tests/binder", "tests/release"),
    *(
        "tests/test_architecture.py",
        "tests/test_constraints.py",
        "tests/test_readme.py",
        "tests/test_site.py",
    ),
)


class Release:
    """The stages, one after the other, in a folder of their own."""

    def __init__(self, folder):
        self.folder, self.dist = folder, folder / "dist"
        # Nothing that would lead Python to the checkout.
        self.variables = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KERAS", "VIRTUAL"))
        }
        self.variables["TF_CPP_MIN_LOG_LEVEL"] = "3"

    def build(self):
        """Build the sdist, and the wheel of the sdist."""
        run([*UV, "build", "--quiet", "--out-dir", self.dist, ROOT])
        (self.wheel,) = self.dist.glob("*.whl")
        (self.sdist,) = self.dist.glob("*.tar.gz")
        return ", ".join(
            f"{file.name} {file.stat().st_size / 1e6:.1f} MB" for file in (self.sdist, self.wheel)
        )

    def contents(self):
        """Look at what is in the wheel, and how PyPI would show it."""
        run([sys.executable, "-m", "twine", "check", "--strict", self.wheel, self.sdist])
        with zipfile.ZipFile(self.wheel) as archive:
            names = set(archive.namelist())
            (about,) = [name for name in names if name.endswith(".dist-info/METADATA")]
            self.metadata = email.message_from_string(archive.read(about).decode())
        if problems := problems_of(self.wheel.stat().st_size, names, self.metadata):
            raise Failed("\n".join(problems))
        return f"{len(names)} files"

    def extra(self, name):
        """Install the wheel with one extra, and try it there."""
        python = self.installed(f"{self.wheel}{'' if name == 'none' else f'[{name}]'}", name)
        work = self.folder / f"work-{name}"
        work.mkdir()
        make_images(work)
        there = {
            "cwd": work,
            "env": {**self.variables, **({"KERAS_BACKEND": "jax"} if name == "jax" else {})},
        }
        run([python, "-m", "simnb", "--help"], **there)
        checked = "import sys, numpy as np, simnb\nassert sys.prefix in simnb.__file__, simnb.__file__\n"
        example = first_example(self.metadata.get_payload())
        counted = f"assert len(search.match(parts.query).names) == {QUERIES}\n"
        run([python, "-c", checked + example + counted + {**EXTRAS, **HEAVY}[name]], **there)
        shutil.rmtree(python.parents[1])
        return "the first example runs"

    def tests_of_the_sdist(self):
        """Unpack the sdist, install it, and run its tests where it lies."""
        with tarfile.open(self.sdist) as archive:
            archive.extractall(self.folder, filter="data")
        source = self.folder / self.sdist.name.removesuffix(".tar.gz")
        python = self.installed(f"{source}[test]", SDIST)
        pytest, there = [python, "-m", "pytest", "-q"], {"cwd": source, "env": self.variables}
        collected = run([*pytest, "--collect-only"], **there).splitlines()[-1]
        passed = run([*pytest, "-n", "2", "--dist", "worksteal", *SDIST_TESTS], **there).splitlines()[-1]
        return f"{passed.strip('= ')}; of {collected.strip('= ')}"

    def installed(self, what, name):
        """The Python of a new environment in which something is installed."""
        python = self.folder / f"environment-{name}" / ("Scripts" if os.name == "nt" else "bin") / "python"
        run([*UV, "venv", "--quiet", "--python", sys.executable, python.parents[1]])
        given = os.environ.get("CONSTRAINTS", "constraints.txt")
        constraints = ["--constraint", ROOT / given] if given else []
        run([*UV, "pip", "install", "--quiet", "--python", python, *constraints, what], cwd=self.folder)
        run([*UV, "pip", "check", "--python", python])
        return python


def problems_of(size, names, metadata):
    """What is wrong with a wheel of this size, of these files and metadata."""
    wanted = {f"simnb/{path.as_posix()}" for path in files_of(ROOT / "simnb")}
    problems = [f"not in the wheel: {name}" for name in sorted(wanted - names)]
    others = {name for name in names - wanted if ".dist-info/" not in name}
    problems += [f"in the wheel, but not of the package: {name}" for name in sorted(others)]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        problems.append("it has no licence")
    if size >= WHEEL_MB * 1e6:
        problems.append(f"it has {size / 1e6:.1f} MB, {WHEEL_MB} is the most")
    if metadata["Version"] != __version__:
        problems.append(f"it is of version {metadata['Version']}, not {__version__}")
    links = re.findall(r"\]\((?!https?://|#)([^)]*)\)", metadata.get_payload())
    problems += [f"its page on PyPI would lead nowhere: {link}" for link in links]
    return problems


def problem_with(tag, changelog):
    """Why this tag is not released, with this text of the changelog; None where it is."""
    if tag != f"v{__version__}":
        return f"the tag is {tag}, and simnb.__version__ is {__version__}: they must agree"
    if not re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.M):
        return f"CHANGELOG.md has no section '## [{__version__}] - year-month-day'"
    return None


def main():
    """Rehearse; the exit status is not 0 where anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.release", description=__doc__.splitlines()[0])
    known = [*EXTRAS, *HEAVY, SDIST]
    some = [*EXTRAS, SDIST]
    names = ", ".join(known)
    parser.add_argument(
        "what", nargs="*", metavar="EXTRA", help=f"of {names} (default: without {', '.join(HEAVY)})"
    )
    parser.add_argument("--tag", help="refuse where version and changelog are of another release")
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="leave the archives there, if nothing failed"
    )
    options = parser.parse_args()
    if unknown := set(options.what) - set(known):
        parser.error(f"EXTRA must be of {names}, got {', '.join(sorted(unknown))}")
    if options.tag and (problem := problem_with(options.tag, (ROOT / "CHANGELOG.md").read_text("utf-8"))):
        sys.exit(problem)
    with tempfile.TemporaryDirectory(prefix="simnb-release-") as folder:
        release = Release(Path(folder))
        stages = {"build": release.build, "contents": release.contents}
        for name in options.what or some:
            stages[name] = (
                release.tests_of_the_sdist if name == SDIST else functools.partial(release.extra, name)
            )
        failure = rehearse(stages)
        if failure is not None:
            sys.exit(f"\nThe release would not work. It failed at: {failure}")
        if options.to:
            options.to.mkdir(parents=True, exist_ok=True)
            for file in (release.wheel, release.sdist):
                shutil.copy2(file, options.to)


if __name__ == "__main__":
    main()
