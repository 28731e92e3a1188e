"""The real Milvus Standalone, from the last release on PyPI, as a process of its own.

It is a test's server and no more: version 2.3.5, for Linux on x86-64, with its files in a temporary folder.
The package (56 MB) is fetched once into ``build/milvus``, apart from the environment of the project.
"""

import contextlib
import ctypes
import importlib.util
import os
import platform
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

PACKAGE = "milvus==2.3.5"
CACHE = Path(__file__).parents[2] / "build" / "milvus"
ROLES = ("rootCoord", "proxy", "queryCoord", "queryNode", "indexNode", "dataCoord", "dataNode")
# For short tests: time ticks, which "Strong" consistency waits for, every 20 ms and not 200; a look whether
# there is something to load every 100 ms and not each second; and after 5 s, not 30, the roles of a killed
# server count as gone, which the next one waits for.
SETTINGS = {
    "proxy.timeTickInterval": 20,
    "queryCoord.checkInterval": 100,
    "queryCoord.distPullInterval": 100,
    "common.session.ttl": 5,
    "log.level": "warn",
}


def runs_here():
    """Whether there are binaries for this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


class MilvusServer:
    """A server that is started, killed and started again; its data stay until ``stop``."""

    def __init__(self):
        """Prepare the files and choose the ports."""
        self.folder = Path(tempfile.mkdtemp(prefix="simnb-milvus-"))
        self.process, self._was_killed = None, False
        try:
            package = _package()
            ports = [key for key in package.default_server.config_keys if key.endswith("_port")]
            *numbers, self._health_port, client, peer = free_ports(len(ports) + 3)
            self._write_etcd(f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}")
            config = package.MilvusServerConfig(
                data_dir=str(self.folder), **dict(zip(ports, numbers, strict=True))
            )
            config.extra_configs.update({f"{role}.ip": "127.0.0.1" for role in ROLES})
            config.extra_configs.update(SETTINGS)
            config.resolve()
            self.uri = f"http://127.0.0.1:{config.get('proxy_port')}"
        except BaseException:
            self.stop()
            raise

    def start(self, timeout=180):
        """Start it and wait until it answers.

        A server of this release that was killed may end as it starts, up to three times, before it comes up
        (milvus-io/milvus#25182, #30355); so it is started again, as what keeps a service up does.
        """
        until = time.monotonic() + timeout
        try:
            for _ in range(4 if self._was_killed else 1):
                self._launch()
                if self._answers(until):
                    return
            raise RuntimeError(f"Milvus ended as it started: {self._log()}")
        except BaseException:
            self.stop()
            raise

    def _launch(self):
        """Start the process."""
        binaries = CACHE / "bin"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "ETCD_CONFIG_PATH": str(self.folder / "etcd.yaml"),
            "METRICS_PORT": str(self._health_port),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": f"{binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        }
        with open(self.folder / "logs" / "output.log", "ab") as log:
            self.process = subprocess.Popen(
                [binaries / "milvus", "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )

    def kill(self):
        """End it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process, self._was_killed = None, True

    def stop(self):
        """End it and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_etcd(self, client, peer):
        """Ports of the etcd inside: else they are 2379 and 2380, and there can be one server on a machine."""
        lines = {
            "name": "default",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (self.folder / "etcd.yaml").write_text(text)

    def _answers(self, until):
        """Wait for its answer; false where it ends before one."""
        while time.monotonic() < until:
            if self.process.poll() is not None:
                return False
            address = f"http://127.0.0.1:{self._health_port}/healthz"
            # Until it is ready, nobody listens, nobody answers, or the answer is an error of HTTP.
            with (
                contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
                urllib.request.urlopen(address, timeout=5) as answer,
            ):
                if b"OK" in answer.read():
                    return True
            time.sleep(0.1)
        raise TimeoutError(f"Milvus did not start in time: {self._log()}")

    def _log(self):
        return (self.folder / "logs" / "output.log").read_text(errors="replace")[-2000:]


def _die_with_parent():
    """Have Linux end the server even where the tests are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_ports(count):
    """Ports that nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


def _package():
    """The package, fetched and unpacked where it is not there yet."""
    module = CACHE / "site" / "milvus" / "__init__.py"
    if not module.exists():
        with tempfile.TemporaryDirectory(prefix="simnb-pip-") as new:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*command, "--no-deps", "--target", new, PACKAGE], check=True)
            shutil.copytree(new, CACHE / "site", dirs_exist_ok=True)
    spec = importlib.util.spec_from_file_location("simnb_tests_milvus", module)
    package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    package._initialize_data_files(CACHE)
    return package
