"""Questions with answers to choose from, which say at a click whether they are right."""

import zlib
from collections.abc import Sequence

import numpy as np

from simnb.plots import styling
from simnb.widgets import _html


class Quiz:
    """Questions that close a lesson: a click on an answer says whether it is right, and on the right one why.

    It is HTML alone, made of ``<details>``. So it answers wherever it is shown: in a notebook that runs, in a
    saved one, and on a page without a kernel.

    Args:
        *questions: Each a question, its answers with **the right one first**, and why that is right. Answers
            are shown in another order, which is always the same for the same question.

    Raises:
        ValueError: If there is no question, or one has fewer than two answers, or the same answer twice.

    Example:
        >>> Quiz(("Which distance has the same direction?", ["0", "1", "2"], "1 - cos 0 is 0."))
        Quiz(1 question)
    """

    def __init__(self, *questions: tuple[str, Sequence[str], str]) -> None:
        if not questions:
            raise ValueError("a quiz needs at least one question: (question, answers, why)")
        for question, answers, _ in questions:
            if isinstance(answers, str) or len(answers) < 2 or len(set(answers)) < len(answers):
                raise ValueError(
                    f"{question!r} needs two or more different answers, the right one first, got {answers!r}"
                )
        self.questions = questions

    def __repr__(self) -> str:
        return f"Quiz({styling.count(len(self.questions), 'question')})"

    def _repr_html_(self) -> str:
        items = []
        for question, answers, why in self.questions:
            group = zlib.crc32(question.encode())  # of one question only one answer is open
            shown = []
            for place in np.random.default_rng(group).permutation(len(answers)):
                verdict = f"<b>✓ Right.</b> {_html.text(why)}" if place == 0 else "<b>✗ No.</b> Try another."
                shown.append(
                    f'<details name="quiz-{group}" class="{"wrong" if place else "right"}">'
                    f"<summary>{_html.text(answers[place])}</summary><p>{verdict}</p></details>"
                )
            items.append(f"<li><p>{_html.text(question)}</p>{''.join(shown)}</li>")
        return f'{_html.STYLE}<div class="simnb simnb-quiz"><ol>{"".join(items)}</ol></div>'
