"""The weights in the package are those whose figures are published; others that do not fit are refused."""

import os

import numpy as np
import pytest

from simnb import data, models
from simnb.models.pretrained import PRETRAINED, WEIGHTS
from tests.benchmarks import training

CHARACTERS = tuple(training.UNSEEN)
CIFAR10 = ("cifar10", "cifar10-8")

each_name = pytest.mark.parametrize("name", PRETRAINED)
each_of_cifar10 = pytest.mark.parametrize("name", CIFAR10)
each_of_characters = pytest.mark.parametrize("name", CHARACTERS)


@pytest.fixture(scope="module")
def cifar10():
    """The test images, where they are at hand."""
    if data.default_name(progress=False) != "cifar10":
        pytest.skip("cifar10 is not prepared")  # why: no test downloads anything
    return data.load("cifar10", split="test", progress=False)


@pytest.fixture
def characters(name):
    """The test images of a run over characters, where they are at hand."""
    if name == "omniglot":
        tensorflow_datasets = pytest.importorskip("tensorflow_datasets")
        folder = os.environ.get("TFDS_DATA_DIR")
        if not tensorflow_datasets.builder(name, data_dir=folder).is_prepared():
            pytest.skip("omniglot is not prepared")  # why: no test downloads anything
    return training.examples(name, "test")


@each_name
def test_a_file_is_small_holds_plain_half_precision_arrays_and_says_where_it_comes_from(name):
    assert (WEIGHTS / f"{name}.npz").stat().st_size <= (4_000_000 if name in CIFAR10 else 1_000_000)
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as stored:
        dtypes = {array.ndim > 1: array.dtype for array in stored.values()}
    assert dtypes == {True: np.float16, False: np.float32}
    made = models.provenance(name)
    assert made["command"] == f"python -m tests.benchmarks.training {name} --seed {made['seed']}"
    assert {"data", "fingerprint", "date", "versions", "steps", "seconds_of_training"} <= set(made)
    assert len(made["unknown"]) == (2 if name.endswith("-8") else 0)
    if name == "digits-8":
        assert set(made["figures"]) == {"recall_at_1"}
    elif name in CIFAR10:
        for figures in (made["figures"], made["figures_without_mirror"]):
            assert set(figures) == {"recall_at_1", "map_at_r"}
    else:
        for figures in (made["figures"], *made["baselines"].values()):
            assert {"recall@1", "map@r", "5-way 1-shot", "20-way 5-shot"} <= set(figures)


def close_to(published, made):
    """Copies of CIFAR-10 differ in their compression: on another one the figures are near, not the same."""
    return pytest.approx(
        published, abs=0.003 if training.fingerprint("cifar10") == made["fingerprint"] else 0.05
    )


@each_of_cifar10
def test_the_files_give_the_published_map_at_r_of_the_test_images(name, cifar10):
    made = models.provenance(name)
    images = training.known(name, cifar10)
    embeddings = models.embed(
        models.pretrained(name, mirror=False, precision="auto"), images.images, batch_size=250, progress=False
    )
    measured = training.map_at_r_among_themselves(embeddings, images)
    assert measured == close_to(made["figures_without_mirror"]["map_at_r"], made)


@each_of_characters
def test_the_files_give_the_published_figures_of_unseen_classes(name, characters):
    made = models.provenance(name)
    if training.fingerprint(name) != made["fingerprint"]:
        pytest.skip(
            "other pictures than those of the published figures"
        )  # why: of another TFDS or matplotlib
    measured = training.unseen({"model": models.pretrained(name, precision="auto")}, characters)["model"]
    assert measured == pytest.approx(made["figures"], abs=0.002)
    for worse in made["baselines"].values():
        assert all(worse[metric] < figure for metric, figure in measured.items())


def test_the_digits_give_the_published_recall_err_and_know_eight_classes():
    made = models.provenance("digits-8")
    measured = training.figures("digits-8", models.pretrained("digits-8", precision="auto"))
    assert measured == pytest.approx(made["figures"], abs=0.01)
    assert 0.9 < measured["recall_at_1"] < 0.99  # lessons show mistakes
    assert made["unknown"] == ["3", "8"]


@pytest.mark.published
@pytest.mark.parametrize("mirror", [False, True])
@each_of_cifar10
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


def test_the_mirror_image_of_a_character_is_another_and_is_averaged_in_only_if_told_so():
    images = 255 - np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    plain = models.embed(models.pretrained("glyphs", mirror=False), images)
    np.testing.assert_array_equal(models.embed(models.pretrained("glyphs"), images), plain)
    assert not np.allclose(models.embed(models.pretrained("glyphs", mirror=True), images), plain, atol=1e-3)


def test_classes_left_out_are_ranked_worse_than_by_the_network_that_was_trained_on_them(cifar10):
    unknown = models.provenance("cifar10-8")["unknown"]
    images = cifar10.only(unknown).take_per_class(300, seed=0)
    with_them, without = (
        training.map_at_r_among_themselves(
            models.embed(models.pretrained(name, mirror=False, precision="auto"), images.images), images
        )
        for name in CIFAR10
    )
    assert without < with_them - 0.05


def test_a_pretrained_model_gives_unit_vectors_and_can_be_trained_on():
    model = models.pretrained("cifar10")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    assert np.allclose(np.linalg.norm(models.embed(model, images), axis=1), 1, atol=1e-5)
    assert model.trainable_weights
    assert all(weight.dtype == "float32" for weight in model.weights)


def test_the_one_with_unknown_classes_is_another():
    one, other = (models.pretrained(name).get_weights() for name in CIFAR10)
    assert not any(np.array_equal(a, b) for a, b in zip(one[-1:], other[-1:], strict=True))


@pytest.mark.parametrize("ask", [models.pretrained, models.provenance])
@pytest.mark.parametrize("name", ["cifar100", "../cifar10", None])
def test_other_names_are_refused_and_the_right_ones_named(ask, name):
    with pytest.raises(
        ValueError, match="name must be one of cifar10, cifar10-8, digits-8, glyphs, omniglot; got"
    ):
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
