"""Components made from constructors of installed libraries: their declaration, and options from the signature."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import Field, Strict, create_model

from fusionkit.components.config import Config


@dataclass(frozen=True, repr=False)
class InLibrary:
    """What a declaration has that the function `find` of its module makes from a constructor of a library."""

    about: str = field(default="", kw_only=True)

    @property
    def summary(self) -> str:
        """One line: where it comes from, and what it is."""
        return self.about

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Its options class is made when it is looked up, so a copy looks it up again."""
        return import_module(type(self).__module__).find, (getattr(self, "name"),)  # noqa: B009 - of the declaration


_PLAIN = (float, int, bool, str, type(None))


def options_of(made: Any, without: Collection[str], defaults: Mapping[str, Any], owner: str) -> type[Config]:
    """The options class of a class or function.

    An argument becomes an option if its type and its default, if it has one, are what a file can hold: numbers,
    booleans, text, None, and tuples and lists of these; of several types those are taken. `defaults` replace those of
    the signature.
    """
    # torch imports some names for type checkers alone.
    hints = get_type_hints(made.__init__ if inspect.isclass(made) else made, localns=vars(typing))
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(made).parameters.items():
        default = defaults.get(name, parameter.default)
        if name in without or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = _written(hints.get(name) or _kind_of(parameter.default))
        about = f"Argument of {made.__module__.partition('.')[0]}'s {made.__name__}."
        if kind in (None, type(None)):
            continue
        if default is inspect.Parameter.empty:
            fields[name] = (kind, Field(description=about))
        elif isinstance(default, (*_PLAIN, tuple, list)):
            fields[name] = (kind if default is not None else kind | None, Field(default, description=about))
    return create_model(f"{made.__name__}Options", __base__=Config, __doc__=f"Options of `{owner}`.", **fields)


def _kind_of(default: Any) -> Any:
    """The type of a default, for arguments without an annotation."""
    if not isinstance(default, tuple):
        return type(default)
    made: Any = tuple  # its arguments are values here
    return made[tuple(map(_kind_of, default))]


def _written(kind: Any) -> Any:
    """The part of a type that a file can hold; None if there is none."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in _PLAIN or origin is Literal:
        return kind
    if origin is Iterable:
        made: Any = list  # its arguments are values here
        return _written(made[parts])
    if origin in (Union, types.UnionType):
        found = [part for part in map(_written, parts) if part is not None]
        return Union[tuple(found)] if found else None  # noqa: UP007  # it is made of values
    if origin in (tuple, list):
        inner = [part if part is Ellipsis else _written(part) for part in parts]
        if not inner or None in inner:
            return None
        # Files have lists only.
        return Annotated[origin[tuple(inner)], Strict(False)]
    return None
