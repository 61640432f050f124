"""The tools of the repository are imported from its root, which pytest alone does not search."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
