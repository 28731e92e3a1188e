"""Models that index, look up, calibrate, match and are saved."""

import importlib
import pkgutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from simnb import tfsim
from simnb._keras import keras


def new_model(loss=None, **options):
    inputs = keras.Input((3,))
    keras.utils.set_random_seed(0)
    model = tfsim.models.SimilarityModel(inputs, tfsim.layers.MetricEmbedding(4)(inputs))
    model.compile(loss=tfsim.losses.TripletLoss() if loss is None else loss, **options)
    return model


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 10)
    centers = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [-3, 0, 0]])
    return (centers[y] + rng.normal(size=(40, 3)) * 0.3).astype("float32"), y


@pytest.fixture
def model(points):
    model = new_model()
    model.index(points[0][::2], points[1][::2], data=points[0][::2], verbose=0)
    return model


def test_it_trains_with_several_steps_at_a_time(points):
    metrics = [tfsim.training_metrics.avg_neg("cosine")]
    model = new_model(optimizer=keras.optimizers.Adam(0.05), steps_per_execution=2, metrics=metrics)
    sampler = tfsim.samplers.MultiShotMemorySampler(*points, classes_per_batch=4, steps_per_epoch=6)
    history = model.fit(
        sampler, epochs=2, validation_data=sampler, validation_steps=2, shuffle=False, verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    assert len(history["val_loss"]) == len(history["mean_neg"]) == 2


def test_training_registers_nothing_that_lasts(points):
    from tensorflow.python.framework.ops import gradient_registry

    before = set(gradient_registry.list())
    sampler = tfsim.samplers.MultiShotMemorySampler(*points, classes_per_batch=4, steps_per_epoch=2)
    new_model().fit(sampler, verbose=0)
    assert set(gradient_registry.list()) == before


def test_the_distance_is_that_of_the_loss(capsys):
    model = new_model(tfsim.losses.SoftNearestNeighborLoss())
    assert model._gallery.index.distance == "squared_euclidean"
    assert "squared_euclidean" in capsys.readouterr().out
    assert new_model(distance="l2")._gallery.index.distance == "euclidean"
    with pytest.raises(ValueError, match="metric loss"):
        new_model("mse")


def test_lookups(model, points):
    found = model.lookup(points[0][1::2], k=3, verbose=0)
    assert [look.rank for look in found[0]] == [1, 2, 3]
    assert np.mean([row[0].label for row in found] == points[1][1::2]) > 0.9
    embedding = model.predict(points[0][1:2], verbose=0)[0]
    for look in found[0]:
        assert look.distance == pytest.approx(1 - embedding @ look.embedding, abs=1e-5)
        assert np.abs(points[0][::2] - look.data).sum(axis=1).min() == 0
    alone = model.single_lookup(points[0][1], k=3)
    assert [look.label for look in alone] == [look.label for look in found[0]]
    assert [look.distance for look in alone] == pytest.approx([look.distance for look in found[0]], abs=1e-6)
    assert len(model.lookup(points[0][:1], k=99)[0]) == 20  # never more than there are


def test_one_by_one_is_as_all_at_once(model, points):
    other = new_model()
    for x, y in zip(points[0][::2], points[1][::2], strict=True):
        other.index_single(x, y, data=x, verbose=0)
    assert other.index_size() == 20
    for one, two in zip(other.lookup(points[0], k=2), model.lookup(points[0], k=2), strict=True):
        assert [(a.label, a.distance) for a in one] == [
            (b.label, pytest.approx(b.distance, abs=1e-6)) for b in two
        ]
    other.reset_index()
    assert other.index_size() == 0
    with pytest.raises(ValueError, match="empty"):
        other.lookup(points[0])
    other.index(points[0], verbose=0)
    assert other.single_lookup(points[0][0])[0].label is None


def test_calibration_is_that_of_simnb(model, points, capsys):
    results = model.calibrate(
        points[0][1::2],
        points[1][1::2],
        {"careful": 0.9},
        extra_metrics=["precision", "recall", "npv", "fpr"],
    )
    printed = capsys.readouterr().out
    assert "optimal" in printed
    assert "careful" in printed
    curves = model.calibration.curves
    assert set(results.thresholds) == {"f1", "precision", "recall", "npv", "fpr", "distance", "value"}
    np.testing.assert_array_equal(results.thresholds["distance"], curves.distances)
    np.testing.assert_array_equal(results.thresholds["recall"], curves.recall[1:])
    cut = results.cutpoints["optimal"]
    assert cut["distance"] == model.calibration.cutpoints["optimal"].threshold
    assert cut["value"] == cut["f1"] == max(results.thresholds["f1"])
    assert results.cutpoints["careful"]["f1"] >= 0.9


def test_recall_counts_wrong_neighbors_as_missed(points):
    model = new_model()
    model.index(points[0][::2], np.roll(points[1][::2], 3), verbose=0)  # some labels are wrong
    results = model.calibrate(points[0][1::2], points[1][1::2], verbose=0)
    assert results.thresholds["recall"][-1] < 1


def test_a_target_that_is_not_met_is_no_cutpoint(model, points, capsys):
    wrong = np.roll(points[1][1::2], 1)
    results = model.calibrate(points[0][1::2], wrong, {"dream": 1.0})
    assert "dream" not in results.cutpoints
    assert "dream: no distance gives" in capsys.readouterr().out
    with pytest.raises(ValueError, match="not met"):
        model.match(points[0], cutpoint="dream")
    with pytest.raises(ValueError, match="cutpoint"):
        model.match(points[0], cutpoint="nothing")
    assert "dream" not in model.match(points[0], cutpoint="all")


def test_a_target_on_false_positives_is_a_largest_one(points):
    model = new_model()
    known = points[1] < 3
    model.index(points[0][known][::2], points[1][known][::2], verbose=0)
    x, y = points[0][1::2], points[1][1::2]
    results = model.calibrate(x, y, {"rare": 0.2}, calibration_metric="fpr", extra_metrics=["f1"], verbose=0)
    assert results.cutpoints["rare"]["fpr"] <= 0.2
    assert results.cutpoints["rare"]["distance"] > -np.inf
    assert results.cutpoints["optimal"]["f1"] == max(results.thresholds["f1"])


def test_match(model, points):
    with pytest.raises(ValueError, match="calibrate"):
        model.match(points[0])
    model.calibrate(points[0][1::2], points[1][1::2], verbose=0)
    far = np.array([[0, -5, -5]], "float32")
    matches = model.match(np.concatenate([points[0][1::2], far]), no_match_label=10)
    assert isinstance(matches, list)
    assert matches[-1] == 10
    assert np.mean(np.array(matches[:-1]) == points[1][1::2]) > 0.8
    assert model.match(far) == [-1]
    found = model.evaluate_classification(points[0][1::2], points[1][1::2], verbose=0)
    assert found["optimal"]["precision"] == pytest.approx(
        model.calibration.cutpoints["optimal"].rates["precision"], abs=1e-6
    )


def test_retrieval_metrics(model, points):
    metrics = tfsim.retrieval_metrics
    wanted = [
        metrics.RecallAtK(k=1), metrics.PrecisionAtK(k=3), metrics.MapAtK(k=4), metrics.BNDCG(k=5),
        metrics.MapAtK(clip_at_r=True), metrics.PrecisionAtK(clip_at_r=True),
    ]  # fmt: skip
    found = model.evaluate_retrieval(points[0][1::2], points[1][1::2], wanted, verbose=0)
    assert list(found) == ["recall@1", "precision@3", "map@4", "ndcg@5", "map@R", "R_Precision"]
    lookups = model.lookup(points[0][1::2], k=3)
    right = tfsim.utils.unpack_lookup_labels(lookups) == points[1][1::2][:, None]
    assert found["recall@1"] == pytest.approx(right[:, 0].mean())
    assert found["precision@3"] == pytest.approx(right.mean())
    with pytest.raises(ValueError, match="query_ids"):
        metrics.RecallAtK(drop_closest_lookup=True)


@pytest.mark.parametrize("name", ["models/one.keras", "models/one", "{here}/one.keras", "{here}/one"])
def test_a_saved_model_is_the_same_in_a_new_process(model, points, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    model.calibrate(points[0][1::2], points[1][1::2], verbose=0)
    path = name.format(here=tmp_path)
    for _ in range(2):  # the second replaces the first
        model.save(path)
    np.save(tmp_path / "x.npy", points[0])
    code = f"""
        import keras, numpy as np
        from simnb import tfsim
        model = keras.models.load_model({str(path)!r})
        x = np.load({str(tmp_path / "x.npy")!r})
        for _ in range(2):
            found = model.lookup(x, k=2)
            print([[(look.label, look.distance, look.data.tolist()) for look in row] for row in found])
            print(model.match(x))
            model.load_index({str(path)!r})
        model.fit(x, np.arange(40) % 4, verbose=0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("[")]
    assert lines[:2] == lines[2:]
    found = model.lookup(points[0], k=2)
    assert lines[0] == str(
        [[(look.label, look.distance, look.data.tolist()) for look in row] for row in found]
    )
    assert lines[1] == str(model.match(points[0]))
    assert [file.name for file in tmp_path.iterdir() if "part" in file.name or "before" in file.name] == []


def test_an_index_alone(model, points, tmp_path):
    model.save_index(tmp_path)
    other = new_model()
    other.set_weights(model.get_weights())
    other.load_index(tmp_path)
    assert other.lookup(points[0]) == model.lookup(points[0])
    model.reset_index()
    model.save_index(tmp_path)
    other.load_index(tmp_path)
    assert other.index_size() == 0
    with pytest.raises(ValueError, match="no index"):
        other.load_index(tmp_path / "elsewhere")


def test_saving_keeps_what_was_there_where_it_fails(model, tmp_path, points):
    path = tmp_path / "model.keras"
    model.save(path)
    before = path.read_bytes()
    model.index_single(points[0][0], 0, data={"no": "array"}, verbose=0)
    with pytest.raises(ValueError, match="data"):
        model.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    with pytest.raises(ValueError, match="exists"):
        model.save(path, overwrite=False)
    with pytest.raises(ValueError, match=r"\.keras"):
        model.save(tmp_path / "model.h5")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    with pytest.raises(ValueError, match="something else"):
        model.save(tmp_path / "photos")
    assert (tmp_path / "photos" / "one.jpg").exists()


def test_a_model_without_its_index(model, tmp_path):
    model.save(tmp_path / "model.keras", save_index=False)
    assert keras.models.load_model(tmp_path / "model.keras").index_size() == 0


def test_data_frame(model, points):
    pandas = pytest.importorskip("pandas", reason="to_data_frame needs pandas")
    frame = model.to_data_frame(5)
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 5
    assert len(model.to_data_frame()) == 20
    np.testing.assert_array_equal(frame["data"][1], points[0][2])


def test_the_callback_leaves_the_index_alone(model, points, capsys):
    metrics = [tfsim.retrieval_metrics.RecallAtK(k=1)]
    callback = tfsim.callbacks.EvalCallback(
        points[0][1::2], points[1][1::2], points[0][::4], points[1][::4], metrics=["binary_accuracy", "f1"],
        retrieval_metrics=metrics, known_classes=[0, 1, 2],
    )  # fmt: skip
    history = model.fit(*points, epochs=2, callbacks=[callback], verbose=0).history
    assert model.index_size() == 20  # more than the targets
    assert model.single_lookup(points[0][2], k=1)[0].data is not None
    assert len(history["binary_accuracy_known_classes"]) == len(history["recall@1_unknown_classes"]) == 2
    assert "f1_known_classes" in capsys.readouterr().out
    split = tfsim.callbacks.SplitValidationLoss(
        points[0][1::2], points[1][1::2], points[0][::4], points[1][::4], [0, 1, 2], metrics=["f1score"]
    )
    split.set_model(model)
    split.on_epoch_end(0, logs := {})
    assert logs == {
        f"f1{part}": pytest.approx(callback.evaluate(model)[f"f1{part}"])
        for part in ("_known_classes", "_unknown_classes")
    }


def test_an_approximate_index_by_its_name():
    with pytest.raises(ValueError, match="search must be one of"):
        new_model(search="annoy")
    with pytest.raises(ValueError, match="open_index"):
        new_model(kv_store="redis")


def test_cross_batch_memory(points):
    model = new_model(tfsim.losses.XBM(tfsim.losses.TripletLoss(), memory_size=16))
    model.fit(*points, epochs=2, verbose=0)
    assert model.loss.memory is not None


def test_what_was_left_out_says_what_to_use():
    with pytest.raises(ImportError, match="open_index"):
        from simnb.tfsim import indexer  # noqa: F401
    with pytest.raises(ImportError, match="hnsw"):
        tfsim.search  # noqa: B018
    with pytest.raises(ImportError, match=r"open_index\(uri\)"):
        from simnb.tfsim.stores import CachedStore  # noqa: F401
    with pytest.raises(ImportError, match="hnsw"):
        import simnb.tfsim.search
    with pytest.raises(ImportError, match="load_model"):
        import simnb.tfsim.models.contrastive_model
    with pytest.raises(ImportError, match="No module named"):
        import simnb.tfsim.nonsense  # noqa: F401
    with pytest.raises(ImportError, match="RandAugment: simnb"):
        from simnb.tfsim.augmenters import RandAugment  # noqa: F401
    with pytest.raises(ImportError, match=r"keras\.losses\.Loss"):
        from simnb.tfsim.losses import MetricLoss  # noqa: F401
    with pytest.raises(ImportError, match="backbone"):
        tfsim.architectures.ConvNeXtSim  # noqa: B018
    with pytest.raises(AttributeError, match=r"'simnb\.tfsim\.losses' has no attribute 'nonsense'"):
        tfsim.losses.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        tfsim.nonsense  # noqa: B018


def test_every_module_that_is_found_can_be_imported():
    found = [module.name for module in pkgutil.walk_packages(tfsim.__path__, "simnb.tfsim.")]
    assert {"simnb.tfsim.losses", "simnb.tfsim.models.similarity"} <= set(found)
    for name in found:
        importlib.import_module(name)
