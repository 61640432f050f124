"""What all tests share: how they are dealt out to processes, and how many threads each of these has."""

from __future__ import annotations

import os

from dealing import pytest_collection_modifyitems, pytest_xdist_make_scheduler

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]

# On tensors this small threads cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")
