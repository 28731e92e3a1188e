"""The weights in the package are those whose figures are published; others that do not fit are refused."""

import numpy as np
import pytest

from simnb import data, models
from simnb.models.pretrained import PRETRAINED, WEIGHTS
from tests.benchmarks import training

each_name = pytest.mark.parametrize("name", PRETRAINED)


@pytest.fixture(scope="module")
def cifar10():
    """The test images, where they are at hand."""
    if data.default_name(progress=False) != "cifar10":
        pytest.skip("cifar10 is not prepared")  # why: no test downloads anything
    return data.load("cifar10", split="test", progress=False)


@each_name
def test_a_file_is_small_holds_plain_half_precision_arrays_and_says_where_it_comes_from(name):
    assert (WEIGHTS / f"{name}.npz").stat().st_size <= 4_000_000
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as stored:
        dtypes = {array.ndim > 1: array.dtype for array in stored.values()}
    assert dtypes == {True: np.float16, False: np.float32}
    made = models.provenance(name)
    assert made["command"] == f"python -m tests.benchmarks.training {name} --seed {made['seed']}"
    assert {"data", "fingerprint", "date", "versions", "steps", "seconds_of_training"} <= set(made)
    for figures in (made["figures"], made["figures_without_mirror"]):
        assert set(figures) == {"recall_at_1", "map_at_r"}
    assert len(made["unknown"]) == {"cifar10": 0, "cifar10-8": 2}[name]


def close_to(published, made):
    """Copies of CIFAR-10 differ in their compression: on another one the figures are near, not the same."""
    return pytest.approx(published, abs=0.003 if training.fingerprint() == made["fingerprint"] else 0.05)


@each_name
def test_the_files_give_the_published_map_at_r_of_the_test_images(name, cifar10):
    made = models.provenance(name)
    images = training.known(name, cifar10)
    embeddings = models.embed(
        models.pretrained(name, mirror=False, precision="auto"), images.images, batch_size=250, progress=False
    )
    measured = training.map_at_r_among_themselves(embeddings, images)
    assert measured == close_to(made["figures_without_mirror"]["map_at_r"], made)


@pytest.mark.published
@pytest.mark.parametrize("mirror", [False, True])
@each_name
def test_the_files_give_every_published_figure(name, mirror, cifar10):
    made = models.provenance(name)
    measured = training.figures(name, models.pretrained(name, mirror=mirror, precision="auto"))
    assert measured == close_to(made["figures" if mirror else "figures_without_mirror"], made)


def test_the_mirror_image_is_averaged_in_unless_told_otherwise():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    plain = models.pretrained("cifar10", mirror=False)
    expected = models.embed(models.mirrored(plain), images)
    np.testing.assert_allclose(models.embed(models.pretrained("cifar10"), images), expected, atol=1e-6)
    assert not np.allclose(models.embed(plain, images), expected, atol=1e-3)


def test_classes_left_out_are_ranked_worse_than_by_the_network_that_was_trained_on_them(cifar10):
    unknown = models.provenance("cifar10-8")["unknown"]
    images = cifar10.only(unknown).take_per_class(300, seed=0)
    with_them, without = (
        training.map_at_r_among_themselves(
            models.embed(models.pretrained(name, mirror=False, precision="auto"), images.images), images
        )
        for name in PRETRAINED
    )
    assert without < with_them - 0.05


def test_a_pretrained_model_gives_unit_vectors_and_can_be_trained_on():
    model = models.pretrained("cifar10")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert np.allclose(np.linalg.norm(models.embed(model, images), axis=1), 1, atol=1e-5)
    assert model.trainable_weights
    assert all(weight.dtype == "float32" for weight in model.weights)


def test_the_one_with_unknown_classes_is_another():
    one, other = (models.pretrained(name).get_weights() for name in PRETRAINED)
    assert not any(np.array_equal(a, b) for a, b in zip(one[-1:], other[-1:], strict=True))


@pytest.mark.parametrize("ask", [models.pretrained, models.provenance])
@pytest.mark.parametrize("name", ["cifar100", "../cifar10", None])
def test_other_names_are_refused_and_the_right_ones_named(ask, name):
    with pytest.raises(ValueError, match="name must be one of cifar10, cifar10-8; got"):
        ask(name)


def test_weights_that_do_not_fit_are_refused(tmp_path, monkeypatch):
    (tmp_path / "cifar10.json").write_text((WEIGHTS / "cifar10.json").read_text())
    with np.load(WEIGHTS / "cifar10.npz") as stored:
        arrays = dict(stored)
    monkeypatch.setitem(models.pretrained.__globals__, "WEIGHTS", tmp_path)
    np.savez(tmp_path / "cifar10.npz", **{**arrays, "weight_1": arrays["weight_1"][:, :-1]})
    with pytest.raises(ValueError, match=r"weight shape .* is not compatible with provided weight shape"):
        models.pretrained("cifar10")
    del arrays[f"weight_{len(arrays) - 1}"]
    np.savez(tmp_path / "cifar10.npz", **arrays)
    with pytest.raises(ValueError, match=rf"weight list of length {len(arrays)}"):
        models.pretrained("cifar10")
