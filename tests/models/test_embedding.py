import os
import platform
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

from simnb.data import LazyImages, from_arrays
from simnb.layers import MetricEmbedding
from simnb.losses import CrossBatchMemory, NormalizedSoftmaxLoss, TripletLoss
from simnb.models import embed, embedding, tutorial_convnet
from simnb.samplers import BalancedBatches
from simnb.training import fit


@pytest.fixture(scope="module")
def convnet():
    return tutorial_convnet()


def images_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_the_convnet_is_the_tutorials(convnet):
    assert convnet.count_params() == 1_028_480
    assert sum(int(np.prod(w.shape)) for w in convnet.trainable_weights) == 1_027_584
    names = [type(layer).__name__ for layer in convnet.layers]
    conv = ["Conv2D", "BatchNormalization"]
    assert names == [
        "InputLayer",
        "Rescaling",
        *conv,
        *conv,
        "MaxPooling2D",
        *conv,
        "Conv2D",
        "GlobalMaxPooling2D",
        "MetricEmbedding",
    ]


def test_the_convnet_rescales_activates_and_pools_as_the_tutorials_does(convnet):
    layers = {layer.name: layer.get_config() for layer in convnet.layers}
    assert next(c for n, c in layers.items() if "rescaling" in n)["scale"] == pytest.approx(1 / 255)
    assert next(c for n, c in layers.items() if "max_pooling2d" in n)["strides"] == (4, 4)
    convs = [c for n, c in layers.items() if "conv2d" in n]
    assert [(c["filters"], c["kernel_size"], c["activation"], c["padding"]) for c in convs] == [
        (filters, (3, 3), "relu", "valid") for filters in (64, 128, 256, 256)
    ]


def test_a_model_trained_with_our_loss_loads_silently_where_only_search_was_imported(tmp_path):
    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, MetricEmbedding(3)(keras.layers.Flatten()(inputs)))
    model.compile(optimizer="sgd", loss=TripletLoss(margin=0.7))
    model.save(tmp_path / "model.keras")
    code = (
        "import sys; from simnb.search import SimilaritySearch; import keras; "
        "print(keras.models.load_model(sys.argv[1]).loss.get_config()['margin'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.keras")]
    # TensorFlow, imported here before simnb, has set a log level of its own.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONWARNINGS"] = "default"
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("0.7\n", "")


@pytest.mark.parametrize("scale", [1e-25, 1e16])
def test_very_short_and_very_long_outputs_become_unit_vectors(scale):
    def long(batch):
        return scale * (1.0 + np.arange(len(batch) * 3, dtype="float32").reshape(-1, 3))

    np.testing.assert_allclose(np.linalg.norm(embed(long, images_of(4)), axis=1), 1, rtol=1e-6)


def test_the_same_seed_gives_the_same_weights(convnet):
    same, other = tutorial_convnet(), tutorial_convnet(seed=1)
    for ours, theirs in zip(convnet.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(convnet.get_weights()[0], other.get_weights()[0])


def test_embeddings_are_unit_float32_and_do_not_depend_on_the_batch_size(convnet):
    images = images_of(7)
    embeddings = embed(convnet, images, batch_size=7)
    assert (embeddings.shape, embeddings.dtype) == ((7, 256), np.float32)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(embed(convnet, images, batch_size=3), embeddings, atol=1e-5)
    np.testing.assert_allclose(embed(convnet, images[::-1], batch_size=2)[::-1], embeddings, atol=1e-5)


def test_any_function_and_any_sliceable_images_do(tmp_path):
    mapped = np.memmap(tmp_path / "images", mode="w+", shape=(5, 2, 2, 1), dtype="float32")
    mapped[:] = np.random.default_rng(0).random(mapped.shape)
    embeddings = embed(lambda batch: batch.reshape(len(batch), -1), mapped, batch_size=2, progress=False)
    flat = mapped.reshape(5, 4)
    np.testing.assert_allclose(embeddings, flat / np.linalg.norm(flat, axis=1, keepdims=True), rtol=1e-6)


def test_what_a_function_gives_in_numpy_is_not_moved_to_a_device(monkeypatch):
    monkeypatch.setattr(embedding.ops, "cast", lambda *args: pytest.fail("cast on a device"))
    means = lambda images: images.mean((1, 2)).astype("float16")  # noqa: E731
    np.testing.assert_allclose(np.linalg.norm(embed(means, images_of(3) + 1), axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match="the model's output must be finite"):
        embed(lambda images: np.full((len(images), 2), 1e300), images_of(3))


@pytest.mark.parametrize("kept", [False, True])
def test_of_lazy_images_the_next_batch_is_read_while_one_is_embedded(kept, tmp_path):
    images, begun, numbers = images_of(9), [threading.Event() for _ in range(3)], iter(range(3))

    def read(rows):
        begun[rows[0] // 3].set()
        return images[rows]

    def model(batch):
        later = begun[next(numbers) + 1 :]
        assert all(event.wait(20) for event in later[:1])
        assert not any(event.is_set() for event in later[1:])  # or all of them might lie in memory
        return batch.reshape(len(batch), -1)[:, :8]

    options = {"kept": tmp_path / "kept.sqlite", "known_as": "pixels"} if kept else {}
    embeddings = embed(model, LazyImages(read, 9, (32, 32, 3)), batch_size=3, **options)
    wanted = images.reshape(9, -1)[:, :8].astype("float64")
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, wanted, atol=1e-6)


def test_bad_input_is_named(convnet):
    with pytest.raises(
        ValueError, match=r"images must have shape .* got \(32, 32, 3\); for one image pass image\[None\]"
    ):
        embed(convnet, images_of(1)[0])
    with pytest.raises(ValueError, match=r"images must be an array, got Examples; pass its images: images="):
        embed(convnet, from_arrays(images_of(1), [0]))
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got None"):
        tutorial_convnet(seed=None)
    with pytest.raises(ValueError, match="images must hold at least one example, got none"):
        embed(convnet, images_of(0))
    with pytest.raises(ValueError, match=r"\[num_examples, 32, 32, 3\] for this model, got \(2, 28, 28, 3\)"):
        embed(convnet, np.zeros((2, 28, 28, 3)))
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        embed(convnet, images_of(2), batch_size=0)
    with pytest.raises(ValueError, match=r"the model's output must be finite, .* in 2 of 2 rows"):
        embed(lambda batch: np.full((len(batch), 3), np.nan), images_of(2))
    with pytest.raises(ValueError, match="the model's output must not be all zero"):
        embed(lambda batch: np.zeros((len(batch), 3)), images_of(2))
    with pytest.raises(ValueError, match="must give one vector per image, got 1 for 3"):
        embed(lambda batch: np.ones((1, 3)), images_of(3))
    with pytest.raises(ValueError, match=r"at least 24 pixels a side, got \(16, 16, 3\)"):
        tutorial_convnet((16, 16, 3))


def test_mixed_precision_models_embed_in_float32():
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.Dense(3, dtype="mixed_bfloat16")(keras.layers.Flatten()(inputs)))
    embeddings = embed(model, np.random.default_rng(0).random((3, 4, 4, 1)))
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)


def model_giving(output_of):
    inputs = keras.Input((4, 4, 1))
    features = keras.layers.Conv2D(2, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=0))(inputs)
    return keras.Model(inputs, output_of(features, keras.layers.Flatten()(features)))


NOT_VECTORS = {
    r"got a dict of 'map', 'vector'; make one that gives the vectors": lambda x, v: {"map": x, "vector": v},
    r"got a dict of 'vector'; make one that gives the vectors alone": lambda x, v: {"vector": v},
    r"got a list of 2; make one that gives the vectors alone": lambda x, v: [v, v],
    r"got \((2|None), 2, 2, 2\); end it with keras.layers.GlobalAveragePooling2D": lambda x, v: x,
}


@pytest.mark.parametrize("message", NOT_VECTORS)
def test_a_model_that_gives_no_vectors_is_named_before_anything_is_trained(message):
    images = np.random.default_rng(0).random((2, 4, 4, 1))
    model = model_giving(NOT_VECTORS[message])
    whole = f"the model must give one vector per image, shape .batch, dim., {message}"
    with pytest.raises(ValueError, match=whole):
        embed(model, images)
    with pytest.raises(ValueError, match=whole):
        embed(lambda batch: model(batch), images)
    batches = BalancedBatches(images, [0, 1], classes_per_batch=2, examples_per_class=1)
    for loss in (CrossBatchMemory(TripletLoss(), 4, 8), NormalizedSoftmaxLoss()):
        with pytest.raises(ValueError, match=whole):
            fit(model, batches, loss=loss)


def test_a_list_of_vectors_or_of_one_output_is_taken():
    images = np.random.default_rng(0).random((4, 4, 4, 1))
    expected = embed(model_giving(lambda x, v: v), images)
    np.testing.assert_allclose(embed(model_giving(lambda x, v: [v]), images), expected, atol=1e-6)
    np.testing.assert_allclose(embed(lambda batch: expected.tolist(), images), expected, atol=1e-6)
    batches = BalancedBatches(images, [0, 0, 1, 1], classes_per_batch=2, examples_per_class=2)
    fit(model_giving(lambda x, v: [v]), batches, verbose=0)


def test_a_model_of_a_call_of_its_own_is_looked_at_when_it_is_built():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(3)

        def call(self, images):
            vectors = self.layer(keras.ops.reshape(images, (-1, 16)))
            return {"vectors": vectors}

    batches = BalancedBatches(np.ones((2, 4, 4, 1)), [0, 1], classes_per_batch=2, examples_per_class=1)
    with pytest.raises(ValueError, match=r"must give one vector per image, .* got a dict of 'vectors'"):
        fit(Two(), batches, loss=NormalizedSoftmaxLoss())


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is chosen so on x86 alone"
)
@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_tensorflow_computes_through_onednn_unless_told_otherwise(before, after):
    name = "TF_ENABLE_ONEDNN_OPTS"
    environment = {key: value for key, value in os.environ.items() if key != name}
    if before is not None:
        environment[name] = before
    code = f"import os, simnb.models; print(os.environ['{name}'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == (f"{after}\n", "")
