"""Data sets of TFDS with many classes: which of their features is the class, and what more is known of it.

They are not downloaded: small copies are written with the features that TFDS's own builders declare.
"""

import os
import warnings

import numpy as np
import pytest

from simnb import data
from simnb.data import tfds

BREEDS = ("Abyssinian", "american_bulldog", "american_pit_bull_terrier", "basset_hound")


def store(folder, name, rows, names=None):
    """Write splits of rows as a data set of TFDS, with the features of its own builder.

    Args:
        folder: Where to.
        name: Name of the data set.
        rows: For each split a list of dicts, in which features without interest are missing.
        names: Names of classes, of features whose names TFDS finds out while it downloads.
    """
    import tensorflow_datasets

    with tfds._quiet_absl(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TFDS does while it writes is not tested here
        builder = tensorflow_datasets.builder(name, data_dir=folder)
        features = builder.info.features
        for key, values in (names or {}).items():
            features[key].names = values
        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=str(builder.version),
            features=features,
            split_datasets={
                split: [(number, filled(features, row)) for number, row in enumerate(part)]
                for split, part in rows.items()
            },
            data_dir=folder,
            disable_shuffling=True,
        )


def filled(features, row):
    """A row with some value for each feature that it lacks."""
    import tensorflow_datasets

    def some(feature):
        if isinstance(feature, tensorflow_datasets.features.Image):
            return np.zeros([size or 3 for size in feature.shape], np.uint8)
        if isinstance(feature, tensorflow_datasets.features.BBoxFeature):
            return tensorflow_datasets.features.BBox(0.0, 0.0, 1.0, 1.0)
        return "text" if isinstance(feature, tensorflow_datasets.features.Text) else 0

    return {key: row[key] if key in row else some(feature) for key, feature in features.items()}


def image(number, height=6, width=5):
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


def load(folder, name, **options):
    """Load a data set at once and lazily, which has to give the same."""
    options = {"image_size": (6, 5), "data_dir": folder, **options}
    eager, lazily = data.load(name, **options), data.load(name, lazy=True, **options)
    assert eager.fingerprint() == lazily.fingerprint()
    assert eager.class_metadata == lazily.class_metadata
    return eager


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    store(
        folder,
        "cifar100",
        {
            "train": [
                {"image": image(n, 32, 32), "label": n % 3, "coarse_label": (n % 3) % 2} for n in range(9)
            ],
            "test": [{"image": image(n, 32, 32), "label": n, "coarse_label": n % 2} for n in range(2)],
        },
        {
            "label": ["apple", "bear", "pear", *(f"class {n}" for n in range(97))],
            "coarse_label": ["fruit", "large animals", *(f"group {n}" for n in range(18))],
        },
    )
    products = [
        {"image": image(n, 6 + n % 2), "class_id": n // 2, "super_class_id": n // 4} for n in range(8)
    ]
    for row in products:
        row["super_class_id/num"] = row["super_class_id"]
    others = [row | {"class_id": 11_318 + row["class_id"]} for row in products]
    store(folder, "stanford_online_products", {"train": products, "test": others})
    pets = [{"image": image(n, 6 + n % 2), "label": n % 4, "species": min(n % 4, 1)} for n in range(8)]
    store(folder, "oxford_iiit_pet", {"train": pets, "test": pets[:2]})
    for name in ("caltech_birds2011", "cars196"):
        rows = [{"image": image(n, 6 + n % 2), "label": 195 - n // 2} for n in range(8)]
        store(folder, name, {"train": rows, "test": rows[:2]})
    return folder


def test_cifar100_has_the_fine_label_and_knows_the_coarse_one(folder):
    train = load(folder, "cifar100", image_size=None)
    assert train.images.shape == (9, 32, 32, 3)
    assert train.labels.tolist() == [0, 1, 2] * 3
    assert train.class_names[:3] == ("apple", "bear", "pear")
    assert train.metadata == {"coarse_label": ["fruit", "large animals", "fruit"] * 3}
    assert train.class_metadata["coarse_label"][3:] == (None,) * 97
    np.testing.assert_array_equal(train.images[4], image(4, 32, 32))
    parts = train.split_classes(train=0.5, test=0.5, by="coarse_label", whole=True)
    assert {len(np.unique(part.labels)) for part in parts} == {2, 0, 1}


def test_stanford_online_products_is_labeled_by_product_and_its_splits_share_none(folder):
    train, test = (load(folder, "stanford_online_products", split=split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert test.labels.tolist() == [11_318 + label for label in train.labels]
    assert len(train.class_names) == 22_634
    assert train.metadata == test.metadata == {"super_class_id": ["bicycle"] * 4 + ["cabinet"] * 4}
    assert test.ids.tolist() == [8, 9, 10, 11, 12, 13, 14, 15]
    np.testing.assert_array_equal(train.images[2], image(2))  # it had this size


def test_pets_are_labeled_by_breed_and_know_their_species(folder):
    pets = load(folder, "oxford_iiit_pet")
    assert tuple(pets.class_names[:4]) == BREEDS
    assert pets.labels.tolist() == [0, 1, 2, 3] * 2
    assert pets.metadata == {"species": ["Cat", "Dog", "Dog", "Dog"] * 2}


@pytest.mark.parametrize("name", ["caltech_birds2011", "cars196"])
def test_birds_and_cars_have_one_label_and_nothing_more(folder, name):
    examples = load(folder, name)
    assert examples.labels.tolist() == [195, 195, 194, 194, 193, 193, 192, 192]
    assert examples.class_metadata == {}
    assert len(examples.class_names) == (200 if name == "caltech_birds2011" else 196)
    np.testing.assert_array_equal(examples.images[2], image(2))


@pytest.mark.parametrize(
    "name", ["stanford_online_products", "oxford_iiit_pet", "caltech_birds2011", "cars196"]
)
def test_photographs_of_different_sizes_need_one(folder, name):
    for lazy in (False, True):
        with pytest.raises(ValueError, match=rf"images of '{name}' have different sizes; pass image_size="):
            data.load(name, data_dir=folder, lazy=lazy)


def drawings(alphabets):
    """Two drawings of each character; a character for each alphabet that is given."""
    return [
        {"image": image(n, 105, 105), "label": n // 2, "alphabet": alphabets[n // 2]}
        for n in range(2 * len(alphabets))
    ]


def test_omniglot_knows_alphabets_where_they_have_names(tmp_path):
    alphabets = ["Armenian", "Bengali", "Cyrillic", *(f"alphabet {n}" for n in range(47))]
    rows = {"train": drawings([0, 0, 2]), "test": drawings([0, 0, 2, 1])[-2:]}
    store(tmp_path, "omniglot", rows, {"alphabet": alphabets})
    train, test = (load(tmp_path, "omniglot", split=split) for split in ("train", "test"))
    assert train.class_metadata["alphabet"][:4] == ("Armenian", "Armenian", "Cyrillic", None)
    assert train.metadata["alphabet"] == ["Armenian"] * 4 + ["Cyrillic"] * 2
    assert test.metadata["alphabet"] == ["Bengali"] * 2
    assert train.split_classes(train=0.5, by="alphabet", whole=True).test.labels.tolist() == [2, 2]


def test_omniglot_knows_no_alphabets_where_they_were_not_recorded(tmp_path):
    store(tmp_path, "omniglot", {"train": drawings([0, 0, 0]), "test": drawings([0])})
    examples = load(tmp_path, "omniglot", image_size=None)
    assert examples.class_metadata == {}
    assert examples.images.shape == (6, 105, 105, 3)
    np.testing.assert_array_equal(examples.images[3], image(3, 105, 105))


def test_a_label_that_is_called_otherwise_is_named_where_it_is_missing(tmp_path):
    import tensorflow_datasets
    from tensorflow_datasets import features

    with tfds._quiet_absl(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name="stanford_online_products",
            version="1.0.0",
            features=features.FeaturesDict(
                {"image": features.Image(shape=(6, 5, 3)), "label": features.ClassLabel(num_classes=2)}
            ),
            split_datasets={"train": [(0, {"image": image(0), "label": 1})]},
            data_dir=tmp_path,
        )
    builder = tensorflow_datasets.builder_from_directory(tmp_path / "stanford_online_products" / "1.0.0")
    with pytest.raises(
        ValueError, match=r"must have the features image \(Image\) and class_id \(ClassLabel\), it has image"
    ):
        tfds._features(builder)


# The real omniglot, where it is prepared


@pytest.fixture(scope="module")
def characters():
    import tensorflow_datasets

    with tfds._quiet_absl():
        folder = os.environ.get("TFDS_DATA_DIR")
        if not tensorflow_datasets.builder("omniglot", data_dir=folder).is_prepared():
            pytest.skip("omniglot is not prepared")  # why: no test downloads anything
    return {
        size: data.load("omniglot", split="test[:400]", image_size=None if size == 105 else (size, size))
        for size in (105, 32)
    }


def test_omniglot_loads_by_name_and_shares_no_class_between_its_splits(characters):
    drawn = characters[105]
    assert drawn.images.shape == (400, 105, 105, 3)
    assert len(drawn.class_names) == 1623
    train = data.load("omniglot", split="train[-400:]", image_size=(8, 8))
    assert not set(train.labels.tolist()) & set(drawn.labels.tolist())
    assert not set(train.ids.tolist()) & set(drawn.ids.tolist())


def test_thin_strokes_survive_when_omniglot_is_made_small(characters):
    large, small = (255.0 - characters[size].images[..., 0] for size in (105, 32))
    assert set(np.unique(large).tolist()) == {0, 255}
    assert large.mean() < 0.2 * 255  # black on white: this is the ink
    kept = small.mean(axis=(1, 2)) / large.mean(axis=(1, 2))
    assert abs(kept - 1).max() < 0.15
    # Where there was a stroke, there is one: each inked pixel has ink where it is now.
    rows, columns = (np.arange(105) * 32 // 105 for _ in range(2))
    seen = small[:, rows][:, :, columns][large > 0]
    assert np.mean(seen > 60) > 0.94
