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
    ("fusion.infonce", {"width": None, "learned": False, "balance": 0.3}, PAIR),
    ("fusion.ntxent", {"width": 11}, [(5,), (7,)]),
    ("fusion.ntxent", {"temperature": 0.5}, THREE),
    ("fusion.align_cosine", {}, THREE),
    ("fusion.align_coral", {}, THREE),
    ("fusion.align_mmd", {}, THREE),
    ("fusion.align_mmd", {"scales": [1.0]}, PAIR),
    ("head.supcon", {"classes": ["a", "b", "c"], "width": 11, "hidden": [13], "class_weights": "balanced"},
     [(7,), (5,), (3,)]),
    ("head.supcon", {"classes": ["a", "b"], "layer": "none"}, [(2,), (7,)]),
]
