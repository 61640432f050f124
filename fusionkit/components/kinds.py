"""The four kinds of component: the first part of every id."""

from __future__ import annotations

NODE_KINDS = ("encoder", "fusion", "head")
KINDS = (*NODE_KINDS, "uncertainty")
