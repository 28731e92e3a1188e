import os

import pytest

from simnb._text import shown, visible


@pytest.mark.parametrize("text", ["", "cat", "café", "日本\n\x00", "😀", "a\\xe9"])
def test_text_that_is_unicode_stays_as_it_is(text):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("caf\udce9.png", "caf\\xe9.png"),
        ("\udc80\udcff", "\\x80\\xff"),
        ("\ud800 é \udce9", "\\ud800 é \\xe9"),
        ("\ud83d\ude00", "\\ud83d\\ude00"),
    ],
)
def test_a_lone_surrogate_is_escaped(text, expected):
    assert shown(text) == expected
    assert shown(text).encode("utf-8").decode("utf-8") == expected


def test_a_name_that_is_not_utf_8_shows_its_bytes():
    assert shown(os.fsdecode(b"caf\xe9")) == "caf\\xe9"


def test_escaping_twice_changes_nothing():
    assert shown(shown("caf\udce9")) == shown("caf\udce9")


def test_control_characters_are_seen_but_for_the_end_of_a_line():
    assert visible("a\x00\tb\x7f\x85\nc\udce9") == "a\\x00\\x09b\\x7f\\x85\nc\\xe9"
