"""Rows of the contract table: heads, and uncertainty methods for their options."""

from __future__ import annotations

from typing import Any

ROWS: list[tuple[Any, ...]] = [
    ("head.classify", {"classes": ["a", "b", "c"]}, [(7,)]),
    ("head.classify", {"classes": ["a", "b"], "hidden": [11], "dropout": 0.3, "class_weights": "balanced"}, [(7,)]),
    ("head.classify", {"classes": ["a", "b", "c"], "layer": "none", "class_weights": [1.0, 2.0, 3.0]}, [(3,)]),
    ("head.multilabel", {"labels": ["a", "b", "c"], "positive_weights": [1.0, 2.0, 3.0]}, [(7,)]),
    ("head.multilabel", {"labels": ["a"], "hidden": [11, 5], "dropout": 0.3}, [(7,)]),
    ("head.regress", {"values": ["a", "b"], "loss": "huber", "delta": 0.5}, [(7,)]),
    ("head.regress", {"values": ["a"], "layer": "none", "loss": "mae"}, [(1,)]),
    ("head.regress", {"values": ["a", "b"], "loss": "gaussian", "standardise": True}, [(7,)]),
    ("head.regress", {"values": ["a"], "loss": "quantile", "transform": "log", "standardise": True}, [(7,)]),
    ("head.ordinal", {"grades": ["a", "b", "c"], "link": "coral", "class_weights": "balanced"}, [(7,)]),
    ("head.ordinal", {"grades": ["a", "b"], "link": "corn", "hidden": [5], "class_weights": [1.0, 2.0]}, [(7,)]),
    ("head.hazards", {"horizons": [12, 24]}, [(7,)]),
    ("head.hazards", {"horizons": [12, 24], "link": "pmf", "edges": [6, 18]}, [(7,)]),
    ("head.hazards", {"horizons": [12, 24], "link": "mtlr", "risk": "curve", "smooth": 0.1}, [(7,)]),
    ("head.weibull", {"horizons": [12, 24]}, [(7,)]),
    ("head.weibull", {"horizons": [12], "shape": "shared", "hidden": [5]}, [(7,)]),
    ("uncertainty.none", {}, []),
    ("uncertainty.mc_dropout", {"samples": 3}, []),
    ("uncertainty.deep_ensemble", {"members": 3, "per_class": True}, []),
    ("uncertainty.mc_ensemble", {"members": 3, "samples": 2}, []),
]
