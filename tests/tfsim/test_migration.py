"""Every row of ``notebooks/MIGRATION.md``: names that are there, differences to be seen, errors raised."""

import ast
import importlib
import inspect
import json
import re
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import data, losses, tfsim
from simnb._keras import keras
from simnb.distances import DISTANCES
from simnb.index import open_index
from simnb.losses import two_views
from simnb.search import SimilaritySearch
from simnb.tfsim._left_out import _INSTEAD
from tests.benchmarks import training

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "notebooks" / "MIGRATION.md").read_text(encoding="utf-8")
LESSON = (ROOT / "notebooks" / "py" / "10_from_tensorflow_similarity.py").read_text(encoding="utf-8")
ROOMS = [
    "augmentation",
    "calibration",
    "data",
    "distances",
    "index",
    "layers",
    "losses",
    "matching",
    "metrics",
]
ROOMS += ["models", "plots", "samplers", "training", "widgets"]
KEEP = "*(keep)*"


def rows(part, ends=""):
    """The rows of the tables in a part of the page whose header ends so, as lists of cells."""
    text = TEXT.split(f"\n## {part}\n")[1].split("\n## ")[0]
    found, header = [], ""
    for above, line in zip(["", *text.splitlines()], text.splitlines(), strict=False):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| :--"):
            header = above
        elif line.startswith("| ") and header and header.startswith(ends):
            found.append(cells)
        elif not line:
            header = ""
    return [cells for cells in found if cells != [cell.strip() for cell in header.strip("|").split("|")]]


def codes(cell):
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


NAMES_ROWS = rows("Names")
DIFFERENCES = [cells[0].replace("`", "") for cells in rows("What is different")]
MISSING = rows("What is missing", "| name")
ARGUMENTS = rows("What is missing", "| call")


@pytest.fixture(scope="module")
def new_names():
    """What the new names of the page are names of."""
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
    examples = data.from_arrays(images, np.arange(40) % 2)
    search = SimilaritySearch(lambda batch: np.asarray(batch, np.float32).reshape(len(batch), -1))
    search.add(examples[:20])
    search.calibrate(examples[20:], targets={"careful": "precision >= 0"})
    there = {room: importlib.import_module(f"simnb.{room}") for room in ROOMS}
    there |= {"SimilaritySearch": SimilaritySearch, "open_index": open_index, "keras": keras, "tfsim": tfsim}
    there |= {"search": search, "examples": examples, "neighbors": search.lookup(examples, k=1), "len": len}
    return there | {"two_views": two_views, "network": keras.Model, "loss": losses.TripletLoss()}


def resolve(node, names):
    """What an expression names, without running it; arguments of a call are compared with its signature."""
    if isinstance(node, ast.Attribute):
        return getattr(resolve(node.value, names), node.attr)
    if isinstance(node, ast.Subscript):
        return resolve(node.value, names)[ast.literal_eval(node.slice)]
    if isinstance(node, ast.Call):
        called = resolve(node.func, names)
        if called is not keras.Model:  # whose signature Keras hides
            options = {keyword.arg: None for keyword in node.keywords}
            inspect.signature(called).bind(*[None] * len(node.args), **options)
        return called
    return names[node.id]


@pytest.mark.parametrize("cells", NAMES_ROWS, ids=lambda cells: codes(cells[0])[0])
def test_old_and_new_names_are_there(cells, new_names):
    for old in codes(cells[0]):
        room, name = old.split(".")
        home = tfsim.models.SimilarityModel if room == "model" else getattr(tfsim, room)
        assert hasattr(home, name), old
    assert codes(cells[1]) or cells[1] == KEEP
    for new in codes(cells[1]):
        node = ast.parse(new, mode="eval").body
        if isinstance(node, ast.Constant):
            (old,) = codes(cells[0])
            assert node.value in DISTANCES
            assert getattr(tfsim.distances, old.split(".")[1]).name == node.value
            continue
        resolve(node, new_names)
        if new.startswith(("losses.", "layers.", "augmentation.")):
            eval(new, dict(new_names))  # their options hide behind **kwargs
    for named in codes(cells[2]):
        if re.match(rf"({'|'.join([*ROOMS, 'search', 'network'])})\.", named):
            resolve(ast.parse(named, mode="eval").body, new_names)


def test_every_old_name_has_its_row_once():
    listed = [old for cells in NAMES_ROWS for old in codes(cells[0])]
    assert len(listed) == len(set(listed))
    rooms = [room for room in tfsim.__all__ if room != "__version__"]
    public = {f"{room}.{name}" for room in rooms for name in getattr(tfsim, room).__all__}
    # Keras calls the two last ones; once a model of a class was functional, the class has what those have.
    inputs = keras.Input((2,))
    of_keras = set(dir(keras.Model(inputs, inputs))) - {"fit", "save"} | {"save_assets", "load_assets"}
    methods = {n for n in dir(tfsim.models.SimilarityModel) if not n.startswith("_")} - of_keras
    assert set(listed) == public | {f"model.{name}" for name in methods}


def test_every_name_that_was_left_out_is_on_the_page_and_says_what_to_use(new_names):
    assert {name for cells in MISSING for name in codes(cells[0])} == set(_INSTEAD)
    for names, instead in MISSING:
        for name in codes(names):
            room, _, last = f"simnb.tfsim.{name}".rpartition(".")
            with pytest.raises(ImportError, match=f"has no {last}: "):
                getattr(importlib.import_module(room), last)
        assert codes(instead)
        for new in codes(instead):
            resolve(ast.parse(new, mode="eval").body, new_names)


@pytest.mark.parametrize("cells", ARGUMENTS, ids=lambda cells: codes(cells[1])[0])
def test_arguments_that_are_refused(cells, new_names):
    needed = {
        "EvalCallback": ([], [], [], []), "MetricEmbedding": (4,), "ResNet18Sim": ((32, 32, 3),),
        "TFDataSampler": (None,), "RecallAtK": (), "compile": (model_of_rows(),),
    }  # fmt: skip
    (call,), (argument,) = codes(cells[0]), codes(cells[1])
    called = resolve(ast.parse(call, mode="eval").body, vars(tfsim))
    with pytest.raises(ValueError, match=argument.split("=")[0]):
        eval(f"called(*needed, {argument})", {"called": called, "needed": needed[call.rpartition(".")[2]]})
    for new in codes(cells[2]):
        resolve(ast.parse(new, mode="eval").body, new_names)


def test_the_lesson_gives_the_figures_of_the_kept_trainings():
    records = training.kept_records()
    for name in ("tutorial", "fast"):
        steps, minutes = records[name]["steps"], records[name]["seconds_of_training"] / 60
        recall = records[name]["figures"]["recall_at_1"]
        spent = f"{minutes:.0f}" if minutes > 10 else f"{minutes:.1f}"
        assert f": {steps:,} steps | {spent} | {recall:.3f} |" in LESSON


# What is different, row by row.

SHOWN = {}


def shows(what):
    """The function shows what the row of this name says of simnb."""

    def keep(function):
        SHOWN[what] = function
        return function

    return keep


def test_every_difference_has_its_check():
    assert list(SHOWN) == DIFFERENCES
    for function in SHOWN.values():
        assert re.search(r"\bassert|pytest\.raises", inspect.getsource(function)), function.__name__


@pytest.mark.parametrize("what", DIFFERENCES)
def test_a_difference_can_be_seen(what, tmp_path):
    function = SHOWN[what]
    function(*[tmp_path][: len(inspect.signature(function).parameters)])


def model_of_rows(distance="l2", **options):
    """A model whose embeddings are its inputs, rows of two values."""
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")(inputs)
    model = tfsim.models.SimilarityModel(inputs, outputs)
    model.compile(loss=tfsim.losses.TripletLoss(), distance=distance, **options)
    return model


def indexed(x, y, **options):
    """Such a model, with rows in its index."""
    model = model_of_rows(**options)
    model.index(np.array(x, "float32"), np.array(y), data=np.array(x, "float32"), verbose=0)
    return model


@shows("sampling")
def deals_like_cards():
    x, y = np.arange(12.0), np.repeat([0, 1], 6)
    options = {"classes_per_batch": 2, "examples_per_class_per_batch": 3, "steps_per_epoch": 2}
    one, other = (tfsim.samplers.MultiShotMemorySampler(x, y, **options) for _ in range(2))
    drawn = [np.concatenate([sampler.generate_batch(i)[0] for i in range(2)]) for sampler in (one, other)]
    assert sorted(drawn[0]) == x.tolist()
    np.testing.assert_array_equal(*drawn)


@shows("small classes")
def warns_of_small_classes():
    with pytest.warns(UserWarning, match="class 1 has 1 examples"):
        sampler = tfsim.samplers.MultiShotMemorySampler(np.arange(4.0), [0, 0, 0, 1], classes_per_batch=2)
    assert sorted(sampler.generate_batch(0)[1]) == [0, 0, 1, 1]


@shows("get_slice(begin, -1)")
def goes_to_the_end():
    sampler = tfsim.samplers.MultiShotMemorySampler(np.arange(6.0), [0, 0, 0, 1, 1, 1])
    assert len(sampler.get_slice(2, -1)[0]) == 4


@shows("warmup")
def does_not_warm_up():
    x, y = np.arange(4.0), [0, 0, 1, 1]
    assert not tfsim.samplers.MultiShotMemorySampler(x, y).is_warmup
    assert tfsim.samplers.MultiShotMemorySampler(x, y, warmup=1).is_warmup


@shows("L2 search")
def does_not_normalize():
    model = indexed([[10, 0]], [0])
    assert model.single_lookup(np.array([1.0, 0]), k=1)[0].distance == pytest.approx(9)


@shows("inner product")
def smaller_products_are_farther():
    model = indexed([[1, 0], [5, 0]], [0, 1], distance="ip")
    found = model.single_lookup(np.array([2.0, 0]), k=2)
    assert [(look.label, look.distance) for look in found] == [(1, -10), (0, -2)]


@shows("FAISS and L2")
def distances_are_not_squared():
    model = indexed([[3, 4]], [0], search="faiss")
    assert model.single_lookup(np.zeros(2), k=1)[0].distance == pytest.approx(5)


@shows("recall of a calibration")
def recall_need_not_reach_one():
    model = indexed([[0, 0], [9, 0]], [0, 1])
    x, y = np.array([[0, 1], [9, 1], [1, 0], [8, 0]], "float32"), [0, 1, 1, 0]
    assert model.calibrate(x, y, verbose=0).thresholds["recall"][-1] == 0.5


@shows("unknown queries")
def rejecting_the_unknown_is_right():
    model = indexed([[0, 0]], [0])
    x, y = np.array([[0, 1], [50, 0]], "float32"), [0, 7]
    model.calibrate(x, y, verbose=0)
    assert model.match(x) == [0, -1]
    found = model.evaluate_classification(x, y, extra_metrics=["binary_accuracy"], verbose=0)
    assert found["optimal"]["binary_accuracy"] == 1


@shows("false positive rate")
def targets_are_largest_values():
    model = indexed([[0, 0]], [0])
    x, y = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [0, 5]], "float32"), [0, 7, 0, 7, 7]
    found = model.calibrate(
        x, y, {"rare": 0.34}, calibration_metric="fpr", extra_metrics=["recall"], verbose=0
    )
    assert found.cutpoints["rare"]["fpr"] == pytest.approx(1 / 3)  # of three unknown queries
    assert found.cutpoints["rare"]["recall"] == 1


@shows("a target that is not met")
def an_unmet_target_cannot_be_used():
    model = indexed([[0, 0], [9, 0]], [0, 1])
    x = np.array([[0, 1], [9, 1]], "float32")
    assert "dream" not in model.calibrate(x, [1, 0], {"dream": 1.0}, verbose=0).cutpoints
    with pytest.raises(ValueError, match="not met"):
        model.match(x, cutpoint="dream")


@shows("thresholds")
def thresholds_lie_midway():
    model = indexed([[0, 0]], [0])
    x, y = np.array([[0, 1], [0, 3]], "float32"), [0, 7]
    assert model.calibrate(x, y, verbose=0).cutpoints["optimal"]["distance"] == pytest.approx(2)


@shows("save")
def what_was_saved_survives_a_failure(tmp_path):
    model = indexed([[0, 0]], [0])
    model.save(tmp_path / "model.keras")
    before = (tmp_path / "model.keras").read_bytes()
    model.index_single(np.zeros(2), 0, data={"no": "array"}, verbose=0)
    with pytest.raises(ValueError, match="data"):
        model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == before


@shows("files")
def no_file_is_a_pickle(tmp_path):
    indexed([[0, 0]], [0]).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        archive.extractall(tmp_path / "files")
    files = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".h5", ".sqlite", ".npz", ".npy"}
    for path in files:
        assert not path.read_bytes().startswith(b"\x80")
        if path.suffix in (".npz", ".npy"):
            np.load(path, allow_pickle=False)
        if path.suffix == ".json":
            json.loads(path.read_text())


@shows("load_model")
def the_index_comes_with_the_model(tmp_path):
    model = indexed([[0, 0], [1, 0]], [0, 1])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.index_size() == 2
    again.reset_index()
    again.load_index(tmp_path / "model.keras")
    assert again.index_size() == 2


@shows("EvalCallback")
def the_callback_has_its_own_index():
    model = indexed([[0, 0], [1, 0]], [0, 1])
    x, y = np.array([[0, 1], [1, 1]], "float32"), [0, 1]
    callback = tfsim.callbacks.EvalCallback(x, y, x[:1], y[:1])
    callback.set_model(model)
    callback.on_epoch_end(0, {})
    assert model.index_size() == 2


@shows("search")
def search_is_exact_unless_asked():
    assert model_of_rows()._gallery.search == model_of_rows(search="nmslib")._gallery.search == "exact"
    assert model_of_rows(search="hnsw")._gallery.search == "hnsw"


@shows("MultiSimilarityLoss, CircleLoss")
def two_losses_take_cosine_alone():
    for loss in (tfsim.losses.MultiSimilarityLoss, tfsim.losses.CircleLoss):
        assert loss(distance="cosine")
        with pytest.raises(ValueError, match="cosine"):
            loss(distance="l2")


@shows("GeM pooling")
def the_exponent_is_trained():
    layer = tfsim.layers.GeneralizedMeanPooling2D(2.5)
    layer(np.ones((1, 2, 2, 3), "float32"))
    (exponent,) = layer.trainable_weights
    found = np.asarray(layer(np.array([1.0, 2, 3, 4], "float32").reshape(1, 2, 2, 1).repeat(3, -1)))
    assert exponent.shape in ((), (1,))
    np.testing.assert_allclose(found, np.mean(np.arange(1, 5) ** 2.5) ** (1 / 2.5), rtol=1e-5)


@shows("distance_threshold of BNDCG")
def a_ranking_has_no_threshold():
    with pytest.raises(ValueError, match="distance_threshold"):
        tfsim.retrieval_metrics.BNDCG(distance_threshold=0.5)


@shows("confusion_matrix")
def unknown_is_a_column():
    ax, counts = tfsim.visualization.confusion_matrix([-1, 1], [0, 1], normalize=False, show=False)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "-1"]
    assert counts.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    plt.close("all")
