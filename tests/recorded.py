"""Where recorded numbers lie: the copies beside the tests, or the like folder that FUSIONKIT_GOLDEN names."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(os.environ.get("FUSIONKIT_GOLDEN") or Path(__file__).parent / "golden")
