import re
from pathlib import Path

import numpy as np
from PIL import Image

README = Path(__file__).parents[1] / "README.md"


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c", "d", "other"):
        (tmp_path / "my_images" / name).mkdir(parents=True)
        for i in range(20):
            noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "my_images" / name / f"{i}.png")
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "epochs=5" in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace("epochs=5", "epochs=1, verbose=0"), {})
    printed = capsys.readouterr().out
    assert "Match where cosine distance <= " in printed
    assert "8 known and 2 unknown queries" in printed
