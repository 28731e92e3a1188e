"""A JupyterLab without settings of the user, to be driven from a page of Chromium."""

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

TOKEN = "a-token-of-this-test"
SETTINGS = {
    # Every cell is in the page, also those off the screen.
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}',
    "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}
FOLDERS = {
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
    "TFDS_DATA_DIR": "no_data",  # a file where the folder of data sets should be: digits
}
WIDGET = "window.jupyterapp.shell.currentWidget"


@dataclass
class Lab:
    """A JupyterLab that runs, and the folder it shows."""

    url: str
    folder: Path

    def open(self, page, name):
        """Open a notebook by its file name, and wait for its kernel."""
        page.goto(f"{self.url}/doc/tree/{name}?token={TOKEN}")
        kernel = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
        page.wait_for_function(f"() => {kernel}?.status === 'idle'", timeout=90_000)

    def run_all(self, page, *, minutes=10):
        """Run every cell; one that raises fails with what it printed."""
        page.set_default_timeout(minutes * 60_000)
        done = page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.set_default_timeout(30_000)
        assert done, page.locator(".jp-OutputArea-output[data-mime-type*=error]").all_inner_texts()

    def value(self, page, expression):
        """The ``repr`` of a Python expression in the kernel of the open notebook."""
        ask = f"""async code => {{
            const kernel = {WIDGET}.sessionContext.session.kernel;
            let answer = null;
            const future = kernel.requestExecute({{code: '', user_expressions: {{answer: code}}}});
            future.onReply = reply => {{ answer = reply.content.user_expressions.answer; }};
            await future.done;
            return answer;
        }}"""
        answer = page.evaluate(ask, expression)
        assert answer["status"] == "ok", answer
        return answer["data"]["text/plain"]

    def shut_kernels_down(self, page):
        """TensorFlow keeps its memory until then."""
        page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")

    def choose_theme(self, page, name):
        """The theme ``Dark`` or ``Light``, another than the one that is shown."""
        colour = "getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')"
        before = page.evaluate(colour)
        change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
        page.evaluate(change, f"JupyterLab {name}")
        page.wait_for_function(f"before => {colour} !== before", arg=before)
        # JupyterLab stumbles over a theme that is changed while it still removes what covered the change.
        page.wait_for_selector("#jupyterlab-splash", state="detached")


@contextlib.contextmanager
def started(base):
    """A ``Lab`` on the folder ``base / "notebooks"``, with the digits; all it writes goes into ``base``."""
    folder = base / "notebooks"
    folder.mkdir(exist_ok=True)
    for name, text in SETTINGS.items():
        file = base / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (base / "no_data").touch()
    environment = {**os.environ, **{name: str(base / path) for name, path in FOLDERS.items()}}
    environment.update(TQDM_DISABLE="1", TF_CPP_MIN_LOG_LEVEL="3", PYTHONPATH=str(Path(__file__).parents[2]))
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"),
        *(f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True"),
        f"--ServerApp.root_dir={folder}",
    ]
    log = base / "log"
    with log.open("w") as output:
        options = {"stdout": output, "stderr": subprocess.STDOUT, "env": environment, "cwd": folder}
        server = subprocess.Popen(command, **options)
    try:
        yield Lab(_address(server, log), folder)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _address(server, log):
    """Where the server answers, once it does."""
    for _ in range(240):
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", log.read_text())
        if found and found[1] != "0":
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(f"{found[0]}api?token={TOKEN}", timeout=5).close()
                return found[0].rstrip("/")
        assert server.poll() is None, log.read_text()
        time.sleep(0.25)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")
