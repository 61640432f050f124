"""What all tests share: one thread, since their tensors are tiny and threads cost more than they give."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
