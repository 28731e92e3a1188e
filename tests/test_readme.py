import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from simnb import data
from simnb.index import open_index
from simnb.models.pretrained import provenance
from tests.benchmarks import training
from tests.release.first_example import QUERIES, first_example, make_images

ROOT = Path(__file__).parents[1]
README, TOOLBOX = ROOT / "README.md", ROOT / "notebooks" / "TOOLBOX.md"
MEASUREMENTS = ROOT / "tests" / "benchmarks" / "README.md"


def examples():
    """The Python of the README, and of the page behind it, which goes on with its names, block by block."""
    return re.findall(r"```python\n(.*?)```", README.read_text() + TOOLBOX.read_text(), re.DOTALL)


def test_the_example_of_an_index_runs(tmp_path, monkeypatch, capsys):
    _, _, _, code, _, _ = examples()
    embeddings = np.random.default_rng(0).normal(size=(10, 4))
    given = {"names": ["dog"] * 10, "sources": ["phone", "web"] * 5, "years": [2019, 2021] * 5}
    given["years"][0] = 2020
    monkeypatch.chdir(tmp_path)
    exec(code, {"embeddings": embeddings, "queries": embeddings[:1], **given})
    assert capsys.readouterr().out == "[['dog' None None None None]]\n"
    with open_index("gallery.sqlite") as index:
        assert index.ids.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
        assert index.get(7).names.tolist() == ["cat"]


def test_the_examples_of_a_folder_run(tmp_path, monkeypatch, capsys):
    make_images(tmp_path)
    _, code, _, _, calibrating, _ = examples()
    untrained = first_example(README.read_text())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(untrained, names)
    answers = names["search"].match(names["parts"].query).names
    assert capsys.readouterr().out == f"{answers}\n"
    assert len(answers) == QUERIES
    assert len(untrained.split("\n\n")[1].splitlines()) == 6
    assert "epochs=5" in code
    exec(code.replace("epochs=5", "epochs=1, verbose=0"), names)
    printed = capsys.readouterr().out
    easy = calibrating.replace(">= 0.95", ">= 0").replace("<= 0.05", "<= 1")  # noise meets no other target
    exec(easy, names)
    assert list(names["calibration"].cutpoints) == ["optimal", "careful", "strict"]
    assert "Match where cosine distance <= " in printed
    assert "8 known and 2 unknown queries" in printed


def load_few(name, split):
    """The first thirty classes."""
    examples = data.load(name, split=split, progress=False)
    return examples.only(np.unique(examples.labels)[:30])


def test_the_example_of_unseen_classes_runs(capsys):
    *before, code = examples()[:3]
    names = {}
    lines = "\n".join(before).splitlines()
    exec("\n".join(line for line in lines if line.startswith(("from", "import"))), names)
    few = {split: load_few("glyphs", split) for split in ("train", "test")}
    names["data"] = SimpleNamespace(load=lambda name, split: few[split])
    short = {"classes_per_batch=128": "classes_per_batch=16", "steps_per_epoch=100": "steps_per_epoch=2"}
    for long, small in {**short, "epochs=4": "epochs=1, verbose=0"}.items():
        assert long in code
        code = code.replace(long, small)
    exec(code, names)
    printed = capsys.readouterr().out
    assert "20-way 5-shot" in printed
    assert "trained" in printed


def test_the_example_of_a_widget_runs():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    names = {"embeddings": rng.normal(size=(40, 4)), "labels": np.arange(40) % 2, "images": images}
    names["names"] = ("cat", "dog")
    *_, code = examples()
    exec(code.replace("Projector(emb", "shown = Projector(emb"), names)
    assert repr(names["shown"]).startswith("Projector(40 points, 2 classes, tsne")


def test_the_tables_of_trainings_say_what_the_runs_left_behind():
    page, readme = MEASUREMENTS.read_text(), README.read_text()
    records = training.kept_records()
    for name in {"tutorial", "fast", "record", "cifar10", "cifar10-8"}:
        record = records[name]
        figures = " | ".join(f"{record['figures'][key]:.3f}" for key in ("recall_at_1", "map_at_r"))
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert row.endswith(f"| {figures} |")
    metrics = ("recall@1", "map@r", "5-way 1-shot", "20-way 1-shot", "20-way 5-shot")
    for name in training.UNSEEN:
        seeds, worst = training.worst_of_seeds(name)
        assert seeds == 3
        rows = {"trained, the worst of three seeds": worst} | records[name]["baselines"]
        for row, figures in rows.items():
            numbers = " | ".join(f"{figures[metric]:.3f}" for metric in metrics)
            assert f"| {name} | {row} | {numbers} |" in page
    plain = provenance("cifar10")["figures_without_mirror"]
    assert f"R@1 {plain['recall_at_1']:.3f} and MAP@R {plain['map_at_r']:.3f}" in " ".join(page.split())
    best, unseen = (
        records["cifar10"]["figures"]["recall_at_1"],
        training.worst_of_seeds("omniglot")[1]["recall@1"],
    )
    assert f"(R@1 {best:.3f} on CIFAR-10; {unseen:.3f} over 659 characters" in " ".join(readme.split())


def test_the_readme_is_short_and_leads_to_what_is_there():
    text = README.read_text()
    assert len(text) < 13_000
    for page, base in ((README, ROOT), (TOOLBOX, TOOLBOX.parent), (MEASUREMENTS, MEASUREMENTS.parent)):
        for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert link.startswith("https://") or (base / link).is_file(), f"{page.name}: {link}"
    lessons = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    listed = re.findall(r"^\| \[\w+\]\(notebooks/(\w+\.ipynb)\)", text, re.M)
    assert listed == lessons
