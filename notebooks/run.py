"""Execute notebooks without a browser, with a live line per stage.

``python notebooks/run.py notebooks/01_quickstart.ipynb`` rebuilds a committed notebook from its pair in
``notebooks/py``; ``--to build`` leaves the committed file alone and writes the executed notebook and its
HTML page into a folder. A file is replaced once it is complete, never half-written.
"""

import argparse
import base64
import io
import itertools
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from PIL import Image

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_TIMEOUT = 4 * 3600  # seconds; the tutorial's full schedule takes long


class LiveClient(NotebookClient):
    """Executes a notebook, and prints its headings and what its cells print as they run."""

    def stages_begin(self):
        """Start the clock."""
        self.stages, self.peak = [], 0.0
        self.start = time.perf_counter()

    def look_at_memory(self):
        """Take down the most memory that the kernel held so far, in MB."""
        try:
            status = Path(f"/proc/{self.km.provisioner.pid}/status").read_text()
            self.peak = int(status.split("VmHWM:")[1].split()[0]) / 1e3
        except OSError:  # not on Linux: of all kernels so far; bytes on macOS, kilobytes elsewhere
            unit = 1e6 if sys.platform == "darwin" else 1e3
            self.peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit

    def enter_stage(self, index):
        """Print the heading that cell ``index`` stands under, if it is a new one."""
        headings = [
            line[3:]
            for cell in self.nb.cells[:index]
            if cell.cell_type == "markdown"
            for line in cell.source.splitlines()
            if line.startswith("## ")
        ]
        if headings and (not self.stages or self.stages[-1][0] != headings[-1]):
            now = time.perf_counter() - self.start
            self.stages.append((headings[-1], now))
            print(f"[{now:5.0f} s] {headings[-1]}", flush=True)

    def process_message(self, msg, cell, cell_index):
        """Print what a cell prints, indented, while it runs."""
        if msg["msg_type"] == "stream" and msg["content"]["name"] == "stdout":
            for line in msg["content"]["text"].splitlines():
                if line.strip():
                    print(f"          {line}", flush=True)
        return super().process_message(msg, cell, cell_index)

    def report(self):
        """Print the cell tagged ``summary`` once more, and how long each stage took."""
        for cell in self.nb.cells:
            if "summary" in cell.metadata.get("tags", []):
                print("\nSummary\n" + "".join(output.get("text", "") for output in cell.outputs).rstrip())
        end = time.perf_counter() - self.start
        print("\nSeconds a stage")
        for (name, begun), (_, ended) in itertools.pairwise([*self.stages, ("", end)]):
            print(f"{ended - begun:9.1f}  {name}")
        print(f"{end:9.1f}  together")
        print(f"{self.peak:9.0f}  MB, the most memory the kernel held")


def text_of(path):
    """The text that a notebook is made of: that of solutions lies beside the others, in a folder of its own."""
    if path.parent.name == "solutions":
        return path.parents[1] / "py" / "solutions" / f"{path.stem}.py"
    return path.parent / "py" / f"{path.stem}.py"


def execute(path):
    """Execute the text form of a notebook; return it with its outputs and fixed metadata."""
    notebook = jupytext.read(text_of(path))
    notebook.metadata = nbformat.from_dict(KERNEL)
    # Cell ids from the position: the same notebook gives the same bytes.
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    client = LiveClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
    )
    client.on_cell_execute = lambda cell, cell_index: client.enter_stage(cell_index)  # code cells only
    client.on_cell_executed = lambda cell, cell_index, execute_reply: client.look_at_memory()
    client.stages_begin()
    # Bars are for people who watch: in a saved notebook they stand still.
    client.execute(stderr=subprocess.DEVNULL, env={**os.environ, "TQDM_DISABLE": "1"})
    CoalesceStreamsPreprocessor().preprocess(notebook, {})
    notebook.metadata = nbformat.from_dict(KERNEL)
    for cell in notebook.cells:
        kept = {name: cell.metadata[name] for name in ("tags", "jupyter") if name in cell.metadata}
        cell.metadata = nbformat.from_dict(kept)
    keep_stills(notebook)
    shrink(notebook)
    describe(notebook)
    client.report()
    return notebook


def keep_stills(notebook):
    """Of a widget keep its picture: what drew it is gone with the kernel."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("application/vnd.jupyter.widget-view+json", None)


def shrink(notebook):
    """Store figures with 256 colours: smaller, and hardly a difference to see.

    Those that reach the farthest colours, and then fit: the median cut drops what is rare, such as the colours of
    a legend.
    """
    fit = {"method": Image.Quantize.MAXCOVERAGE, "kmeans": 2, "dither": Image.Dither.NONE}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                figure = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB")
                small = io.BytesIO()
                figure.quantize(256, **fit).save(small, "PNG", optimize=True)
                output.data["image/png"] = base64.b64encode(small.getvalue()).decode()


def describe(notebook):
    """Let a figure be read aloud: its alternative text is the sentence that the cell after it says of it."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, after in itertools.pairwise(code):
        said = [o.data["text/markdown"] for o in after.outputs if "text/markdown" in o.get("data", {})]
        figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        if len(figures) == len(said) == 1:
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", said[0]).replace("*", "").replace("`", "")
            figures[0].metadata["image/png"] = {"alt": plain}


def replace(path, text):
    """Write a file beside itself, then put it in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def save_picture(notebook, path):
    """Write the figure of the cell tagged ``picture`` beside the notebooks, for pages that show it."""
    for cell in notebook.cells:
        if "picture" in cell.metadata.get("tags", []):
            png = next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {}))
            target = path.parent / "pictures" / f"{path.stem}.png"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(base64.b64decode(png))
            print(f"Picture   {target}")


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK.ipynb")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="write here, with an HTML page beside it")
    options = parser.parse_args()
    folders = {path.parent for path in options.notebooks} if options.to is None else {options.to}
    for folder in folders:  # now, not after minutes of training
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            sys.exit(f"nothing can be written into {folder}: {error.strerror}")
    for path in options.notebooks:
        print(f"\n{path}")
        try:
            notebook = execute(path)
        except CellExecutionError as error:
            sys.exit(f"{path} failed; nothing was written.\n{error}")
        except DeadKernelError:
            sys.exit(f"The kernel of {path} died, perhaps for want of memory; nothing was written.")
        except (KeyboardInterrupt, AssertionError):  # nbclient ends an interrupted run with the latter
            sys.exit(f"\n{path} was interrupted; nothing was written.")
        target = path if options.to is None else options.to / path.name
        replace(target, nbformat.writes(notebook) + "\n")
        print(f"\nNotebook  {target}")
        if options.to is None:
            save_picture(notebook, path)
        else:
            page, _ = HTMLExporter().from_notebook_node(notebook)
            replace(target.with_suffix(".html"), page)
            print(f"Page      {target.with_suffix('.html')}")


if __name__ == "__main__":
    main()
