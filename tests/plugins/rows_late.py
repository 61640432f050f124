"""Rows of the contract table: fusions of predictions, and of distributions."""

from __future__ import annotations

from typing import Any

PAIR, THREE = [(5,), (5,)], [(5,), (5,), (5,)]
LABELS = {"task": "multilabel"}

ROWS: list[tuple[Any, ...]] = [
    ("fusion.late_weighted", {}, THREE),
    ("fusion.late_weighted", {"per_class": True}, PAIR),
    ("fusion.late_weighted", LABELS | {"per_class": True}, PAIR),
    ("fusion.late_weighted", {"weights": [1.0, 3.0], "space": "logit"}, PAIR),
    ("fusion.late_max", {}, THREE),
    ("fusion.late_max", LABELS, PAIR),
    ("fusion.late_max", LABELS | {"pick": "most_confident"}, THREE),
    ("fusion.late_vote", {}, THREE),
    ("fusion.late_vote", LABELS, PAIR),
    ("fusion.late_poe", {"weights": "geomean"}, THREE),
    ("fusion.late_poe", {"prior": [1.0, 2.0, 3.0, 4.0, 5.0]}, PAIR),
    ("fusion.late_poe", LABELS | {"prior": [0.1, 0.2, 0.3, 0.4, 0.5], "weights": "learned"}, THREE),
    ("fusion.late_confidence", {}, THREE),
    ("fusion.late_confidence", LABELS | {"measure": "energy", "temperature": 2.0, "learned": True}, PAIR),
    ("fusion.stacking", {}, THREE),
    ("fusion.linear_path", {}, [(5,), (7,), (11,)]),
    ("fusion.evidential", {}, THREE),
    ("fusion.evidential", LABELS, PAIR),
    ("fusion.poe_gaussian", {}, [(6,), (6,), (6,)]),
    ("fusion.poe_gaussian", {"width": 13, "prior": False, "beta": 0.5}, [(5,), (7,)]),
    ("head.evidential", {"classes": ["a", "b", "c"], "hidden": [11]}, [(7,)]),
    ("head.evidential", {"classes": ["a", "b", "c"], "layer": "none", "reads": "log_alpha"}, [(3,)]),
]
