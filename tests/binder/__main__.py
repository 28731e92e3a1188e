"""A rehearsal of Binder on this machine, without Docker: ``python -m tests.binder``.

A clean copy of the checkout, an environment of the Python that ``binder/runtime.txt`` names with the Jupyter
that Binder's images have, the requirements, ``postBuild``; then, through ``start`` and in as much memory as
Binder gives, a JupyterLab that serves the notebook while it is executed. It takes minutes, and 3 GB of
temporary files.
"""

import argparse
import contextlib
import functools
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.binder.checkout import copy_to
from tests.binder.memory import MB, Limited
from tests.rehearsal import Failed, files_of, rehearse, run, tail

# What of this machine reaches the rehearsal: the way to the network and pip's settings, nothing else.
KEPT = re.compile(r"LANG|LC_ALL|TMPDIR|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|PIP_\w+|\w+_(proxy|PROXY)")
# Packages of Binder's own environment that the requirements build on.
BASE = ("jupyterlab", "notebook", "jupyter_server", "jupyter_client", "ipykernel", "ipywidgets", "nbclient")
WIDGETS = ("anywidget", "@jupyter-widgets/jupyterlab-manager")
DISK = 4_500  # megabytes
TOKEN = "rehearsal"


class Rehearsal:
    """The stages, one after the other, in a folder of their own."""

    def __init__(self, folder, megabytes):
        self.folder, self.megabytes = folder, megabytes
        self.home, self.environment = folder / "home", folder / "environment"
        # As in an image: the checkout is the home of the user, and the environment comes first.
        self.variables = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
        self.variables["PATH"] = f"{self.environment / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        self.variables |= {"HOME": str(self.home), "REPO_DIR": str(self.home), "PYTHONUNBUFFERED": "1"}
        data_sets = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
        if "TFDS_DATA_DIR" in os.environ or data_sets.is_dir():  # what is prepared is not fetched again
            self.variables["TFDS_DATA_DIR"] = str(data_sets)

    def run(self, command, **more):
        """Run a command in the copy; return what it printed, stdout and stderr together."""
        return run(command, cwd=self.home, env={**self.variables, **more})

    def copy(self):
        """Copy the checkout."""
        free = shutil.disk_usage(self.folder).free / MB
        if free < DISK:
            raise Failed(f"{self.folder} has {free:,.0f} MB left, of the {DISK:,} needed; set TMPDIR")
        return f"{copy_to(self.home)} files"

    def python(self):
        """Make an empty environment of the Python that is asked for."""
        runtime = (self.home / "binder" / "runtime.txt").read_text().strip()
        self.version = version = runtime.removeprefix("python-")
        ask = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        for program in (sys.executable, f"python{version}", f"/usr/bin/python{version}"):
            with contextlib.suppress(OSError):
                answer = subprocess.run([program, "-c", ask], capture_output=True, text=True)
                if answer.stdout.strip() == version:
                    self.run([program, "-m", "venv", self.environment], HOME=str(Path.home()))
                    return self.run(["python", "--version"]).strip()
        raise Failed(
            f"binder/runtime.txt names {runtime}, and no python{version} with venv and ensurepip is found; "
            "install one, where PATH leads to it"
        )

    def install(self):
        """Install Binder's Jupyter, then the requirements, as its image does."""
        pip = ["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        home = {"HOME": str(Path.home())}  # for the settings and the cache of pip
        self.run([*pip, *base_packages(self.version)], **home)
        self.run([*pip, "-r", "binder/requirements.txt"], **home)
        size = sum(path.stat().st_size for path in self.environment.rglob("*") if path.is_file())
        return f"{size / MB:,.0f} MB on disk"

    def package(self):
        """Look whether all of the package was installed, not only its Python."""
        where = "import pathlib, simnb.widgets; print(pathlib.Path(simnb.__file__).parent)"
        # Not from the checkout, where Python would find the package without having it installed.
        installed = Path(self.run(["python", "-c", f"import os; os.chdir('/'); {where}"]).splitlines()[-1])
        if not installed.is_relative_to(self.environment):
            raise Failed(f"simnb is imported from {installed}, not from the environment")
        missing = files_of(self.home / "simnb") - files_of(installed)
        if missing:
            raise Failed(f"not installed with the package: {', '.join(sorted(map(str, missing)))}")
        return f"{len(files_of(installed))} files"

    def post_build(self):
        """Run postBuild. Where CIFAR-10 cannot be had it must say so and fail; return the data set."""
        try:
            self.run(["binder/postBuild"])
        except Failed as failure:
            reason = re.search(r"cifar10: not prepared: (.*)", str(failure))
            if reason is None:
                raise
            self.data_set = "digits"
            return f"failed, as it must: {reason[0]}\n{'':14}from here on with digits"
        self.data_set = "cifar10"
        return "cifar10"

    def extensions(self):
        """Look whether JupyterLab starts, and finds what draws the widgets."""
        version = self.run(["binder/start", "jupyter", "lab", "--version"]).split()[-1]
        listed = re.sub(r"\x1b\[\d*m", "", self.run(["binder/start", "jupyter", "labextension", "list"]))
        for name in WIDGETS:
            if not re.search(rf"^\s*{re.escape(name)} v\S+ enabled OK", listed, re.M):
                raise Failed(f"JupyterLab does not list {name} as enabled and OK:\n{listed}")
        return f"{version}, with {' and '.join(WIDGETS)}"

    def notebook(self, name):
        """Execute a notebook while a JupyterLab runs beside it, in Binder's memory."""
        log = self.folder / f"{name}.log"
        limit = Limited(self.megabytes)
        try:
            with limit, log.open("w") as printed:
                self._execute(name, limit, printed)
        except Failed as failure:
            memory = f"it needs more than {self.megabytes:,} MB; " if limit.exceeded else ""
            held = f"{memory}{limit.peak:,.0f} MB seen at most, limit kept by {limit.by}"
            raise Failed(f"{tail(log.read_text())}\n{name}: {failure}; {held}") from None
        used = re.search(r"Data set: (\w+)", (self.folder / f"{name}.ipynb").read_text())
        if used and used[1] != self.data_set:
            raise Failed(f"{name} ran on {used[1]}, though postBuild left {self.data_set}")
        held = f"{limit.peak:,.0f} MB at most, JupyterLab included"
        return f"{held}; limit of {self.megabytes:,} MB, kept by {limit.by}"

    def _execute(self, name, limit, printed):
        path, port = f"notebooks/{name}.ipynb", free_port()
        options = {"cwd": self.home, "env": self.variables, "stdout": printed, "stderr": subprocess.STDOUT}
        lab = ["jupyter", "lab", "--no-browser", "--allow-root", f"--IdentityProvider.token={TOKEN}"]
        lab += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
        server = limit.start(["binder/start", *lab], **options)
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/lab/tree/{path}", server)  # what a launch link opens
        # Jupytext may refuse to open a notebook because of its text.
        for other in sorted((self.home / "notebooks").glob("*.ipynb")):
            wait_for(f"{url}/api/contents/notebooks/{other.name}", server)
        execute = ["python", "notebooks/run.py", "--to", str(self.folder), path]
        status = limit.start(["binder/start", *execute], **options).wait()
        if status:
            raise Failed(f"exit status {status}")
        if server.poll() is not None:
            raise Failed(f"JupyterLab ended meanwhile, with exit status {server.returncode}")


def free_port():
    """A port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(url, server, patience=120):
    """Wait until a server answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    end = time.monotonic() + patience
    while True:
        try:
            return opener.open(f"{url}?token={TOKEN}", timeout=patience).close()
        except OSError as error:
            if server.poll() is not None:
                raise Failed(f"JupyterLab did not start; its exit status is {server.returncode}") from None
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() > end:
                said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                raise Failed(f"JupyterLab does not serve {url}: {error}\n{said}") from None
            time.sleep(0.2)


def base_packages(version):
    """Requirements that name the packages of Binder's own environment, as repo2docker has locked them."""
    folder = Path(importlib.util.find_spec("repo2docker").origin).parent / "buildpacks" / "conda"
    lock = (folder / f"environment.py-{version}-linux-64.lock").read_text()
    found = {name: re.search(rf"/{name}-(\d[\w.]*)-[^/]*$", lock, re.M) for name in BASE}
    return [f"{name}=={match[1]}" for name, match in found.items()]


def stages_of(folder, notebooks, megabytes):
    """The stages by their names."""
    rehearsal = Rehearsal(folder, megabytes)
    stages = {name: getattr(rehearsal, name) for name in ("copy", "python", "install", "package")}
    stages |= {"postBuild": rehearsal.post_build, "jupyterlab": rehearsal.extensions}
    return stages | {name: functools.partial(rehearsal.notebook, name) for name in notebooks}


def main():
    """Rehearse; the exit status is not 0 where anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.binder", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", default=["01_quickstart"], metavar="NOTEBOOK")
    parser.add_argument(
        "--memory", type=int, default=2000, metavar="MB", help="for all processes (default: 2000)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that all that was made is removed
    with tempfile.TemporaryDirectory(prefix="simnb-binder-") as folder:
        failure = rehearse(stages_of(Path(folder), options.notebooks, options.memory))
    if failure is not None:
        sys.exit(f"\nBinder would not work. It failed at: {failure}")


if __name__ == "__main__":
    main()
