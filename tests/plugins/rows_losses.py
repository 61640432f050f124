"""Rows of the contract table: auxiliary losses, and the head that compares cases."""

from __future__ import annotations

from typing import Any

PAIR, THREE = [(5,), (5,)], [(5,), (5,), (5,)]

ROWS: list[tuple[Any, ...]] = [
    ("fusion.infonce", {"width": 11}, [(5,), (7,)]),
    ("fusion.infonce", {"width": None, "weight": 1.0}, THREE),
    ("fusion.distil", {}, THREE),
    ("fusion.distil", {"task": "multilabel", "temperature": 1.0}, PAIR),
    ("fusion.jensen_shannon", {}, THREE),
    ("fusion.jensen_shannon", {"bernoulli": True}, PAIR),
    ("fusion.orthogonal", {}, THREE),
    ("fusion.orthogonal", {"pairs": "first"}, THREE),
    ("fusion.align_cosine", {}, THREE),
    ("head.supcon", {"classes": ["a", "b", "c"], "width": 11, "hidden": [13], "class_weights": "balanced"},
     [(7,), (5,), (3,)]),
    ("head.supcon", {"classes": ["a", "b"], "layer": "none"}, [(2,), (7,)]),
]
