"""A corpus into an index with Ray, on two machines, one of which is lost."""

import contextlib
import importlib.util
import secrets
import threading
import time
from unittest import mock

import numpy as np
import pytest
from sklearn.datasets import load_digits

from simnb import data
from simnb.index import open_index
from simnb.models import embed
from simnb.scale import CorpusReport, Embedder, embed_corpus, stable_ids

from ..index import milvus_server
from .conftest import needs_arrow, opened, rows_of, write_digits

RAY_TOKEN = secrets.token_hex(32)  # Ray reads it once in a process


def with_ray(test):
    """A test that takes a minute, and a package that is not always there."""
    missing = importlib.util.find_spec("ray") is None
    skip = pytest.mark.skipif(missing, reason='several workers need Ray: pip install "simnb[ray]"')
    # Ray's own data context reads what Ray deprecates.
    quiet = pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning")
    return pytest.mark.server(skip(quiet(test)))


@pytest.fixture
def at_home(monkeypatch):
    """Ray tells nobody, answers nobody and writes nothing into the user's home."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", RAY_TOKEN)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def two_machines(at_home, monkeypatch):
    """A cluster of two nodes with one CPU each, on the loopback interface: the first is the driver's."""
    import ray
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    # Else Ray takes 127.0.0.1 for this machine's address in the network, where nobody listens.
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        ray.init(address=cluster.address, _node_ip_address="127.0.0.1", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def milvus():
    """The address of a real Milvus Standalone."""
    pytest.importorskip("pymilvus", reason='Milvus needs pymilvus: pip install "simnb[milvus]"')
    if not milvus_server.runs_here():
        pytest.skip("the Milvus server on PyPI is for Linux on x86-64")
    # Beside a Ray that starts and dies it may have to wait: its roles are not to give one another up.
    with mock.patch.dict(milvus_server.SETTINGS, {"common.session.ttl": 60}):
        server = milvus_server.MilvusServer()
    try:
        server.start()
        yield server.uri
    finally:
        server.stop()


class Removal(threading.Thread):
    """Removes the second node of a cluster, with all its processes, when an index has some rows."""

    def __init__(self, cluster, embedder, rows):
        super().__init__(daemon=True)
        self.cluster, self.embedder, self.rows = cluster, embedder, rows
        self.found = self.workers = None  # at that time

    def run(self):
        (node,) = self.cluster.worker_nodes
        with contextlib.closing(opened(self.embedder)) as index:
            while (found := len(index)) < self.rows:
                time.sleep(0.1)
        self.found, self.workers = found, workers_on(node)
        self.cluster.remove_node(node, allow_graceful=False)


def workers_on(node):
    """How many embedders live on a node."""
    from ray._private.state import actors

    return sum(
        "MapWorker" in actor["ActorClassName"]
        and actor["State"] == "ALIVE"
        and actor["Address"]["NodeID"] == node.node_id
        for actor in actors().values()
    )


@with_ray
def test_nothing_is_lost_or_doubled_when_a_machine_is(two_machines, milvus, model_path, tmp_path):
    root = tmp_path / "photos"
    keys = write_digits(root, range(900))
    (root / "digit-0" / "broken.png").write_bytes(b"broken")
    embedder = Embedder(model_path, milvus, index_options={"collection": "photos"})
    with pytest.raises(ValueError, match="workers must leave CPUs for reading, got 2 workers x 1 CPUs of 2"):
        embed_corpus(root, embedder, workers=2, cpus_per_worker=1)

    removal = Removal(two_machines, embedder, rows=60)
    removal.start()
    with pytest.warns(UserWarning, match=r"1 of 901 images could not be read: digit-0/broken\.png"):
        report = embed_corpus(root, embedder, workers=2, batch_size=5)
    removal.join()

    assert 60 <= removal.found < 800, "the node has to go in the middle"
    assert removal.workers == 1
    assert (report.embedded, report.present) == (900, 0)
    rows = rows_of(embedder)
    assert sorted(rows) == keys
    assert all(key.startswith(f"{name}/") for key, (name, _) in rows.items())
    (root / "digit-0" / "broken.png").unlink()
    examples = data.from_folder(root, image_size=(8, 8))
    expected = embed(embedder.model, examples.images)
    np.testing.assert_allclose([rows[key][1] for key in keys], expected, atol=1e-5)


@needs_arrow
@with_ray
def test_ray_reads_only_the_rows_that_are_missing(at_home, tables, row_embedder):
    import ray

    embed_corpus([tables / "a.parquet"], row_embedder)
    with contextlib.closing(open_index(row_embedder.uri)) as index:
        index.remove(stable_ids(["n0", "n7"]))
    report = embed_corpus(tables, row_embedder, workers=2, batch_size=3, cpus_per_worker=0.25)
    assert report == CorpusReport(embedded=9, present=8)
    assert not ray.is_initialized()
    targets = load_digits().target
    names = {key: name for key, (name, _) in rows_of(row_embedder).items()}
    assert names == {f"n{row}": f"digit-{targets[row]}" for row in range(17)}
    with contextlib.closing(open_index(row_embedder.uri)) as index:
        metadata = {row["name"]: row for row in index.get().metadata}
    assert metadata["n16"] == {"name": "n16", "year": 2016}
    assert metadata["n15"] == {"name": "n15"}
