"""Data sets by name: the digits, TFDS, and what happens without a network."""

import io
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import warnings

import numpy as np
import pytest

from simnb import data
from simnb.data import __main__ as command
from simnb.data import loading, tfds

HOLES = "cifar10 is not prepared"


# Digits


def test_digits_have_the_shape_of_cifar10():
    from sklearn.datasets import load_digits

    digits = data.load("digits", split="all")
    assert repr(digits) == "Examples(1797 images 32x32x3 uint8, 10 classes)"
    assert digits.class_names == tuple("0123456789")
    bundled = load_digits()
    np.testing.assert_array_equal(digits.labels, bundled.target)
    np.testing.assert_array_equal(digits.ids, np.arange(1797))
    assert digits.images.min() == 0
    assert digits.images.max() == 255
    np.testing.assert_array_equal(digits.images[..., 0], digits.images[..., 2])
    small = digits.images[..., 1].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    assert np.corrcoef(small.ravel(), bundled.images.ravel())[0, 1] > 0.97
    np.testing.assert_allclose(small.mean() / bundled.images.mean(), 255 / 16, rtol=0.02)


def test_train_and_test_digits_share_no_id_and_hold_80_and_20_percent_of_each_class():
    train, test, everything = (data.load("digits", split=split) for split in ("train", "test", "all"))
    assert sorted([*train.ids, *test.ids]) == list(range(1797))
    share = np.bincount(train.labels) / np.bincount(everything.labels)
    np.testing.assert_allclose(share, 0.8, atol=0.005)
    np.testing.assert_array_equal(everything[train.ids].images, train.images)
    assert data.load("digits").ids.tolist() == train.ids.tolist()


def test_digits_can_be_resized_and_refuse_other_splits():
    assert data.load("digits", split="test", image_size=(8, 12)).images.shape[1:] == (8, 12, 3)
    with pytest.raises(
        ValueError, match=r"split of digits must be one of train, test, all; got 'train\[:10%\]'"
    ):
        data.load("digits", split="train[:10%]")
    with pytest.raises(ValueError, match="split of digits must be one of"):
        data.load("digits", split=["train"])


@pytest.mark.parametrize("name", ["", 3, ["digits"]])
def test_a_name_must_be_a_string(name):
    with pytest.raises(ValueError, match="name must be a string such as 'cifar10' or 'digits'"):
        data.load(name)


# TFDS


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No site answers, and nothing is prepared; the value is the list of the sites that were asked."""
    asked = []
    monkeypatch.setattr(tfds, "_answers", lambda url, timeout: bool(asked.append(url)))
    monkeypatch.setattr(loading, "_chosen", {})
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "empty"))
    return asked


class Site:
    """Replaces download_and_prepare: nothing is ever downloaded by these tests."""

    def __init__(self, monkeypatch, error):
        self.error = error
        import tensorflow_datasets

        self.downloads = 0
        monkeypatch.setattr(tfds, "_answers", lambda url, timeout: True)
        monkeypatch.setattr(
            tensorflow_datasets.core.DatasetBuilder, "download_and_prepare", lambda builder: self.download()
        )

    def download(self):
        self.downloads += 1
        if self.error:
            raise self.error


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with small data sets of TFDS, prepared without a network."""
    import tensorflow_datasets
    from tensorflow_datasets import features

    folder = tmp_path_factory.mktemp("tfds")
    rng = np.random.default_rng(0)
    label = features.ClassLabel(names=["ant", "bee", "cat"])

    def store(name, columns, size):
        def row(number):
            image = rng.integers(0, 255, size(number), dtype=np.uint8)
            values = {"image": image, "label": number % 3, "text": "some text"}
            return number, {key: values[key] for key in columns}

        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=features.FeaturesDict(columns),
            split_datasets={"train": [row(n) for n in range(25)], "test": [row(n) for n in range(1, 11)]},
            data_dir=folder,
            disable_shuffling=True,
        )

    gray = {"image": features.Image(shape=(6, 7, 1)), "label": label, "text": features.Text()}
    mixed = {"image": features.Image(shape=(None, None, 3)), "label": label}
    with tfds._quiet_absl(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what TFDS does while it writes is not tested here
        store("gray_shapes", gray, lambda number: (6, 7, 1))
        store("mixed_shapes", mixed, lambda number: (6 + number % 2, 7, 3))
        store("no_label", {"image": gray["image"], "text": gray["text"]}, lambda number: (6, 7, 1))
        store("plain_number", gray | {"label": features.Scalar(np.int64)}, lambda number: (6, 7, 1))
    return folder


def read_by_tfds(folder, name, split):
    import tensorflow_datasets

    config = tensorflow_datasets.ReadConfig(interleave_cycle_length=1)
    examples = tensorflow_datasets.load(name, split=split, data_dir=folder, read_config=config)
    return list(tensorflow_datasets.as_numpy(examples))


ENDS = {"train": range(25), "test": range(25, 35)}


@pytest.mark.parametrize("batch_bytes", [1, 300, tfds.BATCH_BYTES])
@pytest.mark.parametrize(
    ("split", "ids"),
    [
        ("train", [*ENDS["train"]]),
        ("test", [*ENDS["test"]]),
        ("all", [*ENDS["train"], *ENDS["test"]]),
        ("test+train", [*ENDS["test"], *ENDS["train"]]),
        ("train[3:7]+test[-2:]", [3, 4, 5, 6, 33, 34]),
        ("train[10:12]+train[:2]", [10, 11, 0, 1]),
        ("test[:50%]", [25, 26, 27, 28, 29]),
    ],
)
def test_a_split_of_tfds_is_read_in_order_and_ids_are_positions_in_all_splits(
    prepared, monkeypatch, split, ids, batch_bytes
):
    monkeypatch.setattr(tfds, "BATCH_BYTES", batch_bytes)
    examples = data.load("gray_shapes", split=split, data_dir=prepared)
    expected = read_by_tfds(prepared, "gray_shapes", split)
    assert examples.ids.tolist() == ids
    assert examples.class_names == ("ant", "bee", "cat")
    assert examples.images.dtype == np.uint8
    np.testing.assert_array_equal(examples.images, [example["image"] for example in expected])
    np.testing.assert_array_equal(examples.labels, [example["label"] for example in expected])


def test_the_default_split_is_train(prepared):
    assert len(data.load("gray_shapes", data_dir=str(prepared))) == 25


def test_the_environment_names_the_folder_even_when_set_late(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(data.load("gray_shapes")) == 25


def test_images_of_different_sizes_are_resized_when_asked(prepared):
    with pytest.raises(ValueError, match=r"have different sizes; pass image_size=\(height, width\)"):
        data.load("mixed_shapes", data_dir=prepared)
    examples = data.load("mixed_shapes", data_dir=prepared, image_size=(6, 7))
    assert repr(examples) == "Examples(25 images 6x7x3 uint8, 3 classes)"
    expected = read_by_tfds(prepared, "mixed_shapes", "train")
    np.testing.assert_array_equal(examples.images[0], expected[0]["image"])  # it had this size
    smaller = data.load("mixed_shapes", data_dir=prepared, image_size=(3, 2)).images
    assert smaller.shape == (25, 3, 2, 3)
    means = [example["image"].mean() for example in expected]
    assert np.corrcoef(smaller.mean(axis=(1, 2, 3)), means)[0, 1] > 0.9


def test_a_resized_edge_is_rounded_and_stays_within_range(tmp_path):
    import tensorflow
    import tensorflow_datasets
    from tensorflow_datasets import features

    ramp = np.zeros((12, 12, 3), np.uint8)
    ramp[:, 6:] = 255
    with tfds._quiet_absl(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensorflow_datasets.dataset_builders.store_as_tfds_dataset(
            name="edge",
            version="1.0.0",
            features=features.FeaturesDict(
                {"image": features.Image(shape=(12, 12, 3)), "label": features.ClassLabel(num_classes=2)}
            ),
            split_datasets={"train": [(0, {"image": ramp, "label": 1})]},
            data_dir=tmp_path,
        )
    examples = data.load("edge", data_dir=tmp_path, image_size=(30, 24))
    overshoot = tensorflow.image.resize(ramp, (30, 24), method="bicubic", antialias=True).numpy()
    assert overshoot.min() < 0
    assert overshoot.max() > 255
    np.testing.assert_array_equal(examples.images[0], np.rint(overshoot).clip(0, 255).astype(np.uint8))
    assert examples.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train[:0]", r"split 'train\[:0\]' of 'gray_shapes' holds no examples"),
        ("train+train[:1]", "holds some examples more than once; let its parts not overlap"),
        ("trian", r"Unknown split 'trian'. Should be one of \['train', 'test'\]"),
        ("train[:99]", "incompatible with 25 examples"),
        (None, "Unknown split 'None'"),
    ],
)
def test_a_split_that_is_none_is_refused(prepared, split, message):
    with pytest.raises(ValueError, match=message):
        data.load("gray_shapes", split=split, data_dir=prepared)


def test_a_data_set_without_one_image_and_one_label_is_refused(prepared):
    with pytest.raises(
        ValueError, match=r"must have the features image .*it has image \(Image\), text \(Text\)"
    ):
        data.load("no_label", data_dir=prepared)
    with pytest.raises(ValueError, match=r"label \(Scalar\)"):
        data.load("plain_number", data_dir=prepared)


def test_image_size_is_checked_before_anything_is_loaded(offline):
    with pytest.raises(ValueError, match=r"image_size must be \(height, width\), got 32"):
        data.load("cifar10", image_size=32)
    assert offline == []


def test_loading_what_is_prepared_prints_nothing(prepared):
    code = "from simnb import data; data.load('gray_shapes', progress=True)"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code],
        env=os.environ | {"TFDS_DATA_DIR": str(prepared)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == ""
    assert result.stderr == ""


def test_cifar10_is_read_as_it_is_prepared(monkeypatch):
    import tensorflow_datasets

    folder = os.environ.get("TFDS_DATA_DIR")
    with tfds._quiet_absl():
        if not tensorflow_datasets.builder("cifar10", data_dir=folder).is_prepared():
            pytest.skip("cifar10 is not prepared")  # why: no test downloads anything
    monkeypatch.setattr(loading, "_chosen", {})
    examples = data.load(split="test[:200]")
    assert data.default_name() == "cifar10"
    assert repr(examples) == "Examples(200 images 32x32x3 uint8, 10 classes)"
    assert examples.class_names[:3] == ("airplane", "automobile", "bird")
    assert examples.ids.tolist() == list(range(50_000, 50_200))
    expected = read_by_tfds(folder, "cifar10", "test[:200]")
    np.testing.assert_array_equal(examples.images, [example["image"] for example in expected])
    np.testing.assert_array_equal(examples.labels, [example["label"] for example in expected])
    assert data.load("cifar10", split="train[100:103]").ids.tolist() == [100, 101, 102]


# Without a network


def test_a_data_set_that_cannot_be_had_says_what_to_do(offline):
    with pytest.raises(
        ConnectionError, match=r"(?s)'cifar10' is not prepared.*python -m simnb.data cifar10.*digits"
    ):
        data.load("cifar10")
    assert len(offline) == 1
    assert offline[0].startswith("https://")


@pytest.mark.parametrize("name", ["cifra10", "cifra10/plain", "digit"])
def test_a_misspelled_name_gets_close_ones(offline, name):
    close = "digits" if name == "digit" else "cifar10"
    with pytest.raises(ValueError, match=f"got '{name}'; did you mean .*'{close}'"):
        data.load(name)
    with pytest.raises(ValueError, match=r"see tfds\.list_builders"):
        data.load("qqqqqqqq")
    assert offline == []


def test_load_falls_back_to_digits_once_and_stays_with_them(offline, capsys, caplog, tmp_path):
    train = data.load()
    line = "Data set: digits (bundled with scikit-learn), because " + HOLES + " and its site did not answer\n"
    assert capsys.readouterr() == (line, "")
    test = data.load(split="test", image_size=(16, 16), progress=False)
    assert data.default_name() == "digits"
    assert capsys.readouterr() == ("", "")
    assert (len(train), len(test)) == (1438, 359)
    assert test.images.shape[1:] == (16, 16, 3)
    assert len(offline) == 1
    data.default_name(tmp_path / "another")
    assert len(offline) == 2
    assert caplog.records == []


def test_load_takes_cifar10_where_it_is_prepared(offline, capsys, monkeypatch):
    loaded = []
    monkeypatch.setattr(tfds, "prepare", lambda name, data_dir, progress: loaded.append((name, data_dir)))
    monkeypatch.setattr(tfds, "load_tfds", lambda name, split, **options: (name, split, options))
    options = {"data_dir": "folder", "image_size": (8, 9), "lazy": True, "progress": False}
    assert data.load(split="test", **options) == ("cifar10", "test", options)
    assert data.load(**options) == ("cifar10", "train", options)
    assert capsys.readouterr() == ("Data set: cifar10 (from TFDS)\n", "")
    assert loaded == [("cifar10", "folder")]


def test_many_classes_are_omniglot_where_it_can_be_had_and_glyphs_elsewhere(offline, capsys, monkeypatch):
    assert data.default_name(many_classes=True) == "glyphs"
    line = (
        "Many classes: glyphs (drawn with matplotlib's fonts), because omniglot is not prepared and its site "
    )
    assert capsys.readouterr() == (line + "did not answer\n", "")
    assert data.default_name() == "digits"  # one choice is not the other
    assert data.default_name(many_classes=True) == "glyphs"
    assert capsys.readouterr().out.count("\n") == 1
    assert len(offline) == 2
    asked = []
    monkeypatch.setattr(loading, "_chosen", {})
    monkeypatch.setattr(tfds, "prepare", lambda name, data_dir, progress: asked.append((name, data_dir)))
    assert data.default_name("folder", many_classes=True, progress=False) == "omniglot"
    assert capsys.readouterr() == ("Many classes: omniglot (from TFDS)\n", "")
    assert asked == [("omniglot", "folder")]


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("wrong checksum")])
def test_a_download_that_fails_falls_back_only_where_no_name_was_given(offline, capsys, monkeypatch, error):
    site = Site(monkeypatch, error)
    assert data.default_name() == "digits"
    line = f"because cifar10 could not be prepared ({type(error).__name__})\n"
    assert capsys.readouterr().out.endswith(line)
    with pytest.raises(type(error), match=str(error)):
        data.load("cifar10")
    assert site.downloads == 2


def test_a_download_that_leaves_nothing_is_an_error(offline, monkeypatch):
    Site(monkeypatch, None)
    with pytest.raises(OSError, match="holds an unfinished copy of 'cifar10'; delete it and try again"):
        data.load("cifar10")


@pytest.mark.parametrize("progress", [True, False])
def test_progress_reaches_the_bars_of_tfds(offline, monkeypatch, progress):
    from tensorflow_datasets.core.utils import tqdm_utils

    site = Site(monkeypatch, None)
    seen = []
    monkeypatch.setattr(site, "download", lambda: seen.append(tqdm_utils._active))
    with pytest.raises(OSError, match="unfinished copy"):
        data.load("cifar10", progress=progress)
    assert seen == [progress]
    assert tqdm_utils._active


def test_a_folder_that_cannot_be_written_to_is_named_before_any_site_is_asked(
    offline, tmp_path, capsys, monkeypatch
):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(
        NotADirectoryError, match=f"cannot be stored in {file}/data: {file} is a file; pass data_dir"
    ):
        data.load("cifar10", data_dir=file / "data")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match=r"cannot be stored in .*empty: it is not writable"):
        data.load("cifar10")
    data.load()
    line = f"because {HOLES} and the TFDS folder cannot be written to\n"
    assert capsys.readouterr().out.endswith(line)
    assert offline == []


def test_a_site_that_hangs_is_given_up_within_ten_seconds(monkeypatch, tmp_path, capsys):
    over, answered = threading.Event(), []

    def hang(*_, **__):
        over.wait(120)
        answered.append(True)
        raise OSError("nothing was found")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(loading, "_chosen", {})
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    assert tfds.PROBE_SECONDS <= 6  # the rest of the ten is for the imports
    monkeypatch.setattr(tfds, "PROBE_SECONDS", 1.0)
    assert data.default_name(tmp_path) == "digits"
    assert capsys.readouterr().out.count("\n") == 1
    monkeypatch.setattr(tfds.urllib.request, "urlopen", hang)
    assert not tfds._answers("https://example.org", 0.1)
    assert answered == []  # nobody waited for it
    over.set()


@pytest.mark.parametrize(
    ("outcome", "answers"),
    [
        (io.BytesIO(), True),
        (urllib.error.HTTPError("", 403, "Forbidden", {}, io.BytesIO()), True),
        (urllib.error.URLError("no route"), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_any_http_status_is_an_answer_and_no_connection_is_none(monkeypatch, outcome, answers):
    requests = []

    def urlopen(request, timeout):
        requests.append((request.get_method(), request.full_url, timeout))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(tfds.urllib.request, "urlopen", urlopen)
    assert tfds._answers("https://example.org/x", 3.0) is answers
    assert requests == [("HEAD", "https://example.org/x", 3.0)]


def test_a_builder_that_names_no_site_is_left_to_tfds(offline):
    class Builder:
        url_infos = None

    tfds._check_reachable(Builder, "x")
    Builder.url_infos = {"ftp://example.org": None}
    tfds._check_reachable(Builder, "x")
    assert offline == []


# The command


def test_the_command_prepares_each_data_set_and_says_so(prepared, capsys):
    assert command.main(["gray_shapes", "digits", "--data-dir", str(prepared)]) == 0
    output, errors = capsys.readouterr()
    assert output.splitlines() == [
        f"gray_shapes: prepared in {prepared / 'gray_shapes' / '1.0.0'}",
        "digits: bundled with scikit-learn, nothing to prepare",
    ]
    assert errors == ""


def test_the_command_fails_with_one_line_and_prepares_cifar10_by_default(offline, capsys):
    assert command.main([]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("cifar10: not prepared: ")
    assert errors.count("\n") == 1
    assert command.main(["cifra10", "digits"]) == 1
    output, errors = capsys.readouterr()
    assert output.startswith("digits: ")
    assert errors.count("\n") == 1


def test_the_command_runs_as_a_module_and_the_import_loads_nothing_heavy():
    code = (
        "import sys, simnb.data; "
        "print(sys.modules.keys() & {'tensorflow', 'keras', 'sklearn', 'tensorflow_datasets'})"
    )
    for arguments, output in (
        (["-c", code], "set()\n"),
        (["-m", "simnb.data", "digits"], "digits: bundled with"),
    ):
        result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
        assert result.stdout.startswith(output)
