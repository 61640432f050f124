"""The four kinds of component, and the syntax of component names and ids."""

from __future__ import annotations

import re

NODE_KINDS = ("encoder", "fusion", "head")
KINDS = (*NODE_KINDS, "uncertainty")
COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.v[0-9]+)?")
COMPONENT_ID = re.compile(rf"({'|'.join(KINDS)})\.{COMPONENT_NAME.pattern}")


def kind_of(id: str) -> str:
    """The part of an id before the dot: `fusion` of `fusion.concat`."""
    return id.partition(".")[0]
