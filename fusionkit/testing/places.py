"""Where something is in an author's file, as file:line; '' where there is no source."""

from __future__ import annotations

import ast
import inspect
import traceback
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from fusionkit.components.declaration import Declaration


def place_of(component: Declaration) -> str:
    """The component's module: its class, or the function that makes it."""
    return _source(component.module)


def place_of_forward(component: Declaration, module: Any) -> str:
    """The `forward` of a module (or of its class), where it is in the plugin's own file, else the component."""
    place = _source(getattr(module, "forward", None))
    return place if place.rpartition(":")[0] == source_file(component) else place_of(component)


def place_of_declaration(component: Declaration) -> str:
    """The line that declares the component, where it is in its module's file, else that of its module."""
    file = source_file(component)
    found = [node.lineno for node in (_tree(file).body if file else ()) if isinstance(node, ast.Assign)
             and any(isinstance(target, ast.Name) and target.id == "component" for target in node.targets)]
    return f"{file}:{found[-1]}" if found else place_of(component)


def place_of_options(owner: type) -> str:
    """An options class, or the class of a part of an option."""
    return _source(owner)


def place_of_option(component: Declaration, name: str) -> str:
    """The line that declares an option, else that of the options class."""
    for owner in component.config.__mro__:
        found = _find(owner, lambda node: isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
                      and node.target.id == name)
        if found:
            return found
    return _source(component.config)


def place_of_attribute(component: Declaration, path: str) -> str:
    """The line of the plugin's file that assigns the attribute by which a parameter's path begins.

    The module's own class and its base classes take precedence over other classes in the file.
    """
    file, first = source_file(component), path.partition(".")[0]
    if not file:
        return ""
    names = [owner.__name__ for owner in getattr(component.module, "__mro__", ())]
    own = [node for name in names for node in ast.walk(_tree(file)) if isinstance(node, ast.ClassDef) and
           node.name == name]
    lines = (line for part in (*own, _tree(file)) for line in _assigned(part, first))
    return next((f"{file}:{line}" for line in lines), "") or place_of(component)


def place_of_error(error: BaseException, component: Declaration) -> str:
    """The innermost line of the plugin's own file in an exception's traceback, '' when there is none."""
    own = source_file(component)
    frames = traceback.extract_tb(error.__traceback__)
    return next((f"{frame.filename}:{frame.lineno}" for frame in reversed(frames) if own and frame.filename == own), "")


def source_file(component: Declaration) -> str:
    """The file that declares a component's module, '' when there is none."""
    return _source(component.module).rpartition(":")[0]


def _source(part: Any) -> str:
    try:
        file, (_, line) = inspect.getsourcefile(part), inspect.getsourcelines(part)
    except (TypeError, OSError):
        return ""
    return f"{file}:{line}"


def _find(owner: type, wanted: Callable[[ast.AST], bool]) -> str:
    """The first statement in a class body that the predicate accepts."""
    file, _, line = _source(owner).rpartition(":")
    if not file:
        return ""
    bodies = (node.body for node in ast.walk(_tree(file))
              if isinstance(node, ast.ClassDef) and node.name == owner.__name__ and node.lineno >= int(line))
    return next((f"{file}:{part.lineno}" for body in bodies for part in body if wanted(part)), "")


def _assigned(tree: ast.AST, name: str) -> Iterator[int]:
    """The lines that assign an attribute of this name."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(
            node, ast.AnnAssign | ast.AugAssign) else []
        for target in (part for whole in targets for part in ast.walk(whole)):
            if isinstance(target, ast.Attribute) and target.attr == name:
                yield target.lineno


@lru_cache(maxsize=8)
def _tree(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))
