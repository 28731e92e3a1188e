"""The commands in a terminal: what they print, write and return, and what is left when they fail."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from simnb import __main__ as command
from simnb import data, models
from simnb.calibration import calibrate
from simnb.folder_search import PROMISE, steps
from simnb.index import Neighbors
from simnb.models import on_disk
from simnb.search import SimilaritySearch

FEATURES = "features-colours.sqlite"
COLORS = {"red": (200, 30, 30), "зелёный": (30, 180, 40), "青": (30, 40, 200)}


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    """A ``.keras`` file: the mean colours of the four quarters of 16 x 16 images."""
    import keras

    pixels = x = keras.Input((16, 16, 3))
    for layer in (keras.layers.AveragePooling2D(8), keras.layers.Flatten(), keras.layers.UnitNormalization()):
        x = layer(x)
    path = tmp_path_factory.mktemp("embedder") / "colours.keras"
    keras.Model(pixels, x, name="colours").save(path)
    return str(path)


def colored(color, seed, size=(40, 30)):
    noise = np.random.default_rng(seed).normal(0, 25, size=(size[1], size[0], 3))
    return Image.fromarray((noise + color).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """32 images of each colour, with odd files among them."""
    folder = tmp_path_factory.mktemp("photos") / "my photos"
    for at, (name, color) in enumerate(COLORS.items()):
        (folder / name).mkdir(parents=True)
        for number in range(32):
            size = (20 + number, 60 - number)
            suffix = ("png", "JPG", "gif", "webp")[number % 4]
            colored(color, 100 * at + number, size).save(folder / name / f"{number}.{suffix}")
    whole = (folder / "red" / "1.JPG").read_bytes()
    (folder / "red" / "cut.jpg").write_bytes(whole[: len(whole) * 4 // 5])
    (folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8 no")
    (folder / "red" / "notes.txt").write_text("notes")
    return folder


@pytest.fixture(scope="module")
def made(photos, embedder, tmp_path_factory):
    """The folder that ``simnb search`` writes, made once, and what was printed."""
    out, printed = tmp_path_factory.mktemp("out") / "found", io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = command.main(
            ["search", str(photos), "--embedder", embedder, "--out", str(out / "my page.html")]
        )
    assert code == 0
    return out, printed.getvalue()


def run(*arguments, **options):
    call = [sys.executable, "-m", "simnb", *map(str, arguments)]
    return subprocess.run(call, capture_output=True, text=True, encoding="utf-8", **options)


def names_in(folder):
    """Names of what was written there, less the digest of the embedder."""
    return {re.sub(r"-[0-9a-f]{8}(?=\.sqlite$)", "", path.name) for path in folder.iterdir()}


def main(capsys, *arguments):
    """Exit code, and what was written to stdout and stderr."""
    capsys.readouterr()
    code = command.main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "new photo.png"
    colored(COLORS["青"], 7, (90, 50)).save(path)
    return path


@pytest.fixture
def strange(tmp_path):
    path = tmp_path / "strange.png"
    colored((240, 240, 40), 8).save(path)
    return path


def test_a_search_says_what_it_found_and_writes_page_and_search(made):
    out, printed = made
    lines = printed.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "Embedder",
        "Images",
        "Not read",
        "Near-duplicates",
        "Leaks",
        "Right at first",
        "Threshold",
        "Promise",
        "Other classes",
        "Saved",
        "Page",
    ]
    assert lines[1] == "Images: 96 images of 3 classes: red (32), зелёный (32), 青 (32)."
    assert "2 files: " in lines[2]
    assert f"Promise: {PROMISE} with confidence 0.95" in printed
    assert names_in(out) == {"my page.html", "search", FEATURES}
    assert (out / "my page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert f"python -m simnb match PHOTO --in {out}" in printed


def test_the_saved_search_is_one_of_the_library(made, photos, photo):
    search = SimilaritySearch.load(made[0] / "search")
    assert search.match(image_of(photo)).names.tolist() == ["青"]
    assert all((photos / about["file"]).is_file() for about in search.index.get().metadata)


def test_a_photo_is_matched_and_the_nearest_files_are_named(made, photos, photo, capsys):
    code, out, err = main(capsys, "match", photo, "--in", made[0])
    assert (code, err) == (0, "")
    first, *nearest = out.splitlines()
    assert first.startswith(f"{photo}: 青 (distance ")
    assert len(nearest) == 5
    assert all("青/" in line for line in nearest)
    same = main(capsys, "match", photo, "--in", made[0] / "search")
    assert same == (code, out, err)


def test_json_is_an_array_of_one_object_for_each_photo(made, photos, photo, strange, capsys):
    code, out, err = main(capsys, "match", "--json", strange, photo, "--in", made[0])
    assert (code, err) == (0, "")
    unknown, blue = json.loads(out)
    assert set(unknown) == {"photo", "name", "matched", "distance", "threshold", "nearest"}
    assert (unknown["photo"], unknown["name"], unknown["matched"]) == (str(strange), None, False)
    assert unknown["distance"] > unknown["threshold"] > blue["distance"]
    assert (blue["photo"], blue["name"], blue["matched"]) == (str(photo), "青", True)
    distances = [one["distance"] for one in blue["nearest"]]
    assert distances == sorted(distances)
    assert distances[0] == blue["distance"]
    for one in blue["nearest"]:
        assert set(one) == {"file", "id", "name", "distance"}
        assert (photos / one["file"]).is_file()
        assert one["file"].startswith(one["name"] + "/")


def test_the_exit_code_is_1_where_nothing_matches(made, strange, capsys):
    code, out, err = main(capsys, "match", strange, "--in", made[0])
    assert (code, err) == (1, "")
    assert out.startswith(f"{strange}: Unknown (distance ")


def test_a_photo_that_cannot_be_read_is_said_and_the_others_are_answered(made, photos, photo, capsys):
    broken, absent = photos / "red" / "broken.jpg", photo.with_name("absent.jpg")
    code, out, err = main(capsys, "match", broken, photo, absent, "--in", made[0], "--json")
    assert code == 2
    answers = json.loads(out)
    assert [answer["photo"] for answer in answers] == [str(broken), str(photo), str(absent)]
    assert "this is not a" in answers[0]["error"] or "damaged" in answers[0]["error"]
    assert answers[1]["name"] == "青"
    assert err.count("\n") == 2
    assert err.startswith(f"simnb: {broken}: ")
    assert err.endswith(f"simnb: {absent}: No such file or directory\n")
    assert answers[2]["error"] == "No such file or directory"
    code, out, _ = main(capsys, "match", broken, photo, absent, "--in", made[0])
    assert code == 2
    assert out.count("青 (distance") == 1


def test_a_second_run_embeds_nothing_and_finds_the_same(
    made, photos, embedder, tmp_path, capsys, monkeypatch
):
    out = shutil.copytree(made[0], tmp_path / "out")
    embedded = count_embedded(monkeypatch)
    code, printed, err = main(capsys, "search", photos, "--embedder", embedder, "--out", out / "my page.html")
    assert (code, err, embedded) == (0, "", [])
    findings = [text.replace(str(out), str(made[0])).splitlines()[:-2] for text in (printed, made[1])]
    assert findings[0] == findings[1]


def count_embedded(monkeypatch):
    """A list that gets the size of each batch that is embedded."""
    import keras

    batches, predict = [], keras.Model.predict_on_batch

    def counted(self, batch):
        batches.append(len(batch))
        return predict(self, batch)

    monkeypatch.setattr(keras.Model, "predict_on_batch", counted)
    return batches


def test_index_writes_the_search_alone(photos, embedder, tmp_path, capsys):
    code, out, err = main(capsys, "index", photos, "--embedder", embedder, "--out", tmp_path / "a b" / "mine")
    assert (code, err) == (0, "")
    assert names_in(tmp_path / "a b" / "mine") == {"search", FEATURES}
    assert "Page:" not in out
    assert f"--in '{tmp_path}/a b/mine'" in out


def test_the_page_lies_beside_the_folder_by_default(photos, embedder, tmp_path, capsys, monkeypatch):
    folder = shutil.copytree(photos, tmp_path / "images")
    monkeypatch.chdir(folder)
    code, out, _ = main(capsys, "search", ".", "--embedder", embedder)
    assert code == 0
    assert (tmp_path / "images_search" / "page.html").is_file()
    assert sorted(path.name for path in folder.iterdir()) == sorted(COLORS)
    monkeypatch.chdir(tmp_path)
    assert main(capsys, "search", "images", "--embedder", embedder)[1].endswith(
        out.splitlines()[-1].replace(f"{tmp_path}/", "") + "\n"
    )


def one_class(folder):
    for name in list(COLORS)[1:]:
        shutil.rmtree(folder / name)


def one_image(folder):
    one_class(folder)
    for file in (folder / "red").iterdir():
        if file.name != "0.png":
            file.unlink()


@pytest.mark.parametrize("make_small", [one_class, one_image])
def test_a_folder_too_small_for_a_threshold_can_be_searched(
    make_small, photos, embedder, photo, tmp_path, capsys
):
    folder, out = shutil.copytree(photos, tmp_path / "small"), tmp_path / "found"
    make_small(folder)
    code, printed, _ = main(capsys, "search", folder, "--embedder", embedder, "--out", out / "page.html")
    assert code == 0
    assert "Cannot be told: R@1, a threshold and its promise need two classes or more" in printed
    assert (out / "page.html").is_file()
    code, printed, err = main(capsys, "match", photo, "--in", out, "--json")
    (answer,) = json.loads(printed)
    assert (code, answer["name"], answer["threshold"], answer["matched"]) == (1, None, None, False)
    assert 1 <= len(answer["nearest"]) <= 5
    assert err == "simnb: this search has no threshold, so that nothing is a match\n"


def test_images_without_labels_are_searched_by_files_alone(photos, embedder, photo, tmp_path, capsys):
    out = tmp_path / "found"
    arguments = ["index", photos, "--no-labels", "--embedder", embedder, "--out", out]
    code, printed, _ = main(capsys, *arguments)
    assert code == 0
    assert "96 images, without labels." in printed
    code, printed, err = main(capsys, "match", photo, "--in", out)
    first, *nearest = printed.splitlines()
    assert (code, err) == (1, "simnb: this search has no threshold, so that nothing is a match\n")
    assert first.startswith(f"{photo}: Unknown (distance ")
    assert len(nearest) == 5
    assert all("  青/" in line and not line.endswith(")") for line in nearest)
    (answer,) = json.loads(main(capsys, "match", photo, "--in", out, "--json")[1])
    assert {one["name"] for one in answer["nearest"]} == {None}


def test_a_page_of_images_without_labels_is_written(photos, embedder, tmp_path, capsys):
    page = tmp_path / "found" / "page.html"
    code, printed, err = main(capsys, "search", photos, "--no-labels", "--embedder", embedder, "--out", page)
    assert (code, err) == (0, "")
    assert f"Page: {page} (" in printed
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_search_that_knows_no_files_names_rows(made, photo, tmp_path, capsys):
    search = SimilaritySearch.load(made[0] / "search")
    bare = SimilaritySearch(search.model)
    bare.index.add(search.index.get().embeddings[:3], [7, 7, 7], ids=[4, 5, 6])
    bare.save(tmp_path / "bare")
    code, printed, _ = main(capsys, "match", photo, "--in", tmp_path / "bare")
    assert code == 1
    assert {line.split("  ")[2] for line in printed.splitlines()[1:]} == {"id 4", "id 5", "id 6"}
    assert all(line.endswith("(7)") for line in printed.splitlines()[1:])


@pytest.mark.parametrize(
    ("threshold", "by_class", "said"), [(0.5, None, 0.5), (-np.inf, None, None), (0.5, {1: 0.5}, None)]
)
def test_a_threshold_that_is_not_one_number_is_null_in_json(threshold, by_class, said):
    cutpoint = SimpleNamespace(threshold=threshold, by_class=by_class)
    assert command._threshold(SimpleNamespace(cutpoint=cutpoint)) == said


def test_a_search_by_majority_vote_answers_by_it(made, photo, tmp_path, capsys):
    search = SimilaritySearch.load(made[0] / "search")
    rows = search.index.get()
    blue = rows.embeddings[rows.names == "青"].mean(axis=0, keepdims=True)
    voted = SimilaritySearch(search.model)
    # The nearest is alone; of nine neighbors most are of another class.
    far = blue + 0.001 * np.random.default_rng(0).normal(size=(8, blue.shape[1]))
    voted.index.add(np.concatenate([search.embed(image_of(photo)), far]), ["a"] + ["b"] * 8)
    queries = Neighbors(np.full((2, 9), 0.1), np.zeros((2, 9), int), np.ones((2, 9), int))
    voted.calibration = calibrate(queries, [1, 1], matcher="majority_vote")
    voted.save(tmp_path / "voted")
    code, printed, _ = main(capsys, "match", photo, "--in", tmp_path / "voted", "--json")
    (answer,) = json.loads(printed)
    assert (code, answer["name"], len(answer["nearest"])) == (0, "b", 5)
    assert answer["nearest"][0]["name"] == "a"
    assert answer["distance"] > answer["nearest"][0]["distance"]


def image_of(path):
    return data.read_image(path, image_size=(16, 16))[None]


@pytest.fixture
def asked(monkeypatch):
    """What was asked of ``simnb.models``."""
    calls = []

    def noted(function):
        return lambda *arguments, **options: calls.append((function, *arguments, options)) or "a model"

    for function in ("backbone", "pretrained"):
        monkeypatch.setattr(models, function, noted(function))
    return calls


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("glyphs", ("pretrained", "glyphs", {})),
        ("dinov2_small", ("backbone", "dinov2_small", {})),
        ("hf://keras/dinov2_small", ("backbone", "hf://keras/dinov2_small", {})),
        (
            "ResNet50",
            ("backbone", "ResNet50", {"weights": "imagenet", "embedding_size": 0, "pooling": "average"}),
        ),
    ],
)
def test_an_embedder_is_had_by_its_name(name, call, asked):
    model, key, sentence = command._embedder(name)
    assert (model, asked, key) == ("a model", [call], name)
    assert sentence.startswith(name)


def test_without_a_name_it_is_the_best_on_the_disk_and_it_is_said_how_to_get_a_better_one(monkeypatch):
    best = SimpleNamespace(name="best_embedder")
    monkeypatch.setattr(models, "best_on_disk", lambda: (best, "the best, from this disk; a better one: x"))
    model, key, sentence = command._embedder(None)
    assert (model, key) == (best, "best_embedder")
    assert sentence.startswith("the best, from this disk. For a better one: pip install")


def test_the_sentence_about_the_best_embedder_is_still_in_two_parts(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(on_disk, "_PRESETS", ())
    assert "; a better one" in models.best_on_disk()[1]


def test_two_embedders_of_one_file_name_do_not_share_a_file_of_features(embedder, photos, tmp_path, capsys):
    import keras

    pixels = keras.Input((16, 16, 3))
    other = tmp_path / "colours.keras"
    keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels)).save(other)
    for path in (embedder, other):
        code, _, err = main(capsys, "index", photos, "--embedder", path, "--out", tmp_path / "out")
        assert (code, err) == (0, "")
    assert len(list((tmp_path / "out").glob("features-colours-*.sqlite"))) == 2


@pytest.mark.parametrize("shapes", [[(8,)], [(16, 16, 1)], [(16, 16, 3), (16, 16, 3)]])
def test_an_embedder_that_takes_no_images_is_refused_before_any_is_read(shapes, photos, tmp_path, capsys):
    import keras

    inputs = [keras.Input(shape) for shape in shapes]
    keras.Model(inputs, [keras.layers.Flatten()(one) for one in inputs]).save(tmp_path / "other.keras")
    arguments = ["index", photos, "--embedder", tmp_path / "other.keras", "--out", tmp_path / "new" / "out"]
    code, printed, err = main(capsys, *arguments)
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert "other.keras must take images, [batch, height, width, 3], but takes input of shape" in err
    assert not (tmp_path / "new").exists()


def test_a_damaged_embedder_is_named(tmp_path):
    file = tmp_path / "mine.keras"
    file.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"mine\.keras of .* cannot be read"):
        command._embedder(str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "no such folder"], "no such folder"),
        (["index", "{photos}", "--out", "{photos}/found"], "--out must not lie in the folder of images"),
        (["index", "{photos}", "--out", "found", "--embedder", "no such embedder"], "no such embedder"),
        (["index", "{photos}", "--out", "found", "--embedder", "absent.keras"], "absent.keras"),
        (["index", "{photos}", "--out", "found", "--promise", "precise"], "a metric, >= or <=, and a share"),
        (["match", "photo.jpg", "--in", "no such search"], "no such search: there is no such folder"),
        (["match", "photo.jpg", "--in", "{photos}"], "holds nothing that was saved"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_nothing_is_left(
    arguments, message, photos, embedder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.format(photos=photos) for argument in arguments]
    if "--promise" in arguments:
        arguments += ["--embedder", embedder]
    code, _, err = main(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.startswith("simnb: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert not (photos / "found").exists()


def test_a_run_that_fails_leaves_an_empty_folder_that_was_there(photos, embedder, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    wrong = ["index", photos, "--embedder", embedder, "--promise", "precise", "--out"]
    assert main(capsys, *wrong, tmp_path / "mine")[0] == 2
    assert main(capsys, *wrong, tmp_path / "mine" / "new" / "newer")[0] == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]
    assert not list((tmp_path / "mine").iterdir())


def test_what_nobody_foresaw_is_a_failure_and_not_the_answer_that_nothing_matches(
    made, photo, capsys, monkeypatch
):
    def odd(*arguments):
        raise TypeError("odd")

    monkeypatch.setattr(command, "_answers", odd)
    code, _, err = main(capsys, "match", photo, "--in", made[0])
    assert code == 2
    assert err.endswith("TypeError: odd\n")


def test_a_folder_whose_sub_folders_may_be_no_classes_is_said_how_to_read(photos, tmp_path, capsys):
    (tmp_path / "years" / "2020" / "May").mkdir(parents=True)
    arguments = ["index", tmp_path / "years", "--out", tmp_path / "found"]
    code, _, err = main(capsys, *arguments)
    assert code == 2
    assert "--no-labels" not in err
    for part in ("2020/May", "2021/May", "2021/June", "2020/June"):
        (tmp_path / "years" / part).mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "red" / "0.png", tmp_path / "years" / part / "0.png")
    code, _, err = main(capsys, *arguments)
    assert code == 2
    assert err.endswith("; or pass --no-labels, where sub-folders are no classes\n")


def test_a_full_line_without_traceback_is_all_that_a_wrong_call_prints(photos, tmp_path):
    done = run("index", tmp_path / "absent", "--out", tmp_path / "found")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("simnb: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["search"], ["match", "x.jpg"], ["index", "x"], ["find", "x"]])
def test_wrong_use_ends_with_2_and_says_how_it_is_used(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert "usage: simnb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["search", "index", "match"]),
        (["search"], ["FOLDER", "--out", "--embedder", "--no-labels", "--promise", f'"{PROMISE}"']),
        (["index"], ["FOLDER", "--out", "--embedder", "--promise"]),
        (["match"], ["PHOTO", "--in", "--json"]),
    ],
)
def test_help_names_every_option_and_exit_code(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([*arguments, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for word in [*words, "exit codes:", "0  ", "1  ", "2  ", "130  "]:
        assert word in printed


def test_help_loads_neither_tensorflow_nor_numpy():
    code = (
        "import sys; from simnb.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert "usage: simnb" in done.stdout


def everything_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupt_keeps_what_was_embedded(photos, embedder, tmp_path, capsys, monkeypatch):
    import keras

    predict = keras.Model.predict_on_batch
    batches = []

    def interrupted(self, batch):
        if batches:
            raise KeyboardInterrupt
        batches.append(len(batch))
        return predict(self, batch)

    out = tmp_path / "found"
    monkeypatch.setattr(keras.Model, "predict_on_batch", interrupted)
    code, printed, err = main(capsys, "search", photos, "--embedder", embedder, "--out", out / "page.html")
    assert code == 130
    assert err.startswith("simnb: interrupted: no file is left half-written")
    assert "Images:" not in printed
    assert names_in(out) == {FEATURES}
    monkeypatch.setattr(keras.Model, "predict_on_batch", predict)
    embedded = count_embedded(monkeypatch)
    code, _, _ = main(capsys, "search", photos, "--embedder", embedder, "--out", out / "page.html")
    assert (code, sum(embedded)) == (0, 96 - batches[0])


@pytest.mark.parametrize("step", ["near_duplicates", "calibrate"])
def test_an_interrupt_afterwards_leaves_what_was_there_before(
    step, made, photos, embedder, tmp_path, capsys, monkeypatch
):
    out = shutil.copytree(made[0], tmp_path / "out")
    before = everything_in(out)

    def interrupted(*arguments, **options):
        if step == "calibrate" and len(arguments[0]) == 1:  # the promise, checked before
            return None
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, step, interrupted)
    code, _, err = main(capsys, "search", photos, "--embedder", embedder, "--out", out / "my page.html")
    assert (code, err.count("\n")) == (130, 1)
    after = everything_in(out)
    assert set(after) == set(before)
    assert all(name.endswith(".sqlite") for name in before if before[name] != after[name])


def test_an_interrupt_amid_the_page_leaves_the_old_page(
    made, photos, embedder, tmp_path, capsys, monkeypatch
):
    from simnb.folder_search import result

    out = shutil.copytree(made[0], tmp_path / "out")
    page = (out / "my page.html").read_bytes()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(result, "thumbnail", interrupted)
    arguments = ["search", photos, "--embedder", embedder, "--out", out / "my page.html"]
    code, printed, _ = main(capsys, *arguments, "--promise", "precision >= 0.5")
    assert code == 130
    assert "Page:" not in printed
    assert (out / "my page.html").read_bytes() == page
    assert len(list(out.iterdir())) == 3
    assert SimilaritySearch.load(out / "search").calibration["promise"].goal.target == 0.5


def test_a_warning_is_one_line_and_said_once(made, photo, tmp_path, capsys, monkeypatch):
    search = SimilaritySearch.load(made[0] / "search")
    search.index.remove(search.index.ids[:3])
    search.save(tmp_path / "changed")
    monkeypatch.setattr(command.warnings, "filters", [])
    code, _, err = main(capsys, "match", photo, "--in", tmp_path / "changed")
    assert code == 0
    assert err.startswith("simnb: the gallery is not the one of the calibration")
    assert err.count("\n") == 1


def test_a_process_prints_the_answer_alone_and_escapes_what_cannot_be_shown(made, photo):
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run("match", photo, "--in", made[0], env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u9752 (distance" in done.stdout


def test_the_console_script_is_this_command():
    project = Path(__file__).parents[1] / "pyproject.toml"
    scripts = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"simnb": "simnb.__main__:main"}
    assert callable(command.main)
