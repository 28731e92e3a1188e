"""A connection to Milvus that says in plain words what went wrong, and tries again where that helps."""

import logging
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "tcp")
_SERVER_TIMEOUT, _LITE_TIMEOUT = 10.0, 300.0  # seconds; Lite computes in this process
# Of Milvus: unavailable, not (fully) loaded, replica, channel, segment or node not there for now.
_PASSING = {2, 101, 103, 400, 401, 500, 501, 503, 600, 601, 901, 902, 904, 905}
_NOT_LOADED = (101, 103)
_UNNAMED, _TRIES = (1, 65535), 3  # codes of anything, and how often such a call is made
_ACCESS = (1400, 1401, 1800)
# Lite, in this process, takes the pings by which pymilvus keeps a connection for too many, and hangs up.
_WITHOUT_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1}
_lock = threading.Lock()
_open_files: dict[Path, int] = {}  # Lite: how many connections of this process share a file


class Connection:
    """A client of one Milvus, by the options of ``MilvusIndex``.

    Raises:
        ImportError: If pymilvus is not installed.
        OSError: If nothing answers (``ConnectionError``, ``TimeoutError``), or the file cannot be opened.
    """

    def __init__(self, uri, *, token=None, timeout=None):
        self._uri = str(uri)
        self._file = None if urlsplit(self._uri).scheme in SCHEMES else Path(self._uri).absolute()
        self.pymilvus = _import_pymilvus(lite=self._file is not None)
        self.timeout = timeout or (_LITE_TIMEOUT if self._file else _SERVER_TIMEOUT)
        self._client = None
        if self._file is not None:
            self._share_file()
        try:
            options = {"grpc_options": _WITHOUT_PINGS} if self._file is not None else {}
            self._client = self._connect({"token": token or "", "dedicated": True, **options})
            self.lite = self.call("get_server_version").startswith("milvus_lite")
        except BaseException:
            self.close()
            raise

    @property
    def shown(self):
        """The address without a password in it."""
        parts = urlsplit(self._uri)
        if self._file is not None or "@" not in parts.netloc:
            return self._uri
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def call(self, method, *arguments, **options):
        """Call a method of ``MilvusClient``; again, until the time is over, where the trouble may pass.

        Its first argument is the name of a collection. Every call made here may be made twice: it reads, or
        writes rows that have ids.
        """
        self.check_open()
        until, tries, pause = time.monotonic() + self.timeout, 0, 0.05
        while True:
            remaining = max(until - time.monotonic(), 0.5)
            try:
                return getattr(self._client, method)(*arguments, timeout=remaining, **options)
            except self._errors() as error:
                tries += 1
                code = _code(error)
                passing = _passes(error) or (code in _UNNAMED and tries < _TRIES)
                if not passing or time.monotonic() + pause > until:
                    raise self._explained(method, error) from error
                if code in _NOT_LOADED and arguments and method != "load_collection":
                    self.call("load_collection", arguments[0])
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def check_open(self):
        """Raise ValueError if the connection was closed."""
        if self.closed:
            raise ValueError(f"the index of {self.shown} is closed: open it again")

    @property
    def closed(self):
        """Whether it was closed."""
        return self._client is None

    def close(self):
        """Let go of the connection, and of a file that no other index of this process uses."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
        file, self._file = self._file, None
        if file is None:
            return
        from milvus_lite.server_manager import server_manager_instance

        with _lock:
            _open_files[file] -= 1
            if _open_files[file] == 0:
                del _open_files[file]
                server_manager_instance.release_server(str(file))

    def _share_file(self):
        if not self._file.parent.is_dir():
            raise FileNotFoundError(f"{self._uri} cannot be made: there is no folder {self._file.parent}")
        if self._file.is_file():
            raise ValueError(
                f"{self._uri} is a file, but Milvus Lite keeps a folder under that name: choose another one"
            )
        with _lock:
            _open_files[self._file] = _open_files.get(self._file, 0) + 1

    def _connect(self, options):
        """A client, as soon as there is one: a server may just be starting."""
        causes, until = _Causes(), time.monotonic() + self.timeout
        logger = logging.getLogger("milvus_lite.server_manager")
        propagates, logger.propagate = logger.propagate, False
        logger.addHandler(causes)
        try:
            while True:
                remaining = max(until - time.monotonic(), 0.5)
                try:
                    return self.pymilvus.MilvusClient(self._uri, **options, timeout=remaining)
                except self._errors() as error:
                    if causes.found is not None:
                        raise self._of_file(causes.found) from causes.found
                    explained = self._explained("connect", error)
                    if not isinstance(explained, ConnectionError) or time.monotonic() > until:
                        raise explained from error
                time.sleep(0.2)
        finally:
            logger.removeHandler(causes)
            logger.propagate = propagates

    def _of_file(self, cause):
        if type(cause).__name__ != "DataDirLockedError":
            return OSError(f"{self._uri} cannot be opened as a Milvus Lite store: {cause}")
        return BlockingIOError(
            f"{self._uri} is open in another process (another notebook?): Milvus Lite takes one at a time. "
            'Close it there, or use a file such as "gallery.sqlite" or a Milvus server, which take several'
        )

    def _errors(self):
        import grpc  # type: ignore[import-untyped]  # it ships no types

        return (self.pymilvus.MilvusException, grpc.RpcError, grpc.FutureTimeoutError)

    def _explained(self, method, error):
        """An exception of Python's own, with a sentence."""
        code, text = _code(error), _text(error)
        name = getattr(code, "name", "")
        if type(error).__name__ in ("ParamError", "DataNotMatchException"):
            return ValueError(f"Milvus does not take the arguments of {method}: {text}")
        where = f"Milvus at {self.shown}"
        if name in ("UNAUTHENTICATED", "PERMISSION_DENIED") or code in _ACCESS:
            return PermissionError(f'{where} asks for a token="user:password": {text}')
        if name == "DEADLINE_EXCEEDED" or (name != "UNAVAILABLE" and "timeout" in text.lower()):
            return TimeoutError(
                f"{where} did not finish {method} in {self.timeout:g} s; open_index(..., timeout=...) waits "
                f"longer ({text})"
            )
        if name in ("UNAVAILABLE", "CANCELLED") or _passes(error) or "closed channel" in text:
            return ConnectionError(
                f"{where} does not answer: see that it runs, is ready and has this address, then try again "
                f"({method}: {text})"
            )
        return OSError(f"{where} refuses {method}: {text}")


class _Causes(logging.Handler):
    """Holds on to the exception that Milvus Lite writes to a log instead of raising it."""

    found = None

    def emit(self, record):
        self.found = record.exc_info[1] if record.exc_info else self.found


def _import_pymilvus(*, lite):
    try:
        import pymilvus

        if lite:
            import milvus_lite.server_manager  # noqa: F401
    except ImportError as error:
        raise ImportError('an index in Milvus needs pymilvus: pip install "simnb[milvus]"') from error
    logger = logging.getLogger("pymilvus")
    if logger.level == logging.WARNING:  # its own choice: it prints a traceback for each error it raises
        logger.setLevel(logging.CRITICAL)
    return pymilvus


def _code(error):
    code = getattr(error, "code", None)
    return code() if callable(code) else code


def _passes(error):
    """Whether Milvus says that something is not there yet."""
    code = _code(error)
    return code in _PASSING or (code in _UNNAMED and "not ready" in _text(error))


def _text(error):
    details = getattr(error, "details", None)
    text = details() if callable(details) else getattr(error, "message", "")
    return (text or str(error) or type(error).__name__).strip()
