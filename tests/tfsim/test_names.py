"""Pictures, architectures, losses and training metrics by their old names."""

import inspect
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pytest

from simnb import losses, tfsim
from simnb._keras import keras
from simnb.widgets import Projector

SAME = {
    "MultiSimilarityLoss": (losses.MultiSimilarityLoss(), {}),
    "TripletLoss": (losses.TripletLoss(margin=None), {}),
    "CircleLoss": (losses.CircleLoss(), {}),
    "PNLoss": (losses.PNLoss(margin=None), {}),
    "SoftNearestNeighborLoss": (losses.SoftNearestNeighborLoss(), {}),
    "LiftedStructLoss": (losses.LiftedStructureLoss(), {}),
}


@pytest.mark.parametrize("name", SAME)
def test_losses_are_those_of_simnb(name):
    rng = np.random.default_rng(0)
    labels, embeddings = np.repeat(np.arange(4), 3), rng.normal(size=(12, 5)).astype("float32")
    expected, options = SAME[name]
    cls = getattr(tfsim.losses, name)
    loss = cls(**options)
    assert float(loss(labels, embeddings)) == pytest.approx(float(expected(labels, embeddings)), rel=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert float(again(labels, embeddings)) == float(loss(labels, embeddings))
    assert again.distance.name == loss.distance.name

    class Own(cls):
        pass

    assert float(Own()(labels, embeddings)) == float(loss(labels, embeddings))


def test_the_center_moves_lambda():
    rng = np.random.default_rng(0)
    labels, embeddings = np.repeat(np.arange(4), 3), rng.normal(size=(12, 5)).astype("float32")
    moved, plain = tfsim.losses.MultiSimilarityLoss(lmda=0.6, center=1.2), losses.MultiSimilarityLoss(lam=0.4)
    assert float(moved(labels, embeddings)) == pytest.approx(float(plain(labels, embeddings)), rel=1e-5)
    assert moved.get_config()["center"] == 1.2


@pytest.mark.parametrize(("make", "said"), [
    (lambda: tfsim.losses.MultiSimilarityLoss(distance="l2"), "cosine"),
    (lambda: tfsim.losses.CircleLoss(distance="l2"), "cosine"),
    (lambda: tfsim.losses.TripletLoss(distance="nothing"), "distance must be one of"),
    (lambda: tfsim.losses.SimSiamLoss(projection_type="angular_distance"), "projection_type"),
    (lambda: tfsim.layers.MetricEmbedding(4, activation="relu"), "activation"),
    (lambda: tfsim.architectures.ResNet18Sim((32, 32, 3), augmentation=len), "augmenter"),
    (lambda: tfsim.architectures.ResNet18Sim((32, 32, 3), pooling=None), "pooling must be one of"),
    (lambda: tfsim.callbacks.EvalCallback([], [], [], [], tb_logdir="logs"), "TensorBoard"),
])  # fmt: skip
def test_what_was_left_out_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_training_metrics():
    labels = np.array([0, 0, 1, 1])
    embeddings = np.array([[0.0], [1], [3], [7]], "float32")
    metrics = tfsim.training_metrics
    expected = {
        metrics.max_pos: 4, metrics.avg_pos: 2.5, metrics.min_pos: 1, metrics.sum_pos: 10, metrics.min_neg: 2,
        metrics.avg_neg: (3 + 2 + 2 + 6) / 4, metrics.max_neg: 6, metrics.sum_neg: 13, metrics.dist_gap: 2,
    }  # fmt: skip
    for make, value in expected.items():
        metric = make("manhattan")
        metric.update_state(labels, embeddings)
        assert float(metric.result()) == pytest.approx(value)
        metric.update_state(labels, 3 * embeddings)
        assert float(metric.result()) == pytest.approx(2 * value)  # the mean over batches
        metric.reset_state()
        assert float(metric.result()) == 0
        assert type(metric).from_config(metric.get_config()).name == metric.name


@pytest.mark.parametrize(("name", "options"), [
    ("ResNet18Sim", {}),
    ("ResNet50Sim", {"weights": None}),
    ("EfficientNetSim", {"weights": None, "trainable": "partial", "pooling": "avg"}),
])  # fmt: skip
def test_architectures(name, options):
    model = getattr(tfsim.architectures, name)((32, 32, 3), embedding_size=16, **options)
    assert isinstance(model, tfsim.models.SimilarityModel)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    found = model.predict(images, verbose=0)
    assert found.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
    if name == "ResNet18Sim":
        assert 11.1e6 < model.count_params() < 11.3e6  # 11.2 million without its 1000 classes
    else:
        assert 0 < len(model.trainable_weights) < len(model.weights)


def test_architectures_without_a_top():
    architectures, images = tfsim.architectures, np.random.default_rng(0).random((3, 32, 32, 3)) * 255
    features = architectures.ResNet18Sim((32, 32, 3), include_top=False, pooling="avg")
    assert features.output_shape == (None, 512)
    whole = architectures.ResNet18Sim((32, 32, 3), include_top=False, pooling=None)
    assert whole.output_shape == (None, 4, 4, 512)
    plain = architectures.ResNet50Sim((32, 32, 3), 8, weights=None, l2_norm=False, pooling="max")
    assert np.abs(np.linalg.norm(plain.predict(images, verbose=0), axis=1) - 1).min() > 0.01
    assert architectures.ResNet18Sim((32, 32, 3), gem_p=1.5).get_layer("gem_pool").initial_p == 1.5


def test_images_of_the_resnets_are_taken_as_they_come():
    first = tfsim.architectures.ResNet18Sim((32, 32, 3)).layers[1]
    assert isinstance(first, keras.layers.Conv2D)
    assert tfsim.architectures.ResNet50Sim((32, 32, 3), weights=None).layers[1].name == "backbone"


def test_metrics_made_from_a_table_are_classes_and_functions_like_others():
    precision = tfsim.classification_metrics.Precision
    assert str(inspect.signature(precision)) == "(name='precision')"
    assert issubclass(precision, tfsim.classification_metrics.ClassificationMetric)
    again = pickle.loads(pickle.dumps(precision("mine")))
    assert (type(again), repr(again), again.increasing) == (precision, "Precision('mine')", False)
    assert "simnb.tfsim.training_metrics" in tfsim.training_metrics.max_pos.__module__
    assert tfsim.training_metrics.max_pos.__name__ == "max_pos"
    assert list(inspect.signature(tfsim.training_metrics.sum_neg).parameters) == ["distance"]


def test_annotations():
    from simnb.tfsim.types import BoolTensor, FloatTensor, IntTensor, PandasDataFrame, Tensor

    def augment(x: FloatTensor, y: IntTensor | None) -> tuple[Tensor, BoolTensor] | PandasDataFrame:
        return x, y

    assert augment(1, 2) == (1, 2)


def test_pictures():
    rng = np.random.default_rng(0)
    images = rng.random((4, 8, 8, 1)).astype("float32")
    neighbors = [tfsim.types.Lookup(i + 1, 0.1 * i, i, None, image) for i, image in enumerate(images)]
    found = tfsim.visualization.viz_neigbors_imgs(
        images[0], 1, neighbors, class_mapping={0: "cat", 1: "<img>"}, show=False
    )
    assert found is plt
    texts = [text.get_text() for ax in plt.gcf().axes for text in ax.texts]
    assert any("cat" in text for text in texts)
    with pytest.raises(ValueError, match="data=x"):
        tfsim.visualization.viz_neighbors_imgs(images[0], 1, [tfsim.types.Lookup(1, 0.1, 1)])
    tfsim.visualization.visualize_views([images, images], labels=[0, 1, 1, 0])
    assert plt.gcf() is not None
    plt.close("all")


def test_projector():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(40, 6)).astype("float32")
    shown = tfsim.visualization.projector(
        embeddings, labels=np.repeat([0, 10], 20), class_mapping={0: "a", 10: "b"},
        images=rng.random((40, 8, 8, 3)), plot_size=500,
        tooltips_info={"file": [f"{i}.png" for i in range(40)]},
    )  # fmt: skip
    assert isinstance(shown, Projector)
    assert isinstance(tfsim.visualization.projector(embeddings), Projector)


def test_a_distance_of_ones_own_is_what_its_call_says():
    class Doubled(tfsim.distances.EuclideanDistance):
        def call(self, query_embeddings, key_embeddings):
            return 2 * super().call(query_embeddings, key_embeddings)

    distances = Doubled()(np.eye(2), np.eye(2))
    np.testing.assert_allclose(distances, [[0, 8**0.5], [8**0.5, 0]], rtol=1e-6, atol=1e-6)


def test_a_star_import_of_a_module_rebinds_no_room():
    for room in ("architectures", "layers", "losses", "retrieval_metrics", "samplers", "visualization"):
        brought = {}
        exec(f"from simnb.tfsim.{room} import *", brought)
        modules = [name for name, value in brought.items() if inspect.ismodule(value)]
        assert modules == [], room
