"""scikit-learn and torchmetrics, imported by the first test that asks: every process collects all tests."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

MODULES = {"reference": "sklearn.metrics", "functional": "torchmetrics.functional.classification"}


def __getattr__(name: str) -> ModuleType:
    if name not in MODULES:
        raise AttributeError(name)
    return import_module(MODULES[name])
