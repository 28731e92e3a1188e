import io
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import pytest

from simnb import plots
from simnb.plots import styling


def test_the_font_has_every_symbol():
    from matplotlib import font_manager

    characters = font_manager.get_font(font_manager.findfont(styling.SYMBOL_FONT)).get_charmap()
    assert {ord(symbol) for symbol, _, _ in styling.VERDICTS.values()} <= set(characters)


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (0.0, "0.000"),
        (0.25, "0.250"),
        (0.00123, "0.0012"),
        (12.3456, "12.346"),
        (1234.5, "1,234"),
        (-0.5, "-0.500"),
    ],
)
def test_distances_are_printed_with_as_many_digits_as_they_need(distance, text):
    assert styling.number(distance) == text


def test_importing_plots_changes_no_setting_and_imports_neither_keras_nor_scikit_learn():
    code = (
        "import sys, matplotlib; before = dict(matplotlib.rcParams); import simnb.plots; "
        "print(dict(matplotlib.rcParams) == before, {'tensorflow', 'keras', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True set()\n"


def test_the_style_holds_until_the_end_of_its_block(monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "axes.spines.top", True)
    with plots.style():
        assert not matplotlib.rcParams["axes.spines.top"]
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert matplotlib.rcParams["axes.spines.top"]


def test_the_style_holds_from_then_on_without_a_block():
    with matplotlib.rc_context():
        plots.style()
        assert matplotlib.rcParams["svg.hashsalt"] == "simnb"
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"][0] == "#0072B2"


def test_a_styled_svg_is_the_same_every_time_and_its_text_is_text():
    files = []
    for _ in range(2):
        with plots.style():
            figure, ax = plt.subplots()
            ax.plot([1, 2], label="one")
            ax.set(xlabel="some words")
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
            files.append(file.getvalue())
    assert files[0] == files[1]
    assert b"some words</text>" in files[0]
