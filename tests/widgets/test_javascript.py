"""The JavaScript of widgets and pages: its unit tests, run by Node, and how its files become one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from simnb.widgets._page import script

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="Node runs the tests of the JavaScript, and is not installed")
@pytest.mark.parametrize(
    "file", sorted(Path(__file__).parents[1].glob("*/*.test.mjs")), ids=lambda file: file.stem
)
def test_the_javascript_passes_its_tests(file):
    done = subprocess.run([NODE, "--test", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"pass (\d+)", done.stdout)[1]) > 10


def test_files_become_one_module_that_imports_nothing(tmp_path):
    (tmp_path / "one.js").write_text('export const A = 1;\nexport function f() {\n  return "export";\n}\n')
    (tmp_path / "two.js").write_text('import { A, f } from "./one.js";\nexport default { A, f };\n')
    text = script("one.js", "two.js", folder=tmp_path)
    assert "import" not in text
    assert text.count("export") == 2  # in a string, and the default at the end
    with pytest.raises(ValueError, match=r"two.js imports one.js, which must stand before it"):
        script("two.js", "one.js", folder=tmp_path)
