"""What only Milvus has: faults of files and servers, limits, several writers, and the graph's recall."""

import re
import socket
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest

from simnb.distances import pairwise
from simnb.index import Rows, open_index
from simnb.index._filters import conditions
from simnb.index.milvus import client as milvus_client
from simnb.index.milvus import collection, filters
from simnb.index.milvus import search as milvus_search
from simnb.index.milvus.client import Connection
from simnb.index.milvus.filters import expressions

from .conftest import drop_collections, vectors
from .milvus_server import MilvusServer, free_ports, runs_here

SERVER = pytest.param("milvus_server", id="server", marks=pytest.mark.server)


@pytest.fixture(params=[pytest.param("milvus_lite", id="lite"), SERVER])
def opened(request):
    """Opens indexes in one Milvus, all of the same collection unless another is named."""
    yield from opener(request.getfixturevalue(request.param))


@pytest.fixture
def lite(milvus_lite):
    """The same in Milvus Lite only."""
    yield from opener(milvus_lite)


def opener(uri):
    name, made = f"test_{uuid.uuid4().hex}", []

    def open(**options):
        made.append(open_index(uri, **{"collection": name, **options}))
        return made[-1]

    open.uri, open.name = uri, name
    yield open
    for index in made:
        index.close()
    drop_collections(uri, [name])


def run(code, *arguments):
    """Start Python with some code, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# Packages


def test_names_keep_their_order_where_clocks_differ(lite, monkeypatch):
    index = lite()
    index.add(np.eye(2), ["b", "c"])
    monkeypatch.setattr(collection.time, "time_ns", lambda: 1_000)
    index.add(np.eye(2), ["a", "b"])
    assert index.class_names == lite().class_names == ("b", "c", "a")


def test_pymilvus_is_imported_only_for_an_index_in_milvus():
    code = "import sys, simnb.index; simnb.index.open_index(); print('pymilvus' in sys.modules)"
    assert run(code).communicate() == ("False\n", "")


@pytest.mark.parametrize("package", ["pymilvus", "milvus_lite"])
def test_a_missing_package_is_named_with_the_command(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.server_manager", None)
    with pytest.raises(ImportError, match=re.escape('pip install "simnb[milvus]"')):
        open_index(tmp_path / "gallery.db")


# Options


def test_what_an_address_cannot_be_is_said(tmp_path):
    with pytest.raises(
        ValueError, match=r'uri must be "memory:".*"http://localhost:19530", got .*gallery.txt'
    ):
        open_index(tmp_path / "gallery.txt")
    with pytest.raises(ValueError, match="collection, token and timeout are for an index in Milvus"):
        open_index("memory:", token="root:Milvus")
    with pytest.raises(ValueError, match=r"collection must be letters, digits and _, .*got 'a b'"):
        open_index(tmp_path / "gallery.db", collection="a b")
    with pytest.raises(ValueError, match="timeout must be a number above 0, got 0"):
        open_index("http://localhost:1", timeout=0)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_index(tmp_path / "no" / "gallery.db")
    (tmp_path / "file.db").write_text("something else")
    with pytest.raises(
        ValueError, match=r"file.db is a file, but Milvus Lite keeps a folder under that name"
    ):
        open_index(tmp_path / "file.db")


def test_an_index_keeps_its_options(lite):
    lite(distance="squared_euclidean", search="hnsw", class_names=["cat", "dog"]).add(np.eye(3), [0, 1, 0])
    again = lite()
    assert (again.distance, again.class_names, again.dim) == ("squared_euclidean", ("cat", "dog"), 3)
    assert again.recall.recall == 1.0
    with pytest.raises(
        ValueError, match=r"search must be that of collection .*'hnsw', got 'exact'; leave it out"
    ):
        lite(search="exact")
    with pytest.raises(ValueError, match=r"class_names must be that of .*\('cat', 'dog'\), got \('dog',\)"):
        lite(class_names=["dog"])


def test_class_names_are_there_before_the_first_rows(lite, monkeypatch):
    def failing(self, rows):
        raise ConnectionError("gone")

    monkeypatch.setattr(collection.Collection, "write", failing)
    monkeypatch.setattr(collection.Collection, "register", lambda self, *names, **more: None)
    with pytest.raises(ConnectionError, match="gone"):
        lite(class_names=["dog", "cat"]).add(np.eye(2), [0, 1])
    assert lite().class_names == ("dog", "cat")


def test_a_collection_of_something_else_is_refused(lite):
    from pymilvus import MilvusClient

    client = MilvusClient(lite.uri, dedicated=True)
    client.create_collection(lite.name, dimension=4)
    client.close()
    with pytest.raises(
        ValueError, match=r"must be one that simnb made, got fields id, vector; choose another name"
    ):
        lite()


def test_a_collection_that_another_made_otherwise_is_refused_each_time(lite):
    index, other = lite(distance="cosine"), lite(distance="euclidean")
    other.add(np.eye(3))
    of_another = r"distance must be that of collection .*'euclidean', got 'cosine'"
    for _ in range(2):
        with pytest.raises(ValueError, match=of_another):
            index.search(np.eye(3), k=1)
    with pytest.raises(ValueError, match=of_another):
        index.add(np.eye(3))
    assert len(other) == 3


def test_a_closed_index_says_so(lite):
    index = lite()
    index.close()
    index.close()
    with pytest.raises(ValueError, match=r"the index of .* is closed: open it again"):
        len(index)


# Servers that are down, slow, or go away


class Clock:
    """Takes the place of the module ``time``: only waiting lets time pass."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        """Seconds since the clock was made."""
        return self.now

    def sleep(self, seconds):
        """Wait."""
        self.now += seconds


@pytest.mark.parametrize("listens", [False, True], ids=["down", "silent"])
def test_a_server_that_does_not_answer_is_given_up(listens):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if listens:
            held.listen()
        port = held.getsockname()[1]
        with pytest.raises((ConnectionError, TimeoutError), match=rf"Milvus at http://127\.0\.0\.1:{port} d"):
            open_index(f"http://root:secret@127.0.0.1:{port}", timeout=1)


@pytest.mark.parametrize("timeout", [1, 10])
def test_a_server_that_does_not_answer_is_given_up_after_twice_the_timeout_at_the_latest(
    timeout, monkeypatch
):
    pymilvus = pytest.importorskip("pymilvus", reason='Milvus needs pymilvus: pip install "simnb[milvus]"')
    clock, tries = Clock(), []

    def silent(uri, *, timeout, **options):
        tries.append(timeout)
        clock.sleep(timeout)
        raise pymilvus.MilvusException(code=2, message="nobody answers")

    monkeypatch.setattr(milvus_client, "time", clock)
    monkeypatch.setattr(pymilvus, "MilvusClient", silent)
    with pytest.raises(ConnectionError, match="nobody answers"):
        open_index("http://127.0.0.1:1", timeout=timeout)
    assert tries == [timeout, 0.5]
    assert timeout < clock.now <= 2 * timeout


def test_a_password_is_not_shown():
    with pytest.raises(OSError, match=r"Milvus at http://127.0.0.1:1 ") as caught:
        open_index("http://root:secret@127.0.0.1:1", timeout=0.5)
    assert "secret" not in str(caught.value)


class LiteServer:
    """Milvus Lite as a server that can be killed and started again."""

    def __init__(self, folder):
        """Choose a port."""
        self.folder, (self.port,) = folder, free_ports(1)
        self.uri, self.process = f"http://127.0.0.1:{self.port}", None

    def start(self):
        """Start and wait until it listens."""
        arguments = ["server", "--data-dir", self.folder, "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "milvus_lite", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(300):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise TimeoutError("Milvus Lite did not start")

    def kill(self):
        """End it at once."""
        self.process.kill()
        self.process.wait()

    stop = kill


@pytest.fixture(params=["lite", SERVER])
def server(request, tmp_path):
    """A server of this test's own."""
    pytest.importorskip("pymilvus", reason='Milvus needs pymilvus: pip install "simnb[milvus]"')
    if request.param == "milvus_server" and not runs_here():
        pytest.skip("the Milvus server on PyPI is for Linux on x86-64")
    server = LiteServer(str(tmp_path / "data")) if request.param == "lite" else MilvusServer()
    server.start()
    yield server
    server.stop()


def test_what_was_taken_survives_a_kill_and_the_rest_can_be_added_later(server, monkeypatch):
    rows, call, sent = vectors(6_000, 16), Connection.call, []

    def killing(self, method, *arguments, **options):
        if method == "upsert" and arguments[0] == "simnb":
            sent.append(len(arguments[1]))
            if len(sent) == 4:
                server.kill()
        return call(self, method, *arguments, **options)

    index = open_index(server.uri, timeout=10)
    monkeypatch.setattr(Connection, "call", killing)
    with pytest.raises(
        (ConnectionError, TimeoutError), match=r"Milvus has taken 3000 of 6000 rows, ids 0 to 5999"
    ):
        index.add(rows, np.arange(6_000) % 7, ids=np.arange(6_000))
    assert sent == [1_000] * 4  # and nothing after the message that was not answered
    with pytest.raises((ConnectionError, TimeoutError), match=f"Milvus at {server.uri}"):
        len(index)
    server.start()
    monkeypatch.setattr(Connection, "call", call)
    with open_index(server.uri, timeout=90) as again:
        assert set(range(3_000)) <= set(again.ids.tolist()) <= set(range(6_000))
    monkeypatch.setattr(Connection, "call", killing)
    sent[:] = [0] * 4
    index.add(
        rows, np.arange(6_000) % 7, ids=np.arange(6_000), existing="skip"
    )  # the old connection works again
    assert sum(sent) <= 3_000
    assert index.ids.tolist() == list(range(6_000))
    np.testing.assert_array_equal(index.get([17, 5_999]).embeddings, rows[[17, 5_999]])
    assert index.search(rows[[3, 5_000]], k=1).ids.tolist() == [[3], [5_000]]
    index.close()


def test_trouble_that_passes_is_waited_for(lite, monkeypatch):
    from pymilvus import MilvusException

    index = lite()
    index.add(np.eye(3), ids=[0, 1, 2])
    client, tries, clock = index._connection._client, [], Clock()
    monkeypatch.setattr(milvus_client, "time", clock)

    def query(*arguments, **options):
        tries.append(options["timeout"])
        if len(tries) < 4:
            raise MilvusException(code=503, message="channel not available")
        return type(client).query(client, *arguments, **options)

    monkeypatch.setattr(client, "query", query)
    assert len(index) == 3
    assert tries == pytest.approx([300, 299.95, 299.85, 299.65])  # what is left of the time

    def refusing(*arguments, **options):
        raise MilvusException(code=1100, message="no such")

    monkeypatch.setattr(client, "query", refusing)
    with pytest.raises(OSError, match=r"refuses query: no such"):
        len(index)


# Files of Milvus Lite


def test_a_file_is_asked_without_pings_and_again_if_it_hangs_up(tmp_path, monkeypatch):
    import pymilvus

    made, opened = [], pymilvus.MilvusClient

    def busy(uri, **options):
        made.append(options["grpc_options"])
        if len(made) == 1:
            raise pymilvus.MilvusException(code=2, message="Fail connecting: too many pings")
        return opened(uri, **options)

    monkeypatch.setattr(pymilvus, "MilvusClient", busy)
    monkeypatch.setattr(milvus_client, "time", Clock())
    with open_index(tmp_path / "gallery.db") as index:
        assert len(index) == 0
    assert made == 2 * [{"grpc.keepalive_time_ms": 2**31 - 1}]

ADD_ROWS = """
import sys, numpy as np
from simnb.index import open_index
index = open_index(sys.argv[1])
for start in range(0, 1_000_000, 50):
    ids = np.arange(start, start + 50)
    index.add(np.full((50, 4), 1.0 + start), ids - start, [{"at": start}] * 50, ids=ids)
    print(start + 50, flush=True)
"""


def test_what_was_added_survives_a_kill_of_the_process(tmp_path):
    uri = tmp_path / "gallery.db"
    writer = run(ADD_ROWS, uri)
    for line in writer.stdout:
        if int(line) >= 500:
            break
    writer.kill()
    taken = int(([line, *writer.communicate()[0].split("\n")[:-1]])[-1])
    with open_index(uri) as index:
        ids = index.ids
        assert ids.tolist() == list(range(len(ids)))
        assert taken <= len(ids) <= taken + 50
        rows = index.get([taken - 1, 0])
        assert rows.labels.tolist() == [49, 0]
        assert rows.metadata.tolist() == [{"at": taken - 50}, {"at": 0}]
        index.add(np.ones((1, 4)), ids=[10_000_000])
        assert len(index) == len(ids) + 1


def test_a_second_process_is_told_that_the_file_is_open(tmp_path):
    uri = tmp_path / "gallery.db"
    with open_index(uri):
        other = run("import sys; from simnb.index import open_index; open_index(sys.argv[1])", uri)
        assert re.search(
            r"gallery.db is open in another process \(another notebook\?\)", other.communicate()[1]
        )
    other = run("import sys; from simnb.index import open_index; print(len(open_index(sys.argv[1])))", uri)
    assert other.communicate()[0] == "0\n"


# Rows


def test_only_missing_rows_are_sent_when_a_call_is_repeated(opened, monkeypatch):
    index, rows, write, sent = opened(), vectors(2_500), collection.Collection.write, []

    def failing(self, some):
        if len(sent) == 2:
            raise ConnectionError("gone")
        sent.append([row["id"] for row in some])
        write(self, some)

    monkeypatch.setattr(collection.Collection, "write", failing)
    with pytest.raises(ConnectionError, match=r"gone\. Milvus has taken 2000 of 2500 rows, ids 0 to 2499"):
        index.add(rows, ids=np.arange(2_500))
    monkeypatch.setattr(
        collection.Collection, "write", lambda self, some: (sent.append(some), write(self, some))
    )
    sent.clear()
    index.add(rows, ids=np.arange(2_500), existing="skip")
    assert [len(some) for some in sent] == [500]
    assert len(index) == 2_500


def test_new_ids_of_several_writers_differ(opened):
    one, other = opened(), opened()
    ids = np.concatenate(
        [one.add(vectors(5)), other.add(vectors(5)), one.add(vectors(5)), opened().add(vectors(5))]
    )
    assert len(set(ids.tolist())) == len(one) == 20
    assert ((ids >= 0) & (ids < 2**62)).all()


def test_several_writers_agree_on_class_names(opened):
    one, other = opened(), opened()
    one.add(np.eye(3), ["dog", "cat", None], [{"a": 1}, {}, {}], ids=[0, 1, 2])
    other.add(-np.eye(3), ["emu", "cat", "dog"], [{"b": 1}, {}, {}], ids=[3, 4, 5])
    one.add([[1.0, 1, 1]], ["ape"], ids=[6])
    for index in (one, other, opened()):
        assert index.class_names == ("cat", "dog", "emu", "ape")
        assert index.get([0, 1, 2, 3, 4, 5, 6]).names.tolist() == [
            "dog",
            "cat",
            None,
            "emu",
            "cat",
            "dog",
            "ape",
        ]
        assert index.search(-np.eye(3), k=2, where={"label": ["emu", "dog"]}).ids[0].tolist()[0] == 3
        assert index.search(np.eye(3), k=1, where={"b": 1}).ids.tolist() == [[3]] * 3
        found = index.search(np.eye(3), k=7, where={"label": {"<": 1}}).ids[0]
        assert sorted(found.tolist()) == [-1, -1, -1, -1, 1, 2, 4]


def test_integers_are_refused_where_another_writer_gave_names(opened):
    one, other = opened(), opened()
    one.add(np.eye(3)[:1], ids=[0])
    reader, getter = opened(), opened()
    other.add(np.eye(3)[1:2], ["cat"], ids=[1])
    assert reader.search(np.eye(3)[1:2], k=1).names.tolist() == [["cat"]]
    assert getter.get([0, 1]).names.tolist() == [None, "cat"]
    with pytest.raises(ValueError, match="labels must be positions in the index's 1 class names"):
        one.add(np.eye(3)[2:], [5], ids=[2])
    assert one.search(np.eye(3)[1:2], k=1).names.tolist() == [["cat"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "a" * 65_536}, r"metadata of a row must take 65536 bytes at most .* got 65558 in row 1"),
        ({"raw": b"a" * 49_152}, r"metadata of a row must take 65536 bytes at most .* got 65546 in row 1"),
    ],
    ids=["text", "bytes"],
)
def test_metadata_that_milvus_cannot_hold_are_refused_before_anything_is_added(opened, row, message):
    index = opened()
    index.add(np.eye(2), metadata=[{"text": "a" * 65_000, "raw": b"a" * 49_000}, {}], ids=[0, 1])
    with pytest.raises(ValueError, match=message):
        index.add(np.eye(2), metadata=[{}, row], ids=[2, 3])
    with pytest.raises(ValueError, match=message):
        index.update([0, 1], metadata=[{}, row])
    assert index.ids.tolist() == [0, 1]
    assert index.get([0]).metadata[0]["raw"] == b"a" * 49_000


def test_rows_come_in_the_order_of_their_ids_from_all_segments(opened):
    index, rows, ids = opened(), vectors(900), np.random.default_rng(0).permutation(900)
    for start in range(0, 900, 300):
        index.add(rows[start : start + 300], ids=ids[start : start + 300])
        index._rows.settle()
    assert index.ids.tolist() == list(range(900))
    assert [len(block) for block in index.blocks(250)] == [250, 250, 250, 150]
    everything = index.get()
    assert everything.ids.tolist() == list(range(900))
    np.testing.assert_array_equal(everything.embeddings[ids], rows)  # as added, not of unit length


# Search


def test_k_may_be_larger_than_milvus_takes(opened, monkeypatch):
    index, rows, queries = opened(distance="euclidean"), vectors(230), vectors(3, seed=1)
    index.add(rows, np.arange(230) % 2, ids=np.arange(230) * 3)
    monkeypatch.setattr(milvus_search, "LIMIT", 50)
    order = np.argsort(pairwise(queries, rows, "euclidean"), axis=1)
    found = index.search(queries, k=120)
    np.testing.assert_array_equal(found.ids, 3 * order[:, :120])
    found = index.search(queries, k=300)
    np.testing.assert_array_equal(found.ids[:, :230], 3 * order)
    assert (found.ids[:, 230:] == -1).all()
    found = index.search(queries, k=200, where={"label": 1})
    assert (found.labels[:, :115] == 1).all()
    assert (found.ids[:, 115:] == -1).all()


@pytest.mark.server
def test_k_beyond_16384_is_found_on_a_server(milvus_server):
    for opened in opener(milvus_server):
        index, rows = opened(distance="euclidean"), vectors(18_000, 4)
        index.add(rows, ids=np.arange(18_000))
        found = index.search(rows[:2], k=17_000)
        expected = np.sort(pairwise(rows[:2], rows, "euclidean"), axis=1)[:, :17_000]
        np.testing.assert_allclose(found.distances, expected, rtol=1e-4, atol=1e-3)
        assert all(len(set(line)) == 17_000 for line in found.ids.tolist())


def test_long_lists_of_values_are_met(opened, monkeypatch):
    monkeypatch.setattr(filters, "MEMBERS", 7)
    monkeypatch.setattr(collection, "MEMBERS", 7)
    index, rows = opened(distance="euclidean"), vectors(60)
    metadata = [{"number": i / 2, "text": f"t{i}", "even": i % 2 == 0} for i in range(60)]
    index.add(rows, np.arange(60) % 4, metadata, ids=np.arange(60))
    numbers = [*range(25), *(i + 0.5 for i in range(0, 20, 2)), "t3", True]

    def found(where):
        return sorted({*index.search(rows[:1], k=60, where=where).ids[0].tolist()} - {-1})

    expected = [i for i in range(60) if i / 2 in numbers[:-2]]
    assert found({"number": numbers}) == expected
    assert found({"number": numbers, "even": True}) == [i for i in expected if i % 2 == 0]
    assert found({"text": [f"t{i}" for i in range(30)], "label": [1, 2]}) == [
        i for i in range(30) if i % 4 in (1, 2)
    ]
    assert found({"id": list(range(0, 60, 3))}) == list(range(0, 60, 3))
    assert found({"text": [f"x{i}" for i in range(30)]}) == []
    assert index.get(np.arange(59, -1, -1)).ids.tolist() == list(range(59, -1, -1))


def test_filters_hold_values_of_one_type_in_a_list():
    wanted = conditions({"a": [1, 2.5, True, 'x"\n', b"1", 2.0, 1.0]})
    assert expressions(wanted, None) == [
        '(metadata["number"]["a"] in [1, 2])',
        '(metadata["number"]["a"] in [2.5])',
        '(metadata["boolean"]["a"] in [true])',
        '(metadata["string"]["a"] in ["x\\"\\n"])',
        '(bytes["a"] in ["MQ=="])',
    ]
    assert expressions(conditions({"a": [1, 2]}), None, lists=False) == [
        '(metadata["number"]["a"] == 1 or metadata["number"]["a"] == 2)'
    ]
    assert expressions(conditions({"label": {"<": 1}}), {-1: -1, 0: 77, 1: 88}) == ["(label in [-1, 77])"]
    assert expressions(conditions({"a": []}), None) == []


@pytest.mark.parametrize(
    "text", ["\x00z", "\x01\x1f\x7f", "\x0b\x0c\x08\x07", "\ufeff\u2028", "😀", "a\rb\tc", "\\n", '\\"']
)
def test_odd_characters_are_found(opened, text):
    index = opened()
    index.add(np.eye(3), metadata=[{"note": text}, {"note": f"{text}."}, {}], ids=[0, 1, 2])
    assert index.search(np.eye(3)[:1], k=3, where={"note": text}).ids.tolist() == [[0, -1, -1]]
    assert index.get([0]).metadata.tolist() == [{"note": text}]


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, 1e300, -1e-300, 0.1])
def test_extreme_numbers_are_found(opened, value):
    index = opened()
    index.add(np.eye(3), metadata=[{"n": value}, {"n": 0}, {"n": 7}], ids=[0, 1, 2])
    assert index.search(np.eye(3)[:1], k=3, where={"n": value}).ids.tolist() == [[0, -1, -1]]
    sign = ">" if value < 0 else "<"
    assert sorted(index.search(np.eye(3)[:1], k=3, where={"n": {sign: value}}).ids[0].tolist())[-1] in (1, 2)
    assert index.get([0]).metadata.tolist() == [{"n": value}]


# The graph


def clusters(count, dim=24):
    """Rows around 50 centres."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(50, dim))[rng.integers(50, size=count)] + rng.normal(0, 0.5, (count, dim))
    ).astype("float32")


def test_the_graph_is_measured_once_and_tuned_for_everyone(opened, monkeypatch):
    pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
    index, rows = opened(search="hnsw", distance="euclidean", recall=0.97, timeout=60), clusters(3_000)
    index.add(rows, ids=np.arange(3_000))
    tuning = index.recall
    assert tuning.recall >= 0.97
    true = np.argsort(pairwise(rows[:200], rows, "euclidean"), axis=1)[:, :10]
    found = index.search(rows[:200], k=10).ids
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), true.tolist(), strict=True)])
    assert share > 0.95
    tried = index.tune(rows[:100] + 0.1, 0.9, k=5)
    assert tried[-1].recall >= 0.9
    assert [step.breadth for step in tried] == [16, 32, 64, 128, 256, 512, 1024][: len(tried)]
    monkeypatch.setattr(milvus_search, "measure", None)  # it cannot be measured again
    assert opened().recall == index.recall == tried[-1]


def test_the_breadth_is_raised_until_enough_is_found():
    rows = vectors(400)
    blocks = [
        Rows(np.arange(i, i + 100), rows[i : i + 100], np.zeros(100, int), ()) for i in range(0, 400, 100)
    ]

    def search(queries, k, breadth):  # sees the first of the rows only
        distances = pairwise(queries, rows[: 4 * breadth], "euclidean")
        ids = np.argsort(distances, axis=1)[:, :k]
        return np.take_along_axis(distances, ids, axis=1), ids, np.zeros_like(ids)

    tried = milvus_search.measure(blocks, search, vectors(30, seed=1), 10, "euclidean", 0.9)
    assert [step.breadth for step in tried] == [16, 32, 64, 128]
    np.testing.assert_allclose([step.recall for step in tried], [0.16, 0.32, 0.64, 1.0], atol=0.1)
    own = milvus_search.measure(blocks, search, rows[:50], 10, "euclidean", 0.9, own=np.arange(50))
    assert own[0].recall < 0.3  # the row itself is no neighbor that was found
    assert own[-1].recall == 1.0


def test_the_graph_finds_k_of_the_rows_that_meet_a_condition(opened):
    pytest.importorskip("faiss", reason='graph search needs FAISS: pip install "simnb[ann]"')
    index, rows = opened(search="hnsw", distance="euclidean", timeout=60), clusters(3_000)
    index.add(rows, ids=np.arange(3_000), metadata=[{"n": i} for i in range(3_000)])
    index._rows.settle()
    found = index.search(rows[:5], k=60, where={"n": {"<": 80}})
    expected = np.argsort(pairwise(rows[:5], rows[:80], "euclidean"), axis=1)[:, :60]
    assert (found.ids >= 0).all()
    np.testing.assert_array_equal(found.ids, expected)


def test_recall_and_tune_need_a_graph_and_rows(lite):
    index = lite()
    index.add(np.eye(3))
    with pytest.raises(ValueError, match=r'recall needs open_index\(..., search="hnsw"\)'):
        _ = index.recall
    empty = lite(search="hnsw", collection=f"{lite.name}_empty")
    with pytest.raises(ValueError, match=r"tune needs rows, but the index is empty"):
        empty.tune(np.eye(3))


@pytest.mark.server
def test_exact_search_on_a_server_is_exact_before_and_after_rows_are_sealed(milvus_server):
    for opened in opener(milvus_server):
        index, rows = opened(distance="cosine", timeout=60), 3 * clusters(20_000)
        index.add(rows, ids=np.arange(20_000))
        true = np.argsort(pairwise(rows[:50], rows, "cosine"), axis=1)[:, :10]
        for _ in range(2):
            found = index.search(rows[:50], k=10).ids
            assert (
                np.mean([len(set(a) & set(b)) for a, b in zip(found.tolist(), true.tolist(), strict=True)])
                > 9.95
            )
            np.testing.assert_array_equal(index.get(np.arange(0, 20_000, 777)).embeddings, rows[::777])
            index._rows.settle()
