"""What is compared of a file of recorded outcomes, and how near it must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Entries = Iterator[tuple[str, Any, Any, float]]
"""Entry, what is found, what is recorded, and the tolerance."""
EQUAL, EXACT, FITTED, SINGLE = 0.0, 1e-9, 1e-6, 1e-5
"""Of sets, labels, counts and thresholds; of what is computed in double precision; of what is fitted step by step; of
the losses of cases in single precision.
"""
