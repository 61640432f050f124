"""Public names of a module that are loaded on first use, so that importing the module costs nothing.

They are written once, in the module's `if TYPE_CHECKING:` block as `from home import name as name`: editors and type
checkers read that block, and so does this module, from the source, when a name is first requested.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


def load_late(module: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module whose public names are listed in its TYPE_CHECKING block.

    `__all__` is provided too: the names in alphabetical order.
    """

    def find(name: str) -> Any:
        if name == "__all__":
            return sorted(homes(module))
        try:
            home, own = homes(module)[name]
        except KeyError:
            raise AttributeError(f"{module} has no {name!r}") from None
        return getattr(import_module(home), own)

    return find, lambda: sorted({*vars(import_module(module)), *homes(module)})


@cache
def homes(module: str) -> dict[str, tuple[str, str]]:
    """Where each public name of a module lives: a module, and the name there."""
    import ast
    from linecache import getlines

    made = import_module(module)
    lines = getlines(made.__file__ or "", vars(made))
    assert lines, f"the source of {module} must be there; please report"
    blocks = [part.body for part in ast.parse("".join(lines)).body
              if isinstance(part, ast.If) and getattr(part.test, "id", "") == "TYPE_CHECKING"]
    return {alias.asname or alias.name: (part.module or "", alias.name)
            for block in blocks for part in block if isinstance(part, ast.ImportFrom) for alias in part.names}
