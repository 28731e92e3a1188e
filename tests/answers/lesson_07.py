"""Lesson 07, classes that the network has never seen."""

from types import SimpleNamespace

NAMES = {
    "pixels": 0.3,
    "answer": 4,
    "truth": 4,
    "once": {"trained": SimpleNamespace(value=0.96)},
    "by_one": 0.77,
    "by_most": 0.95,
    "most": 12,
    "ten": 0.4,
    "wider": 0.7,
}

ANSWERS = [
    ("guess", 0.28, [0.9, 0.0, 30]),
    ("mine", 4, [5, 21]),
    ("hundred_way", 0.87, [0.99, 87, 0.2]),
    ("as_prototype", 0.84, [0.77, 0.96]),
    ("with_thirty", 0.6, [1.0, 0.1]),
]
