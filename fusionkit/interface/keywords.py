"""Keyword arguments declared once, as a TypedDict, and listed one by one in `help` and in notebooks."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def spell_out(options: Any) -> Callable[[_Function], _Function]:
    """Give a function with `**settings: Unpack[options]` a signature that names every key; each default is None.

    Editors and type checkers read the TypedDict itself; `help`, IPython and `inspect` see `**settings` alone.
    """
    def spelled_out(function: _Function) -> _Function:
        own = signature(function)
        listed = [part for part in own.parameters.values() if part.kind is not Parameter.VAR_KEYWORD]
        keys = [Parameter(name, Parameter.KEYWORD_ONLY, default=None,
                          annotation=getattr(written, "__forward_arg__", written))
                for name, written in options.__annotations__.items()]
        function.__signature__ = own.replace(parameters=[*listed, *keys])  # type: ignore[attr-defined]
        return function

    return spelled_out
