import io
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
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


def test_a_logarithmic_axis_has_zero_and_infinity_at_its_edges():
    axis = styling.DistanceAxis([0, 0.001, 0.1, np.inf], log=True)
    zero, low, high, infinity = axis.place([0, 0.001, 0.1, np.inf])
    assert (low, high) == (-3, -1)
    assert zero == pytest.approx(-3.14)
    assert infinity == pytest.approx(-0.86)
    assert axis.limits[0] < zero
    _, ax = plt.subplots()
    axis.dress(ax, "distance")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "0.001", "0.01", "0.1", "∞"]


def test_a_short_logarithmic_axis_has_ticks_at_one_two_and_five():
    axis = styling.DistanceAxis([0.015, 0.12], log=True)
    _, ax = plt.subplots()
    axis.dress(ax, "distance")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.02", "0.05", "0.1"]


def test_a_logarithmic_axis_of_less_than_a_decade_has_even_ticks():
    axis = styling.DistanceAxis([0.051, 0.071], log=True)
    _, ax = plt.subplots()
    axis.dress(ax, "distance")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.055", "0.06", "0.065", "0.07"]


def test_without_a_distance_above_zero_a_logarithmic_axis_is_a_linear_one():
    assert not styling.DistanceAxis([0.0, np.inf], log=True).log
