from html.parser import HTMLParser

import pytest

from simnb.widgets import Quiz

HOSTILE = "<img src=x onerror=alert(1)>"
NEAREST = ("Which is the nearest?", ["a cat", "a dog", "a bird"], "Cats are near cats.")
FARTHEST = (f"And the farthest, {HOSTILE}?", [f"b & {HOSTILE}", "c"], f"It is {HOSTILE}.")


class Details(HTMLParser):
    """Every answer as (name, class, the text under it)."""

    def __init__(self, html):
        super().__init__()
        self.found, self.tags = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "details":
            self.found.append([dict(attributes)["name"], dict(attributes)["class"], ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data


def test_only_the_right_answer_says_so_and_why():
    found = Details(Quiz(NEAREST)._repr_html_()).found
    assert sorted(text.split("✓")[0].split("✗")[0] for _, _, text in found) == ["a bird", "a cat", "a dog"]
    for _, kind, text in found:
        assert (kind == "right") == text.startswith("a cat") == ("✓ Right. Cats are near cats." in text)
        assert (kind == "wrong") == ("✗ No. Try another." in text)


def test_of_each_question_one_answer_is_open_at_a_time():
    groups = [name for name, _, _ in Details(Quiz(NEAREST, FARTHEST)._repr_html_()).found]
    assert [groups.count(group) for group in dict.fromkeys(groups)] == [3, 2]


def test_the_right_answer_is_not_always_the_first_shown_and_the_order_stays():
    first = set()
    for number in range(20):
        shown = Quiz((f"Question {number}?", ["yes", "no"], "So."))._repr_html_()
        assert shown == Quiz((f"Question {number}?", ["yes", "no"], "So."))._repr_html_()
        first.add(Details(shown).found[0][1])
    assert first == {"right", "wrong"}


def test_text_is_shown_and_not_run():
    html = Quiz(FARTHEST)._repr_html_()
    assert "img" not in Details(html).tags
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") == 3


def test_what_is_no_question_is_refused():
    assert repr(Quiz(NEAREST)) == "Quiz(1 question)"
    with pytest.raises(ValueError, match="at least one question"):
        Quiz()
    for answers in (["yes"], ["yes", "yes"], "yes"):
        with pytest.raises(ValueError, match=r"'Really\?' needs two or more different answers.*got .*yes"):
            Quiz(("Really?", answers, "So."))
